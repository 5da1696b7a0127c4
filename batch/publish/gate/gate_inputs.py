"""What the gate is told: read back from the store, scored again, compared with what is served."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.gate.gate import GateInputs, Live
from batch.publish.gate.overlap import rank_biased_overlap
from batch.publish.gate.ranges import outside
from batch.publish.gate.spread import mistaken
from batch.publish.gate.stats import GenerationStats, Sample, columns, summarize
from batch.publish.gate.thresholds import Thresholds
from batch.publish.generation import GenerationContent
from batch.publish.proof.checksums import bad_shards
from batch.publish.proof.inputs import Inputs
from batch.publish.proof.lists import matching_starts, read_lists, user_ids
from batch.publish.proof.verify import rescore
from batch.publish.retire import served
from batch.publish.user_digests import UserDigests
from batch.store import read

STATS = "portrait.json"  # in the generation's folder
SHARDS_REREAD = 2  # of 4,096 users at most
USERS_RESCORED, BUCKETS_RESCORED = 16, 2  # 225,000 rows of LightGBM's predict at 7,023 posts
USERS_COMPARED, BUCKETS_COMPARED = 300, 3  # with the live lists


@dataclass(frozen=True, slots=True)
class Made:
    """What a run has written, and what it knows of it."""

    content: GenerationContent
    draft: Manifest
    checksums: Mapping[str, str]
    user_digests: UserDigests
    sample: Sample
    inputs: Inputs | None


def gather(client: redis.Redis, keys: Keys, folder: Path, made: Made, limits: Thresholds) -> GateInputs:
    """Look at a generation before it is sealed, from a sample drawn by its own number.

    Writes its stats into its folder, for the next generation to be compared with.
    """
    rng = np.random.default_rng(made.draft.generation)
    sides = made.inputs.sides if made.inputs else None
    seen = summarize(made.sample, _topics(made.content.posts), sides)
    home = folder / str(made.draft.generation)
    (home / STATS).write_bytes(orjson.dumps(seen.values(), option=orjson.OPT_INDENT_2))
    live = _live(client, keys, folder, made, rng)
    inputs = columns(sides, made.sample.rows) if sides else {}
    old, scores = live.stats if live else None, made.sample.scores
    return GateInputs(
        stats=seen,
        metrics=made.content.metrics,
        reread=reread(client, keys, made, rng),
        rescored=rescored(client, keys, made, rng),
        outside=outside(sides.features, inputs, made.inputs.model) if sides and made.inputs else {},
        psi=old.scores.psi(scores[~np.isnan(scores)]) if old else None,
        mistaken=mistaken(old.inputs, inputs, (limits.input_shift, limits.missing)) if old else {},
        live=live,
    )


def _live(client: redis.Redis, keys: Keys, folder: Path, made: Made, rng: np.random.Generator) -> Live | None:
    number, _ = served(client, keys, made.content.variant)
    text = None if number is None else read.value(client, keys.manifest(number))
    if number is None or text is None:
        return None
    manifest = Manifest.from_json(text)
    path = folder / str(number) / STATS
    known = GenerationStats.from_values(orjson.loads(path.read_bytes())) if path.is_file() else None
    return Live(
        generation=number,
        n_users=manifest.counts.get("users", 0),
        metrics=manifest.metrics,
        stats=known,
        churn=_churn(client, keys, manifest, made, rng),
    )


def _churn(
    client: redis.Redis, keys: Keys, live: Manifest, made: Made, rng: np.random.Generator
) -> float | None:
    """Return the mean rank-biased overlap of live and new lists, same user, same hour of the day."""
    ids = made.content.user_ids[made.sample.rows]
    both = np.flatnonzero(np.isin(ids, user_ids(client, keys, live.generation)))
    if not len(both):
        return None
    users = np.sort(rng.choice(both, min(USERS_COMPARED, len(both)), replace=False))
    pairs = matching_starts(made.content.horizon, live.horizon)
    buckets = rng.choice(len(pairs), min(BUCKETS_COMPARED, len(pairs)), replace=False)
    starts = [pairs[bucket][1] for bucket in buckets]
    old = read_lists(client, keys, live, ids[users].tolist(), starts)
    rows = made.sample.posts[users][:, buckets]
    new = np.where(rows >= 0, made.content.post_ids[rows], -1)
    n_lists = len(users) * len(buckets)
    overlap = rank_biased_overlap(old.reshape(n_lists, -1), new.reshape(n_lists, -1))
    return float(overlap.mean())


def reread(client: redis.Redis, keys: Keys, made: Made, rng: np.random.Generator) -> tuple[int, int]:
    """Compute a few shards' checksums again from the store; return how many, and how many differ."""
    names = sorted(name for name in made.checksums if name.startswith("lists-"))
    some = rng.choice(names, min(SHARDS_REREAD, len(names)), replace=False).tolist()
    chosen = {name: made.checksums[name] for name in some}
    bad = bad_shards(client, keys, made.draft, made.content.user_ids.tolist(), chosen)
    return len(some), len(bad)


def rescored(client: redis.Redis, keys: Keys, made: Made, rng: np.random.Generator) -> tuple[int, int] | None:
    """Score a few users again by LightGBM's own predict, and compare with what the store holds.

    Returns:
        Lists compared, and how many differ; None where no inputs are kept.
    """
    if made.inputs is None:
        return None
    n_users, starts = len(made.content.user_ids), made.content.horizon.starts
    users = np.sort(rng.choice(n_users, min(USERS_RESCORED, n_users), replace=False))
    buckets = np.sort(rng.choice(len(starts), min(BUCKETS_RESCORED, len(starts)), replace=False))
    wanted = rescore(made.inputs.part(users, buckets), made.draft.depth)
    ids = made.content.user_ids[users].tolist()
    found = read_lists(client, keys, made.draft, ids, [starts[bucket] for bucket in buckets])
    return len(users) * len(buckets), int((wanted != found).any(axis=2).sum())


def _topics(posts: Sequence[bytes]) -> list[str]:
    return [str(orjson.loads(post).get("topic", "")) for post in posts]
