"""What the gate looks at: lists read back from the store, scored again, compared with what is served."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import orjson

from api.contract.manifest import Manifest
from batch.data.rows import find_rows
from batch.publish.asleep import find_empty
from batch.publish.folder import GenerationFolder
from batch.publish.gate.gate import GateInputs, Live
from batch.publish.gate.overlap import matching_starts, rank_biased_overlap
from batch.publish.gate.ranges import shares_outside
from batch.publish.gate.spread import find_mistaken
from batch.publish.gate.stats import GenerationStats, Sample, columns, summarize
from batch.publish.post_ids import read_post_ids
from batch.publish.proof.checksums import bad_shards, shard_names
from batch.publish.proof.inputs import Inputs
from batch.publish.proof.verify import rescore
from batch.publish.writer import Build

SHARDS_REREAD = 2  # of 4,096 users at most
USERS_RESCORED, BUCKETS_RESCORED = 16, 2  # 225,000 rows of LightGBM's predict at 7,023 posts
ROWS_RESCORED = 1_000_000  # fewer users where posts are many
USERS_COMPARED, BUCKETS_COMPARED = 300, 3  # with the live lists


def gather_gate_inputs(build: Build, sample: Sample, inputs: Inputs | None) -> GateInputs:
    """Look at a generation before it is sealed, from a sample drawn by its own number.

    Writes its statistics into its folder, for the next generation to be compared with.
    """
    rng, limits = np.random.default_rng(build.number), build.config.limits
    sides = inputs.sides if inputs else None
    content = build.content
    stats = summarize(sample, _topics(content.posts), sides, int(content.offered.sum()))
    build.folder.stats.write_bytes(orjson.dumps(asdict(stats), option=orjson.OPT_INDENT_2))
    live = _live(build, sample, rng)
    values = columns(sides, sample.rows) if sides else {}
    old, scores = live.stats if live else None, sample.scores
    return GateInputs(
        stats=stats,
        metrics=build.content.metrics,
        reread=reread(build, rng),
        rescored=rescore_sample(build, inputs, rng),
        outside=shares_outside(sides.features, values, inputs.model) if sides and inputs else {},
        psi=old.scores.psi(scores[~np.isnan(scores)]) if old else None,
        mistaken=find_mistaken(old.inputs, values, (limits.input_shift, limits.missing)) if old else {},
        live=live,
    )


def _live(build: Build, sample: Sample, rng: np.random.Generator) -> Live | None:
    number, _ = build.store.read_served(build.content.variant)
    manifest = None if number is None else build.store.manifest(number)
    if manifest is None:
        return None
    path = GenerationFolder.of(build.config.root, manifest.generation).stats
    stats = GenerationStats.from_values(orjson.loads(path.read_bytes())) if path.is_file() else None
    return Live(
        generation=manifest.generation,
        n_users=manifest.counts.get("users", 0),
        metrics=manifest.metrics,
        stats=stats,
        churn=_churn(build, manifest, sample, rng),
    )


def _churn(build: Build, live: Manifest, sample: Sample, rng: np.random.Generator) -> float | None:
    """Return the mean rank-biased overlap of live and new lists, same user, same hour of the day."""
    content, store = build.content, build.store
    ids, lived = (
        content.user_names.canonical(content.user_ids[sample.rows]),
        set(store.user_ids(live.generation)),
    )
    both = np.flatnonzero([user_id in lived for user_id in ids])
    if not len(both):
        return None
    users = np.sort(rng.choice(both, min(USERS_COMPARED, len(both)), replace=False))
    pairs = matching_starts(content.horizon, live.horizon)
    buckets = rng.choice(len(pairs), min(BUCKETS_COMPARED, len(pairs)), replace=False)
    starts = [pairs[bucket][1] for bucket in buckets]
    old = read_post_ids(store, live).codes(store.read_lists(live, [ids[user] for user in users], starts))
    awake = ~find_empty(live.counts, old)
    if not awake.any():
        return None
    old, rows = old[awake], sample.posts[users[awake]][:, buckets]
    new = np.where(rows >= 0, content.post_ids[rows], -1)
    n_lists = len(rows) * len(buckets)
    overlap = rank_biased_overlap(old.reshape(n_lists, -1), new.reshape(n_lists, -1))
    return float(overlap.mean())


def reread(build: Build, rng: np.random.Generator) -> tuple[int, int]:
    """Compute a few shards' checksums again from the store; return how many, and how many differ."""
    names = shard_names(build.checksums)
    some = rng.choice(names, min(SHARDS_REREAD, len(names)), replace=False).tolist()
    users = build.content.user_names.canonical(build.content.user_ids)
    chosen = {name: build.checksums[name] for name in some}
    bad = bad_shards(build.store, build.manifest, users, chosen)
    return len(some), len(bad)


def rescore_sample(build: Build, inputs: Inputs | None, rng: np.random.Generator) -> tuple[int, int] | None:
    """Score a few users again by LightGBM's own predict, and compare with what the store holds.

    Returns:
        Lists compared, and how many differ; None where no inputs are kept.
    """
    if inputs is None:
        return None
    n_users, starts = len(build.content.user_ids), build.content.horizon.starts
    rows_a_user = BUCKETS_RESCORED * max(len(build.content.post_ids), 1)
    n_rescored = min(USERS_RESCORED, n_users, max(1, ROWS_RESCORED // rows_a_user))
    users = np.sort(rng.choice(n_users, n_rescored, replace=False))
    buckets = np.sort(rng.choice(len(starts), min(BUCKETS_RESCORED, len(starts)), replace=False))
    content = build.content
    rows = find_rows(content.post_ids, rescore(inputs.part(users, buckets), build.manifest.depth))
    expected = np.where(rows >= 0, content.post_numbers[rows], -1)
    ids = content.user_names.canonical(content.user_ids[users])
    found = build.store.read_lists(build.manifest, ids, [starts[bucket] for bucket in buckets])
    awake = ~find_empty(build.manifest.counts | build.counts, found)
    return int(awake.sum()) * len(buckets), int((expected != found)[awake].any(axis=2).sum())


def _topics(posts: Sequence[bytes]) -> list[str]:
    return [str(orjson.loads(post).get("topic", "")) for post in posts]
