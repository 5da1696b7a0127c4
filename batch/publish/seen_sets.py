"""Seen posts and likes into the store, where both only grow, and only what it does not hold yet."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from api.contract.keys import Id
from batch.arrays import Ints
from batch.data.seen import SeenTimes
from batch.progress import Show
from batch.publish.generation import GenerationContent
from batch.publish.seen_order import TOGETHER, Order
from batch.store import restore
from batch.store.lease import Lease
from batch.store.restore import Parts
from batch.store.wire import FRAME, PipelinedWriter, bulk, n_digits, put_bulk

BLOCK = 4096  # users turned into bytes at a time
PIECE = 1000  # pairs a command: one user with very many must not hold up the readers
LONGEST = 5000  # pairs that are restored at once: as long for the server as PIECE of them one by one


def write_seen(
    wire: PipelinedWriter,
    lease: Lease,
    content: GenerationContent,
    times: SeenTimes,
    key: Callable[[Id], str],
    since_s: int | None,
    progress: Show,
    *,
    restores: bool = False,
) -> None:
    """Add the pairs later than `since_s` (None: all) to each user's ZSET, where an earlier time stays.

    Args:
        wire: Gets the commands; when this returns, some may be under way.
        lease: The right to publish.
        content: Gives the ids.
        times: The pairs.
        key: Names a user's set.
        since_s: The pairs up to then are in the store.
        progress: Told after each block of users.
        restores: The store takes whole sets, see `restore.is_taken`. Then all of a user's pairs go in at
            once, unless the set is there already or longer than LONGEST.
    """
    order = Order.of(content.post_numbers, times) if restores and since_s is None else None
    what, there = key(0).split(":")[2], list[int]()
    for low in range(0, times.n_users, BLOCK):
        rows = np.arange(low, min(low + BLOCK, times.n_users))
        if order is not None:
            whole = (times.sizes[rows] > 0) & (times.sizes[rows] <= LONGEST)
            _restore(wire, lease, content, times, key, order, rows[whole], there.append)
            rows = np.append(rows[times.sizes[rows] > LONGEST], _drain(there))
        _add(wire, lease, content, times, key, since_s, rows)
        progress(what, min(low + BLOCK, times.n_users), times.n_users)
    if order is not None:
        wire.flush()
        _add(wire, lease, content, times, key, None, _drain(there))


def _drain(rows: list[int]) -> Ints:
    """Take all rows out of a list."""
    taken = np.array(rows, np.int64)
    rows.clear()
    return taken


def _restore(
    wire: PipelinedWriter,
    lease: Lease,
    content: GenerationContent,
    times: SeenTimes,
    key: Callable[[Id], str],
    order: Order,
    rows: Ints,
    is_there: Callable[[int], object],
) -> None:
    """Send whole sets of users, none empty; `is_there` is told, later, the rows of those that are there."""
    heads = [restore.head(key(user_id)) for user_id in content.user_names.canonical(content.user_ids[rows])]
    for low in range(0, len(rows), TOGETHER):
        lease.check()
        some, own = rows[low : low + TOGETHER].tolist(), times.of_users(rows[low : low + TOGETHER])
        time, member = order.sort(own)
        packed = restore.sorted_sets(Parts.of(heads[low : low + TOGETHER]), own.start, time, member)
        wire.send(packed.data, len(some), lambda place, some=some: is_there(some[place]))  # type: ignore[misc]


def _add(
    wire: PipelinedWriter,
    lease: Lease,
    content: GenerationContent,
    times: SeenTimes,
    key: Callable[[Id], str],
    since_s: int | None,
    rows: Ints,
) -> None:
    """Add pairs of some users one by one.

    A user's latest pairs go first: the server then finds the place of each at the front.
    """
    if not len(rows):
        return
    user, post, time = _later(times.of_users(rows), since_s)
    text, place, end = _pairs(user, content.post_numbers[post], time, len(rows))
    view, places, ends = memoryview(text), place.tolist(), end.tolist()
    for i, user_id in enumerate(content.user_names.canonical(content.user_ids[rows])):
        lease.check()
        name = key(user_id).encode()
        for first in range(ends[i], ends[i + 1], PIECE):
            last = min(first + PIECE, ends[i + 1])
            wire.send(_zadd(name, last - first, view[places[first] : places[last]]), 1)


def _later(times: SeenTimes, since_s: int | None) -> tuple[Ints, Ints, Ints]:
    """Return user, post and time of the pairs later than `since_s`, latest first."""
    if since_s is not None:
        times = times.where(times.time > since_s)
    latest = np.argsort(times.time)[::-1]
    return times.user[latest], times.post[latest].astype(np.int64), times.time[latest].astype(np.int64)


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
