"""Users' lists as one packed value each, written with their life by one command."""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from api.contract.packed import HEAD, NARROW, bits_for
from batch.arrays import Ints
from batch.publish.generation import Rows
from batch.publish.list_hashes import TOGETHER, Owners
from batch.publish.writer import Build
from batch.store.wire import PipelinedWriter, bulk


def set_packed(build: Build, wire: PipelinedWriter, owners: Owners, posts: Rows) -> None:
    """Write users' lists, int32 (users, buckets, depth) rows of posts, -1 fills: a command a user."""
    keys, number, life = build.store.keys, build.number, bulk(b"%d" % build.config.ttl_s)
    segments = [segment for _, segment in owners]
    values = pack_lists(posts, build.content.post_numbers, segments)
    for low in range(0, len(owners), TOGETHER):
        build.lease.check()
        some = owners[low : low + TOGETHER]
        commands = [
            b"*5\r\n$3\r\nSET\r\n%b%b$2\r\nEX\r\n%b"
            % (bulk(keys.list(user_id, number).encode()), bulk(next(values)), life)
            for user_id, _ in some
        ]
        wire.send(b"".join(commands), len(some))


def pack_lists(posts: Rows, numbers: Ints, segments: list[str | None]) -> Iterator[bytes]:
    """Yield each user's lists as `api.contract.packed.pack` writes them.

    Args:
        posts: int32 (users, buckets, depth). Rows in `numbers`, best first; -1 ends a list.
        numbers: int64 (posts,), 0 to 2³¹ − 1. All of the generation's, since the largest says the bits.
        segments: Names, one a user; None where a user has none.

    >>> lists = np.array([[[0, 1], [0, 1]]], np.int32)
    >>> next(pack_lists(lists, np.array([3, 2]), [None])).hex()
    '030200020001000000000013'
    """
    _, n_buckets, depth = posts.shape
    bits = bits_for(int(numbers.max(initial=0)))
    place, cells, end = _pack(np.ascontiguousarray(posts), numbers, bits)
    places, data = place.astype("u1" if n_buckets <= NARROW else "<u2"), cells.tobytes()
    for user, segment in enumerate(segments):
        name = (segment or "").encode()
        head = HEAD.pack(bits, depth, n_buckets, int(place[user, -1]) + 1, len(name))
        yield b"".join([head, places[user].tobytes(), name, data[end[user] : end[user + 1]]])


@numba.njit(cache=True)
def _pack(posts: Any, numbers: Any, bits: Any) -> Any:
    """Return which list each bucket has, the bytes of all lists, and where each user's end."""
    n_users, n_buckets, depth = posts.shape
    size, nothing = (depth * bits + 7) // 8, (1 << bits) - 1
    place = np.empty((n_users, n_buckets), np.int64)
    out, at = np.zeros(n_users * n_buckets * size, np.uint8), 0
    end = np.zeros(n_users + 1, np.int64)
    for user in range(n_users):
        n_lists = 0
        for bucket in range(n_buckets):
            ranked, is_new = posts[user, bucket], bucket == 0
            if not is_new:
                before = posts[user, bucket - 1]
                for k in range(depth):
                    if ranked[k] != before[k]:
                        is_new = True
                        break
            if is_new:
                n_lists += 1
                held, n_held, is_over = 0, 0, False
                for row in ranked:
                    is_over = is_over or row < 0
                    held |= (nothing if is_over else numbers[row]) << n_held
                    n_held += bits
                    while n_held >= 8:
                        out[at] = held & 255
                        at, held, n_held = at + 1, held >> 8, n_held - 8
                if n_held:
                    out[at] = held
                    at += 1
            place[user, bucket] = n_lists - 1
        end[user + 1] = at
    return place, out[:at], end
