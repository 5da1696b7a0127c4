"""A small content with lists drawn by a seed, what must stand in the store for it, and processes to kill.

Run as `python -m tests.content` it forks a publisher for each line on stdin: URL, folder, seed and where to
die, with tabs between.
"""

import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import redis

from api.contract.buckets import Horizon
from api.contract.codec import encode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Layout, Manifest
from batch.data.ids import IdNames
from batch.data.ragged import starts
from batch.data.seen import SeenTimes
from batch.publish import shard
from batch.publish.config import PublishConfig
from batch.publish.generation import GenerationContent, post_json
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.score.ranked import RankedBlock
from batch.store.cluster import as_cluster
from tests.forks import fork_each_line

AS_OF_S = 1_640_357_999
DEPTH, N_BUCKETS, N_POSTS = 5, 3, 30
TTL_S = 7200
LAYOUT: Layout = "text"  # the fixture `layout` sets it
KEYS = Keys()


def times(rng: np.random.Generator, n_users: int, n_pairs: int) -> SeenTimes:
    """Draw `n_pairs` posts and times for every second user, none for the others."""
    n = np.where(np.arange(n_users) % 2, 0, n_pairs)
    start = starts(n)
    posts = [np.sort(rng.permutation(N_POSTS)[:k]) for k in n]
    moments = rng.integers(AS_OF_S - 86_400, AS_OF_S, start[-1], endpoint=True)
    return SeenTimes(start, np.concatenate(posts).astype(np.int32), moments)


def similar(rng: np.random.Generator) -> np.ndarray:
    """Draw three similar posts of each post, of every fourth one less, of the first none."""
    near = np.argsort(rng.random((N_POSTS, N_POSTS)))[:, :3].astype(np.int32)
    near[::4, 2] = -1
    near[0] = -1
    return near


def content(seed: int = 0, n_users: int = 40) -> GenerationContent:
    """Draw everything but the lists. Users have odd ids, every fifth no segment."""
    rng = np.random.default_rng(seed)
    rows = np.argsort(rng.random((3, N_BUCKETS, N_POSTS)))[:, :, :DEPTH].astype(np.int32)
    post_ids = np.sort(rng.choice(10_000, N_POSTS, replace=False)) + 1
    catalogue = rng.permutation(N_POSTS).astype(np.int32)
    return GenerationContent(
        variant="default",
        as_of_s=AS_OF_S,
        horizon=Horizon.after(AS_OF_S, 3600, N_BUCKETS),
        depth=DEPTH,
        seen_policy="views",
        model="drawn",
        features=("age", "hour"),
        segment_by=("gender",),
        user_ids=np.arange(n_users, dtype=np.int64) * 2 + 1,
        post_ids=post_ids.astype(np.int64),
        posts=[b'{"id":%d,"text":"","topic":""}' % post_id for post_id in post_ids],
        popular=rows[0],
        segments={"0": rows[1], "1": rows[2]},
        segment_of=[None if u % 5 == 0 else str(u % 2) for u in range(n_users)],
        catalogue=catalogue,
        views=times(rng, n_users, 12),
        likes=times(rng, n_users, 3),
        similar=similar(rng),
        metrics={"auc": 0.6},
        filter_by=("topic", "brand"),
        facets={f"topic={name}": catalogue[catalogue % 3 == k] for k, name in enumerate(("a", "b=c", "ü"))},
    )


def spelled(kind: str, n: int, seed: int = 0) -> list[str]:
    """Return `n` different ids as tables spell them, of every sort that `text` may hold."""
    if kind == "numbers":
        return [str(2 * k + 1) for k in range(n)]
    rng = random.Random(seed)
    uuids = [str(uuid.UUID(int=rng.getrandbits(2**7))) for _ in range(n)]
    odd = [
        "007",
        "7",
        "ann smith",
        "{brace}",
        "100%",
        "Мария",
        str(2**60),
        "0x1A",
        "a.b.c",
        "it's",
        "%20",
        "x" * 256,
    ]
    return (odd + [one.upper() if k % 2 else one for k, one in enumerate(uuids)])[:n]


def with_text_ids(of: GenerationContent, seed: int = 0) -> GenerationContent:
    """Return a content whose users and posts have texts as ids, in rows of their codes."""
    users = IdNames.of("text", spelled("text", len(of.user_ids)))
    posts = IdNames.of("text", spelled("text", len(of.post_ids), seed + 1))
    user_ids, post_ids = (
        np.sort([names.code_of(text) for text in spelled("text", n, at)])
        for names, n, at in ((users, len(of.user_ids), 0), (posts, len(of.post_ids), seed + 1))
    )
    table = pd.DataFrame({"post_id": post_ids, "text": None, "topic": None})
    return replace(
        of,
        user_ids=user_ids,
        post_ids=post_ids,
        user_names=users,
        post_names=posts,
        posts=post_json(table, posts),
    )


def blocks(of: GenerationContent, seed: int = 0, size: int = 16) -> Iterator[RankedBlock]:
    """Draw lists for blocks of `size` users; every seventh list is one too short, one user's are empty."""
    rng = np.random.default_rng(seed + 1000)
    n_users = len(of.user_ids)
    posts = np.argsort(rng.random((n_users, N_BUCKETS, N_POSTS)))[:, :, :DEPTH].astype(np.int32)
    posts.reshape(-1, DEPTH)[::7, -1] = -1
    posts[3] = -1
    scores = np.where(posts < 0, np.nan, -np.sort(rng.random(posts.shape)))
    for first in range(0, n_users, size):
        yield RankedBlock(first, posts[first : first + size], scores[first : first + size])


def expected(of: GenerationContent, seed: int = 0) -> dict[int, dict[bytes, bytes]]:
    """Return what must stand in every user's hash, written list by list with the contract's own codec."""
    hashes: dict[int, dict[bytes, bytes]] = {}
    for block in blocks(of, seed):
        for i, lists in enumerate(block.posts):
            user = block.first + i
            fields = {
                str(start).encode(): encode(int(of.post_ids[row]) for row in rows if row >= 0)
                for start, rows in zip(of.horizon.starts, lists, strict=True)
            }
            segment = of.segment_of[user]
            own = {} if segment is None else {SEGMENT_FIELD.encode(): segment.encode()}
            hashes[int(of.user_ids[user])] = fields | own
    return hashes


def published(store: redis.Redis, folder: Path, seed: int = 0, **changes: object) -> Manifest:
    """Publish the content of a seed, with some of its parts changed, two generations kept."""
    of = replace(content(seed), **changes)  # type: ignore[arg-type] # the tests name parts that exist
    return publish(generations(store), of, blocks(of, seed), config(folder))


def generations(store: redis.Redis) -> GenerationStore:
    """Return the generations of a store under the tests' keys."""
    return GenerationStore(store, Keys(in_cluster=as_cluster(store) is not None))


def config(folder: Path, **changes: object) -> PublishConfig:
    """Return how the tests publish, with some of it changed: two generations kept, no gate."""
    how = PublishConfig(folder, TTL_S, kept=2, now=lambda: AS_OF_S + 60, layout=LAYOUT)
    return replace(how, **changes)  # type: ignore[arg-type] # the tests name parts that exist


def many(seed: int) -> GenerationContent:
    """Return one of two contents of 600 users, in turn: the next one's seen posts are others, never more."""
    return content(seed % 2, n_users=600)


def publish_once(line: str) -> int:
    """Publish 600 users' lists; with a place to die at, die at the first progress of that name."""
    url, folder, seed, die_at = line.split("\t")
    of = many(int(seed))
    calls: list[None] = []

    def now() -> int:
        calls.append(None)
        # It is asked for the lease, the beginning, and the promotion.
        if die_at == "sealed" and len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return AS_OF_S + 60

    def progress(what: str, done: int, total: int) -> None:
        if die_at and what.startswith(die_at):
            os.kill(os.getpid(), signal.SIGKILL)

    def slowly() -> Iterator[RankedBlock]:
        for block in blocks(of, int(seed), size=100):
            time.sleep(0.02)
            yield block

    with redis.Redis.from_url(url) as client:
        publish(generations(client), of, slowly(), config(Path(folder), now=now, progress=progress))
    return 0


def main() -> None:
    """Fork a publisher for every line on stdin."""
    of = content()
    shard.encode(next(blocks(of)).posts.reshape(-1, DEPTH), of.post_ids)  # compiles before the first fork
    fork_each_line(publish_once)


if __name__ == "__main__":
    main()
