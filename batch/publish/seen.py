"""Seen posts and likes into the store, where both only grow, and only what it does not hold yet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from api.contract.ids import FEATURE
from api.contract.keys import Id
from api.contract.manifest import Manifest
from batch.arrays import AnyInts, Ints, Words
from batch.data.seen import SeenTimes
from batch.progress import Show
from batch.publish.generation import GenerationContent
from batch.store.lease import Lease
from batch.store.wire import FRAME, PipelinedWriter, bulk, n_digits, put_bulk

BLOCK = 4096  # users turned into bytes at a time
PIECE = 1000  # pairs a command: one user with very many must not hold up the readers


@dataclass(frozen=True, slots=True)
class Marks:
    """What users have seen, or liked, as sums that a change of one user changes without the others.

    Attributes:
        n: int64 (users,). Pairs of each user.
        sums: uint64 (users, 2). Two numbers drawn by user, post and time, summed over their pairs modulo 2⁶⁴.
    """

    n: Ints
    sums: Words

    @property
    def digest(self) -> str:
        """Return all users' pairs in 48 hexadecimal digits: how many they are, and both sums of all."""
        one, two = self.sums.sum(axis=0, dtype=np.uint64).tolist()
        return f"{int(self.n.sum()):016x}{one:016x}{two:016x}"

    def of(self, users: AnyInts) -> "Marks":
        """Return the marks of some users, given by row."""
        return Marks(self.n[users], self.sums[users])


def mark(content: GenerationContent, times: SeenTimes, until_s: int) -> Marks:
    """Mark all pairs whose earliest time is not after `until_s`.

    A sealed manifest carries the marks of its own as_of, and its pairs were in the store before it was.
    So if today's facts give the same mark for that time, the store holds exactly these pairs; a fact that
    arrived late changes the mark. Independent of row numbers: users and posts enter by id. Against chance,
    not against someone who wants two sets of pairs to look alike.
    """
    n, sums = _marks(content.user_ids, content.post_ids, times.start, times.post, times.time, until_s)
    return Marks(n, sums)


def held_until(
    content: GenerationContent, times: SeenTimes, name: str, sealed: Manifest | None
) -> int | None:
    """Return the time up to which the store provably holds all pairs; None: nothing is proven.

    Args:
        content: Gives the ids.
        times: The pairs as the facts have them now.
        name: `seen` or `likes`, the mark's name among the manifest's checksums.
        sealed: The newest generation that was sealed in this store.
    """
    if sealed is None or (content.needs_dictionary and FEATURE not in sealed.needs):
        return None  # it may have written posts under numbers that are not theirs any more
    if sealed.checksums.get(name) != mark(content, times, sealed.as_of_s).digest:
        return None
    return sealed.as_of_s


def write_seen(
    wire: PipelinedWriter,
    lease: Lease,
    content: GenerationContent,
    times: SeenTimes,
    key: Callable[[Id], str],
    since_s: int | None,
    progress: Show,
) -> None:
    """Add the pairs later than `since_s` (None: all) to each user's ZSET, where an earlier time stays.

    A user's latest pairs go first: the server then finds the place of each at the front.
    """
    what = key(0).split(":")[2]
    for low in range(0, times.n_users, BLOCK):
        ids = content.user_ids[low : low + BLOCK]
        user, post, time = _later(times, low, len(ids), since_s)
        text, place, end = _pairs(user, content.post_numbers[post], time, len(ids))
        view, places, ends = memoryview(text), place.tolist(), end.tolist()
        for i, user_id in enumerate(content.user_names.canonical(ids)):
            lease.check()
            name = key(user_id).encode()
            for first in range(ends[i], ends[i + 1], PIECE):
                last = min(first + PIECE, ends[i + 1])
                wire.send(_zadd(name, last - first, view[places[first] : places[last]]), 1)
        progress(what, low + len(ids), times.n_users)


def _later(times: SeenTimes, low: int, n_users: int, since_s: int | None) -> tuple[Ints, Ints, Ints]:
    """Return user (counted from `low`), post and time of the pairs later than `since_s`, latest first."""
    start = times.start[low : low + n_users + 1]
    time = times.time[start[0] : start[-1]]
    user = np.repeat(np.arange(n_users), np.diff(start))
    post = times.post[start[0] : start[-1]]
    if since_s is not None:
        kept = time > since_s
        user, post, time = user[kept], post[kept], time[kept]
    latest = np.argsort(time)[::-1]
    return user[latest], post[latest].astype(np.int64), time[latest]


def _zadd(key: bytes, n_pairs: int, pairs: memoryview) -> bytes:
    """Write `ZADD key LT` and the pairs: a time that stands there is only ever replaced by an earlier one."""
    head = b"*%d\r\n$4\r\nZADD\r\n" % (3 + 2 * n_pairs)
    return b"".join((head, bulk(key), b"$2\r\nLT\r\n", pairs))


@numba.njit(cache=True)
def _pairs(user: Any, post_id: Any, time: Any, n_users: Any) -> Any:
    """Write score and member of every pair, grouped by user; within a user they stay in order.

    Returns:
        text uint8, place int64 (pairs + 1,) of each pair in it, end int64 (users + 1,) of each user's pairs.
    """
    end = np.zeros(n_users + 1, np.int64)
    for u in user:
        end[u + 1] += 1
    for u in range(n_users):
        end[u + 1] += end[u]
    cursor = end[:-1].copy()
    order = np.empty(len(user), np.int64)
    size = 0
    for i in range(len(user)):
        order[cursor[user[i]]] = i
        cursor[user[i]] += 1
        size += 2 * FRAME + n_digits(time[i]) + n_digits(post_id[i])
    text = np.empty(size, np.uint8)
    place = np.zeros(len(user) + 1, np.int64)
    for k in range(len(order)):
        at = put_bulk(text, place[k], time[order[k]])
        place[k + 1] = put_bulk(text, at, post_id[order[k]])
    return text, place, end


@numba.njit(cache=True)
def _marks(user_ids: Any, post_ids: Any, start: Any, post: Any, time: Any, until_s: Any) -> Any:
    """Count each user's pairs up to a time, and sum two numbers drawn by each."""
    n = np.zeros(len(user_ids), np.int64)
    sums = np.zeros((len(user_ids), 2), np.uint64)
    for user in range(len(user_ids)):
        own = mix(np.uint64(user_ids[user]))
        for at in range(start[user], start[user + 1]):
            if time[at] <= until_s:
                drawn = mix(mix(own ^ np.uint64(post_ids[post[at]])) ^ np.uint64(time[at]))
                n[user] += 1
                sums[user, 0] += drawn
                sums[user, 1] += mix(drawn)
    return n, sums


@numba.njit(cache=True)
def mix(word: Any) -> Any:
    """Spread 64 bits over 64 bits, one to one.

    Source: the finalizer of SplitMix64, G. Steele, D. Lea, C. Flood, OOPSLA 2014.
    """
    word = np.uint64(word) + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
