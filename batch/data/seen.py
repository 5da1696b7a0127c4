"""What each user has seen and liked, and since when, from the facts. Pure: no I/O, no clock."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from batch.arrays import AnyInts, Bools, Ints, Ints32, Words
from batch.data.columns import LIKE
from batch.data.facts import Facts
from batch.data.ragged import Ragged, starts
from batch.data.validation.order import KEY_BITS, Bits, blocks

What = Literal["views", "likes"]


@dataclass(frozen=True, slots=True)
class SeenPosts(Ragged):
    """Posts by user: a seen set each, or what each user liked; of a run's lists, what they leave out.

    Attributes:
        post: int32 (pairs,). Row numbers of posts, ascending and distinct within a user.
    """

    post: Ints32

    @classmethod
    def none(cls, n_users: int) -> "SeenPosts":
        """Return users who have seen nothing."""
        return SeenPosts(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32))

    def of_posts(self, rows: AnyInts) -> "SeenPosts":
        """Return of each user those of some posts, given by row, ascending; they are numbered from 0."""
        kept = self.where(np.isin(self.post, rows))
        return SeenPosts(kept.start, np.searchsorted(rows, kept.post).astype(np.int32))

    def of(self, user: int) -> Ints32:
        """Return int32 (n,): the rows of the posts of the user in row `user`."""
        return self.post[self.start[user] : self.start[user + 1]]


@dataclass(frozen=True, slots=True)
class SeenTimes(SeenPosts):
    """Posts by user, with the earliest time of each pair (user, post).

    Attributes:
        time: int32 (pairs,), or int64 where one lies after 2038. Epoch seconds at which the user first saw,
            or liked, the post.
    """

    time: Ints | Ints32

    @classmethod
    def none(cls, n_users: int) -> "SeenTimes":
        """Return users who have seen nothing."""
        return SeenTimes(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))


def earliest(facts: Facts, what: What) -> SeenTimes:
    """Return what every user saw or liked, with the earliest time of each pair.

    Seen is the union of impressions and interactions, since a like implies that the post was shown.
    Liked is the union of like rows and of views whose target is 1. Takes at most 20 bytes an event of memory
    beside the facts, 8 of which the result keeps; facts in a file are released on the way.

    Returns:
        One row of pairs a user of `facts.users`, in their order; users without events have none.

    Raises:
        ValueError: `what` is neither views nor likes.
    """
    if what not in ("views", "likes"):
        raise ValueError(f"what={what!r} must be views or likes")
    first_s, last_s = (int(facts.time[0]), int(facts.time[-1])) if len(facts.time) else (0, 0)
    n_users, n_posts = len(facts.users), len(facts.posts)
    bits = Bits.of(last_s - first_s, n_users, n_posts)
    if bits.total - 2 > KEY_BITS:
        return _by_columns(facts, what)
    keys = _pack(facts, what, first_s, bits)
    keys.sort()
    keys = _keep_first(keys, bits.time)
    sizes, post = np.zeros(n_users, np.int64), np.empty(len(keys), np.int32)
    is_narrow = first_s >= -(2**31) and last_s < 2**31
    time = np.empty(len(keys), np.int32) if is_narrow else keys.view(np.int64)
    for rows in blocks(len(keys)):
        pair = keys[rows] >> np.uint64(bits.time)
        sizes += np.bincount((pair >> np.uint64(bits.post)).astype(np.int64), minlength=n_users)
        post[rows] = pair & np.uint64((1 << bits.post) - 1)
        time[rows] = (keys[rows] & np.uint64((1 << bits.time) - 1)).astype(np.int64) + first_s
    return SeenTimes(starts(sizes), post, time)


def _pack(facts: Facts, what: What, first_s: int, bits: Bits) -> Words:
    """Return user, post and time of each event that counts, as one number each, in that order."""
    keys, end = np.empty(len(facts.time), np.uint64), 0
    for part in facts.parts():  # never all columns beside all keys
        counts = _counts(part, what)
        key = part.user[counts].astype(np.uint64) << np.uint64(bits.post)
        key = (key | part.post[counts].astype(np.uint64)) << np.uint64(bits.time)
        key |= (part.time[counts] - first_s).astype(np.uint64)
        keys[end : end + len(key)] = key
        end += len(key)
    return keys[:end].copy() if end < len(keys) else keys


def _counts(facts: Facts, what: What) -> Bools | slice:
    """Return which events say that a post was seen, or liked."""
    if what == "views":
        return slice(None)
    return np.asarray((facts.action == LIKE) | (facts.target == 1), np.bool_)


def _keep_first(keys: Words, time_bits: int) -> Words:
    """Return the first key of each pair (user, post), ascending; they are moved to the front."""
    end, before = 0, np.uint64(0)
    for rows in blocks(len(keys)):
        key = keys[rows]
        pair = (key >> np.uint64(time_bits)) + np.uint64(1)
        is_first = pair != np.append(before, pair[:-1])
        before = pair[-1]
        keys[end : end + int(is_first.sum())] = key[is_first]
        end += int(is_first.sum())
    return keys[:end]


def _by_columns(facts: Facts, what: What) -> SeenTimes:
    """Do the same where a number of 64 bits is too narrow; takes some 40 bytes an event."""
    counts = _counts(facts, what)
    user, post, time = facts.user[counts], facts.post[counts], facts.time[counts]
    order = np.lexsort((time, post, user))
    user, post = user[order], post[order]
    first = np.append(True, (user[1:] != user[:-1]) | (post[1:] != post[:-1]))[: len(order)]
    sizes = np.bincount(user[first], minlength=len(facts.users))
    return SeenTimes(starts(sizes), post[first], time[order][first])
