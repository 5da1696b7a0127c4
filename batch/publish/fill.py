"""The bytes of one generation: users' lists, and what all users share."""

from collections.abc import Iterator
from hashlib import blake2b
from operator import itemgetter

import numpy as np

from api.contract.codec import encode as as_text
from api.contract.explore import encode_weights
from api.contract.window import encode_window
from batch.arrays import Ints
from batch.publish import shard
from batch.publish.generation import GenerationContent, Rows
from batch.publish.list_hashes import restore_lists, set_lists
from batch.publish.packed_lists import set_packed
from batch.publish.writer import Build
from batch.store.wire import PipelinedWriter, pack

POSTS_A_COMMAND = 200


def write_lists(build: Build, wire: PipelinedWriter, users: Ints, posts: Rows) -> list[bytes]:
    """Write each user's lists and their life at once; return each user's digest, the same in both layouts.

    Args:
        build: What the lists belong to.
        wire: Gets the commands.
        users: int64 (users,). Rows of users in the content.
        posts: int32 (users, buckets, depth). Their lists, best first, rows of posts; -1 fills.
    """
    content, (_, n_buckets, depth) = build.content, posts.shape
    texts = shard.encode(posts.reshape(-1, depth), content.post_numbers)
    segments = [content.segment_of[row] for row in users.tolist()]
    owners = list(zip(content.user_names.canonical(content.user_ids[users]), segments, strict=True))
    if build.manifest.layout == "packed":
        set_packed(build, wire, owners, posts)
    else:
        left = restore_lists(build, wire, owners, texts) if build.restores else range(len(owners))
        set_lists(build, wire, owners, texts, left)
    return [
        shard.digest(user_id, segment, [texts.lines(i * n_buckets, (i + 1) * n_buckets)])
        for i, (user_id, segment) in enumerate(owners)
    ]


def write_shared(build: Build, wire: PipelinedWriter) -> str:
    """Write popular, segments, profiles, catalogue, posts, facets, similar, windows, weights; return
    their checksum.

    These have no life of their own: they are what a dead batch leaves to serve.
    """
    content, keys, number = build.content, build.store.keys, build.number
    digest = blake2b(digest_size=shard.DIGEST_BYTES)
    starts = [b"%d" % start for start in content.horizon.starts]
    for key, rows in _shared_lists(build):
        build.lease.check()
        values = [_text(content, row) for row in rows]
        digest.update(b"".join(value + b"\n" for value in values))
        pairs = [part for pair in zip(starts, values, strict=True) for part in pair]
        wire.send(pack(b"HSET", key.encode(), *pairs), 1)
    catalogue = _text(content, content.catalogue)
    digest.update(catalogue + b"\n")
    wire.send(pack(b"SET", keys.catalogue(number).encode(), catalogue), 1)
    order = np.argsort(content.post_numbers)
    order = order[content.offered[order]]
    posts = [(int(content.post_numbers[row]), content.posts[row]) for row in order.tolist()]
    for low in range(0, len(posts), POSTS_A_COMMAND):
        build.lease.check()
        pairs = [
            part for number, text in posts[low : low + POSTS_A_COMMAND] for part in (b"%d" % number, text)
        ]
        digest.update(b"".join(text + b"\n" for text in pairs[1::2]))
        wire.send(pack(b"HSET", keys.posts(number).encode(), *pairs), 1)
    for facet, rows in sorted((facet.encode(), rows) for facet, rows in content.facets.items()):
        build.lease.check()
        pairs = [facet, _text(content, rows)]
        digest.update(b"".join(text + b"\n" for text in pairs))
        wire.send(pack(b"HSET", keys.facets(number).encode(), *pairs), 1)
    for post, near in _write_similar(build, wire, order):
        digest.update(post + b" " + near + b"\n")
    for post, window in _write_windows(build, wire):
        digest.update(post + b" " + window + b"\n")
    for name, text in _write_weights(build, wire):
        digest.update(name + b"\n" + text + b"\n")
    wire.flush()
    return digest.hexdigest()


def _write_similar(build: Build, wire: PipelinedWriter, order: Ints) -> Iterator[tuple[bytes, bytes]]:
    """Write each post's similar posts, in an order of rows; yield number and text of those that have any."""
    content = build.content
    if content.similar is None:
        return
    key = build.store.keys.similar(build.number).encode()
    for low in range(0, len(order), POSTS_A_COMMAND):
        build.lease.check()
        rows = order[low : low + POSTS_A_COMMAND]
        texts = [(b"%d" % content.post_numbers[row], _text(content, content.similar[row])) for row in rows]
        found = [(number, text) for number, text in texts if text]
        if found:
            wire.send(pack(b"HSET", key, *(part for pair in found for part in pair)), 1)
        yield from found


def _write_windows(build: Build, wire: PipelinedWriter) -> Iterator[tuple[bytes, bytes]]:
    """Write when posts with a window may be shown; yield number and window, ascending by number."""
    numbers, key = build.content.post_numbers, build.store.keys.windows(build.number).encode()
    windows = sorted(
        ((int(numbers[row]), window) for row, window in build.content.windowed.items()), key=itemgetter(0)
    )
    for low in range(0, len(windows), POSTS_A_COMMAND):
        build.lease.check()
        some = windows[low : low + POSTS_A_COMMAND]
        found = [(b"%d" % number, encode_window(*window)) for number, window in some]
        wire.send(pack(b"HSET", key, *(part for pair in found for part in pair)), 1)
        yield from found


def _write_weights(build: Build, wire: PipelinedWriter) -> Iterator[tuple[bytes, bytes]]:
    """Write what exploration places draw from; yield segment and text, ascending by the segment's bytes."""
    content, key = build.content, build.store.keys.explore(build.number).encode()
    weights = content.explored.weights if content.explored else {}
    for name, weighed in sorted((name.encode(), weighed) for name, weighed in weights.items()):
        build.lease.check()
        text = encode_weights(content.post_numbers[weighed.post].tolist(), weighed.weight.tolist())
        wire.send(pack(b"HSET", key, name, text), 1)
        yield name, text


def _shared_lists(build: Build) -> Iterator[tuple[str, Rows]]:
    content, keys, number = build.content, build.store.keys, build.number
    yield keys.popular(number), content.popular
    for name in sorted(content.segments):
        yield keys.segment(number, name), content.segments[name]
    for name in sorted(content.profiles):
        yield keys.profile(number, name), content.profiles[name]


def _text(content: GenerationContent, rows: Rows) -> bytes:
    return as_text(content.post_numbers[rows[np.greater_equal(rows, 0)]].tolist())
