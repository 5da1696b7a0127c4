"""Does Redis hold what was sealed, and is it what the model gives? Asked of the store, list by list."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm as lgb
import numpy as np

from api.contract.ids import as_json
from api.contract.manifest import Manifest
from batch.arrays import AnyInts, Ints
from batch.learn.baselines.model_name import baseline_name
from batch.progress import Show
from batch.publish.asleep import find_empty
from batch.publish.folder import GenerationFolder
from batch.publish.post_ids import read_post_ids
from batch.publish.proof.checksums import bad_checksums, shard_names
from batch.publish.proof.inputs import INPUTS, Inputs, InputsBroken, InputsMissing, load, model_of
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM
from batch.score.predict import best, raw_scores

SHOWN = 5  # examples of each kind in a verdict


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which a list in Redis is not what the model gives; None past a list's end.

    Ids are as JSON has them.
    """

    user_id: int | str
    bucket_s: int
    position: int
    expected: int | str | None
    found: int | str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared and what did not agree; `ok` if all that could be compared agreed.

    Attributes:
        generation: Which.
        n_shards: Checksums computed again from Redis, `shared` and `root` included.
        bad_shards: Names of those that differ, ascending.
        missing_users: Users whose hash is gone; at most `SHOWN`.
        n_missing: How many they are.
        n_lists: Lists scored again.
        n_positions: Places compared in them.
        differences: First difference of each list that differs; at most `SHOWN`.
        n_different: How many lists differ.
        unscored: Why nothing was scored again; None where it was.
        broken: Whether that is because sealed inputs are gone or changed.
    """

    generation: int
    n_shards: int
    bad_shards: tuple[str, ...]
    missing_users: tuple[int | str, ...]
    n_missing: int
    n_lists: int
    n_positions: int
    differences: tuple[Difference, ...]
    n_different: int
    unscored: str | None = None
    broken: bool = False
    ok: bool = field(init=False)

    def __post_init__(self) -> None:
        """Judge."""
        wrong = self.bad_shards or self.n_missing or self.n_different or self.broken
        object.__setattr__(self, "ok", not wrong)

    def sentence(self) -> str:
        """Say what does not hold."""
        wrong = {
            f"{len(self.bad_shards)} of {self.n_shards} checksums differ": bool(self.bad_shards),
            f"{self.n_missing} users have no lists": self.n_missing > 0,
            f"{self.n_different} of {self.n_lists} lists scored again differ": self.n_different > 0,
            f"no list could be scored again: {self.unscored}": self.broken,
        }
        found = "; ".join(said for said, holds in wrong.items() if holds)
        return f"generation {self.generation} is not what was sealed: {found}"


def verify(
    store: GenerationStore,
    generation: int,
    root: Path,
    *,
    sample: int,
    rng: np.random.Generator,
    progress: Show,
    threads: int = 0,
) -> Verdict:
    """Compute every checksum again from Redis, and `sample` users' lists again from the stored inputs.

    Args:
        store: Holds it.
        generation: Which; sealed, whether served or not.
        root: Where generations lie on disk.
        sample: Users to score again, in every bucket.
        rng: Draws them.
        progress: Told what is compared, how far, of how much.
        threads: Threads of LightGBM; 0: all cores.

    Raises:
        LookupError: The store has no such generation.
    """
    manifest, users = store.need_manifest(generation), store.user_ids(generation)
    bad, missing = bad_checksums(store, manifest, users, progress)
    chosen = np.sort(rng.choice(len(users), min(sample, len(users)), replace=False))
    compared: tuple[int, int, list[Difference]] = (0, 0, [])
    unscored: InputsMissing | None = None
    try:
        inputs = load_sealed(manifest, GenerationFolder.of(root, generation).inputs, chosen)
        compared = _compare(store, manifest, [users[row] for row in chosen], inputs, threads, progress)
    except InputsMissing as exc:
        unscored = exc
    return Verdict(
        generation=generation,
        n_shards=len(shard_names(manifest.checksums)) + 2 + (CHECKSUM in manifest.checksums),
        bad_shards=tuple(sorted(bad)),
        missing_users=tuple(as_json(user_id, manifest.user_ids) for user_id in missing[:SHOWN]),
        n_missing=len(missing),
        n_lists=compared[0],
        n_positions=compared[1],
        differences=tuple(compared[2][:SHOWN]),
        n_different=len(compared[2]),
        unscored=None if unscored is None else str(unscored),
        broken=isinstance(unscored, InputsBroken),
    )


def load_sealed(manifest: Manifest, folder: Path, users: AnyInts) -> Inputs:
    """Return some users' inputs, and make sure that they are those that the manifest names.

    Raises:
        InputsMissing: There are none; InputsBroken: they are gone, or others.
    """
    name = baseline_name(manifest.model)
    if name is not None:
        raise InputsMissing(
            f"generation {manifest.generation} is the peer {name}'s, which keeps no model to score again by: "
            "what is proven is that the store holds what was sealed"
        )
    if manifest.holds_seen:
        raise InputsMissing(
            f"generation {manifest.generation} is of lists that somebody else made, so there is no model to "
            "score again by: what is proven is that the store holds what was sealed"
        )
    if INPUTS not in manifest.checksums:
        raise InputsMissing(f"generation {manifest.generation} was published without its inputs")
    inputs = load(folder, users, manifest.checksums[INPUTS])
    found = model_of(folder)
    if found != manifest.model:
        raise InputsBroken(f"{folder} holds model {found}, the manifest names {manifest.model}")
    return inputs


def rescore(inputs: Inputs, depth: int, threads: int = 0) -> Ints:
    """Rank every post for every user and bucket by LightGBM's own `predict`.

    Returns:
        int64 (users, buckets, depth). Codes of posts, best first, -1 fills.
    """
    booster, sides = lgb.Booster(model_str=inputs.model), inputs.sides
    rows = np.arange(len(sides.user_ids))
    out = np.full((len(rows), len(sides.starts), depth), -1, np.int64)
    opened = inputs.opened
    for bucket in range(len(sides.starts)):
        scores = raw_scores(booster, sides, rows, bucket, inputs.dense, threads)
        now = None if opened is None else opened[bucket]
        for user in rows.tolist():
            posts, _ = best(scores[user], inputs.left_out.of(user), depth, inputs.caps, now)
            out[user, bucket] = np.where(posts >= 0, sides.post_ids[posts], -1)
    return out


def _compare(
    store: GenerationStore,
    manifest: Manifest,
    users: Sequence[str],
    inputs: Inputs,
    threads: int,
    progress: Show,
) -> tuple[int, int, list[Difference]]:
    """Return lists and places compared, and each differing list's first difference."""
    starts, posts = manifest.horizon.starts, read_post_ids(store, manifest)
    found = posts.codes(store.read_lists(manifest, users, starts))
    expected = rescore(inputs, manifest.depth, threads)
    expected[find_empty(manifest.counts, found)] = -1
    different, shown = np.argwhere((expected != found).any(axis=2)).tolist(), posts.by_code()
    differences = [
        _first(as_json(users[u], manifest.user_ids), starts[b], expected[u, b], found[u, b], shown)
        for u, b in different
    ]
    progress("lists scored again", len(users), len(users))
    return math.prod(expected.shape[:2]), int((expected >= 0).sum()), differences


def _first(
    user_id: int | str, start: int, expected: Ints, found: Ints, shown: Mapping[int, int | str]
) -> Difference:
    at = int(np.argmax(expected != found))
    codes = (int(posts[at]) for posts in (expected, found))
    wanted, there = (shown.get(code, code) if code >= 0 else None for code in codes)
    return Difference(user_id, start, at, wanted, there)
