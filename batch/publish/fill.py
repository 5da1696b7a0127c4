"""The bytes of one generation: users' lists, and what all users share."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import redis

from api.contract.codec import encode as as_text
from api.contract.keys import SEGMENT_FIELD, Keys
from batch.publish import shard
from batch.publish.generation import GenerationContent, Rows
from batch.score.ranked import RankedBlock
from batch.store.lease import Lease, Progress
from batch.store.wire import EXEC, MULTI, PipelinedWriter, bulk, pack

POSTS_A_COMMAND = 200


@dataclass(frozen=True, slots=True)
class Work:
    """What every step of one publication needs."""

    client: redis.Redis
    keys: Keys
    lease: Lease
    content: GenerationContent
    folder: Path
    progress: Progress


def write_lists(
    work: Work, wire: PipelinedWriter, number: int, block: RankedBlock, ttl_s: int
) -> list[bytes]:
    """Write each user's hash and its life in one transaction; return each user's digest."""
    content = work.content
    n_users, n_buckets, depth = block.posts.shape
    texts = shard.encode(block.posts.reshape(-1, depth), content.post_ids)
    users = content.user_ids[block.first : block.first + n_users].tolist()
    segments = content.segment_of[block.first : block.first + n_users]
    fields = [bulk(b"%d" % start) for start in content.horizon.starts]
    life = b"$%d\r\n%d\r\n" % (len(str(ttl_s)), ttl_s)
    for i, (user_id, segment) in enumerate(zip(users, segments, strict=True)):
        work.lease.check()
        key = bulk(work.keys.list(user_id, number).encode())
        pairs = [part for b in range(n_buckets) for part in (fields[b], bulk(texts[i * n_buckets + b]))]
        if segment is not None:
            pairs += [bulk(SEGMENT_FIELD.encode()), bulk(segment.encode())]
        head = b"*%d\r\n$4\r\nHSET\r\n" % (2 + len(pairs))
        expire = b"*3\r\n$6\r\nEXPIRE\r\n" + key + life
        wire.send(b"".join([MULTI, head, key, *pairs, expire, EXEC]), 4)
    return [
        shard.digest(user_id, segment, [texts.lines(i * n_buckets, (i + 1) * n_buckets)])
        for i, (user_id, segment) in enumerate(zip(users, segments, strict=True))
    ]


def write_shared(work: Work, wire: PipelinedWriter, number: int) -> str:
    """Write what is not a user's: popular, segments, profiles, catalogue, posts. Return their checksum.

    These have no life of their own: they are what a dead batch leaves to serve.
    """
    content, keys = work.content, work.keys
    hashes = {keys.popular(number): content.popular}
    hashes |= {keys.segment(number, name): content.segments[name] for name in sorted(content.segments)}
    hashes |= {keys.profile(number, name): content.profiles[name] for name in sorted(content.profiles)}
    digest = blake2b(digest_size=shard.DIGEST_BYTES)
    for key, rows in hashes.items():
        work.lease.check()
        values = [_text(content, row) for row in rows]
        digest.update(b"".join(value + b"\n" for value in values))
        starts = [b"%d" % start for start in content.horizon.starts]
        pairs = [part for pair in zip(starts, values, strict=True) for part in pair]
        wire.send(pack(b"HSET", key.encode(), *pairs), 1)
    catalogue = _text(content, content.catalogue)
    digest.update(catalogue + b"\n")
    wire.send(pack(b"SET", keys.catalogue(number).encode(), catalogue), 1)
    ids = content.post_ids.tolist()
    for low in range(0, len(ids), POSTS_A_COMMAND):
        work.lease.check()
        several = zip(
            ids[low : low + POSTS_A_COMMAND], content.posts[low : low + POSTS_A_COMMAND], strict=True
        )
        pairs = [part for post_id, text in several for part in (b"%d" % post_id, text)]
        digest.update(b"".join(text + b"\n" for text in pairs[1::2]))
        wire.send(pack(b"HSET", keys.posts(number).encode(), *pairs), 1)
    wire.flush()
    return digest.hexdigest()


def _text(content: GenerationContent, rows: Rows) -> bytes:
    return as_text(content.post_ids[rows[np.greater_equal(rows, 0)]].tolist())
