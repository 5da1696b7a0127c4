"""Events in their order, each once: pure. One sort of one 64-bit key per event, in place, where it fits.

76.9 M events of StartML take 23 bits of time, 18 of user, 13 of post and 2 of action and target; the key
costs 8 bytes an event and becomes the time column in the end.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch.arrays import Bools, Floats32, Ints, Ints8, Ints32, Words
from batch.memory import give_back

BLOCK = 1 << 20  # rows handled at once, so that temporaries stay small
KEY_BITS = 64


class Chunk(NamedTuple):
    """Accepted events as they came: 13 bytes each.

    time uint32 or int64 (epoch seconds, not negative), user and post int32 (places), what uint8
    (action × 2 + target), weight float32 (all chunks have one, or none has); all (rows,).
    """

    time: npt.NDArray[np.uint32] | Ints
    user: Ints32
    post: Ints32
    what: npt.NDArray[np.uint8]
    weight: Floats32 | None = None


class Events(NamedTuple):
    """The event columns of Facts; `user` and `post` are row numbers."""

    user: Ints32
    post: Ints32
    time: Ints
    action: Ints8
    target: Ints8
    weight: Floats32 | None = None

    def select(self, rows: Bools | Ints) -> "Events":
        """Return some events, in the order given."""
        weight = None if self.weight is None else self.weight[rows]
        columns = (self.user[rows], self.post[rows], self.time[rows], self.action[rows], self.target[rows])
        return Events(*columns, weight)


def in_order(chunks: list[Chunk], user_row: Ints32, post_row: Ints32) -> tuple[Events, Events]:
    """Sort events by time, user, post, action, and keep one of each.

    Args:
        chunks: Emptied on the way, so that memory is freed as it is needed.
        user_row: int32 (places,). Row in `users` of each user's place; several may have one.
        post_row: int32 (places,). Row in `posts` of each post's place.

    Returns:
        The events, and those left out as duplicates. Of equal events that differ in target, the one with
        target 1 is kept; of those that differ in weight, the heaviest.
    """
    first = min((int(chunk.time.min()) for chunk in chunks), default=0)
    last = max((int(chunk.time.max()) for chunk in chunks), default=0)
    bits = Bits.of(last - first, int(user_row.max(initial=0)), int(post_row.max(initial=0)))
    if bits.total > KEY_BITS or any(chunk.weight is not None for chunk in chunks):
        return _by_columns(chunks, user_row, post_row)
    keys = _pack(chunks, user_row, post_row, first, bits)
    give_back()  # the chunks
    keys.sort()
    again = _repeats(keys)
    duplicates = keys[again]
    if len(duplicates):
        keys = keys[~again]
    return _unpack(keys, first, bits), _unpack(duplicates, first, bits)


class Bits(NamedTuple):
    """How many bits of the key each column takes; action and target take one each."""

    time: int
    user: int
    post: int

    @classmethod
    def of(cls, span_s: int, last_user: int, last_post: int) -> "Bits":
        """Give each column what its largest value needs."""
        return cls(span_s.bit_length(), last_user.bit_length(), last_post.bit_length())

    @property
    def total(self) -> int:
        """Return the width of the key."""
        return self.time + self.user + self.post + 2


def _pack(chunks: list[Chunk], user_row: Ints32, post_row: Ints32, first: int, bits: Bits) -> Words:
    keys = np.empty(sum(len(chunk.time) for chunk in chunks), np.uint64)
    end = len(keys)
    while chunks:
        chunk = chunks.pop()
        key = chunk.time.astype(np.uint64) - np.uint64(first)
        key = (key << np.uint64(bits.user)) | user_row[chunk.user].astype(np.uint64)
        key = (key << np.uint64(bits.post)) | post_row[chunk.post].astype(np.uint64)
        keys[end - len(key) : end] = (key << np.uint64(2)) | chunk.what
        end -= len(key)
    return keys


def _repeats(keys: Words) -> Bools:
    """Mark each key whose successor differs in target at most."""
    again = np.zeros(len(keys), np.bool_)
    one = np.uint64(1)
    for rows in blocks(len(keys) - 1):
        after = slice(rows.start + 1, rows.stop + 1)
        again[rows] = (keys[rows] >> one) == (keys[after] >> one)
    return again


def _unpack(keys: Words, first: int, bits: Bits) -> Events:
    """Split the keys into columns; they become the time column themselves."""
    user, post = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    action, target = np.empty(len(keys), np.int8), np.empty(len(keys), np.int8)
    for rows in blocks(len(keys)):
        key = keys[rows]
        target[rows] = key & np.uint64(1)
        action[rows] = (key >> np.uint64(1)) & np.uint64(1)
        post[rows] = (key >> np.uint64(2)) & np.uint64((1 << bits.post) - 1)
        user[rows] = (key >> np.uint64(2 + bits.post)) & np.uint64((1 << bits.user) - 1)
        keys[rows] = (key >> np.uint64(2 + bits.post + bits.user)) + np.uint64(first)
    return Events(user, post, keys.view(np.int64), action, target)


def _by_columns(chunks: list[Chunk], user_row: Ints32, post_row: Ints32) -> tuple[Events, Events]:
    """Do the same where a key of 64 bits is too narrow; takes some 30 to 40 bytes an event on the way."""
    time = np.concatenate([chunk.time for chunk in chunks]).astype(np.int64, copy=False)
    user = user_row[np.concatenate([chunk.user for chunk in chunks])]
    post = post_row[np.concatenate([chunk.post for chunk in chunks])]
    what = np.concatenate([chunk.what for chunk in chunks])
    weights = [chunk.weight for chunk in chunks if chunk.weight is not None]
    weight = np.concatenate(weights) if weights else np.zeros(len(what), np.float32)
    chunks.clear()
    order = np.lexsort((weight, what, post, user, time))
    time, user, post, what, weight = time[order], user[order], post[order], what[order], weight[order]
    same = (time[1:] == time[:-1]) & (user[1:] == user[:-1]) & (post[1:] == post[:-1])
    again = np.append(same & (what[1:] >> 1 == what[:-1] >> 1), False)
    action, target = (what >> 1).astype(np.int8), (what & 1).astype(np.int8)
    events = Events(user, post, time, action, target, weight if weights else None)
    return events.select(~again), events.select(again)


def blocks(n: int) -> Iterator[slice]:
    """Yield the rows of `n`, `BLOCK` at a time."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))
