"""Seen posts and likes into the store, where both only grow, and only what it does not hold yet."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from api.contract.manifest import Manifest
from batch.publish.generation import Edition
from batch.publish.store.lease import Lease, Progress
from batch.publish.store.wire import FRAME, Wire, bulk, n_digits, put_bulk
from batch.source.seen import SeenTimes

BLOCK = 4096  # users turned into bytes at a time
PIECE = 1000  # pairs a command: one user with very many must not hold up the readers

Ints = npt.NDArray[np.int64]


def mark(edition: Edition, times: SeenTimes, until_s: int) -> str:
    """Digest all pairs whose earliest time is not after `until_s`, as hexadecimal text.

    A sealed manifest carries the marks of its own as_of, and its pairs were in the store before it was.
    So if today's facts give the same mark for that time, the store holds exactly these pairs; a fact that
    arrived late changes the mark. Independent of row numbers: users and posts enter by id.
    """
    digests = [blake2b(digest_size=16) for _ in range(3)]
    for low in range(0, times.n_users, BLOCK):
        start = times.start[low : low + BLOCK + 1]
        time = times.time[start[0] : start[-1]]
        kept = time <= until_s
        n_before = np.concatenate([[0], np.cumsum(kept)])[start - start[0]]
        n = np.diff(n_before)
        ids = edition.user_ids[low : low + BLOCK]
        parts = (
            np.column_stack([ids[n > 0], n[n > 0]]),
            edition.post_ids[times.post[start[0] : start[-1]][kept]],
            time[kept],
        )
        for digest, part in zip(digests, parts, strict=True):
            digest.update(np.ascontiguousarray(part, "<i8").data)
    return blake2b(b"".join(digest.digest() for digest in digests), digest_size=16).hexdigest()


def held_until(edition: Edition, times: SeenTimes, name: str, sealed: Manifest | None) -> int | None:
    """Return the time up to which the store provably holds all pairs; None: nothing is proven.

    Args:
        edition: Gives the ids.
        times: The pairs as the facts have them now.
        name: `seen` or `likes`, the mark's name among the manifest's checksums.
        sealed: The newest generation that was sealed in this store.
    """
    if sealed is None or sealed.checksums.get(name) != mark(edition, times, sealed.as_of_s):
        return None
    return sealed.as_of_s


def write_seen(
    wire: Wire,
    lease: Lease,
    edition: Edition,
    times: SeenTimes,
    key: Callable[[int], str],
    since_s: int | None,
    progress: Progress,
) -> None:
    """Add the pairs later than `since_s` (None: all) to each user's ZSET, where an earlier time stays.

    A user's latest pairs go first: the server then finds the place of each at the front.
    """
    what = key(0).split(":")[2]
    for low in range(0, times.n_users, BLOCK):
        ids = edition.user_ids[low : low + BLOCK]
        user, post, time = _later(times, low, len(ids), since_s)
        text, place, end = _pairs(user, edition.post_ids[post], time, len(ids))
        view, places, ends = memoryview(text), place.tolist(), end.tolist()
        for i, user_id in enumerate(ids.tolist()):
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
