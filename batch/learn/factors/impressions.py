"""Impressions user by user: what the estimates are counted from, in compact columns."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Floats, Ints8, Ints32
from batch.data.columns import VIEW
from batch.data.facts import Facts
from batch.data.local_time import local_s
from batch.data.ragged import Ragged
from batch.learn.factors.blocks import Block, in_threads, split_users
from batch.learn.sessions import PAUSE_S

N_PLACES = 40  # places in a session told apart; later ones count as the last
EARLY, LATE, BETWEEN = 1, 0, -1
LEAST_TO_HALVE = 6  # impressions of a session whose first and last third say what was shown first


@dataclass(frozen=True, slots=True)
class Impressions(Ragged):
    """Impressions by user, then time; 9 bytes each.

    Attributes:
        n_posts: Rows of posts in the facts.
        post: int32 (rows,). Row of the post.
        liked: int8 (rows,). 1 where a like followed.
        hour: int8 (rows,). Hour of the day, of the facts' zone.
        week: int8 (rows,). Whole weeks before the newest impression, at most 127.
        place: int8 (rows,). Place in the session, 0..N_PLACES-1.
        third: int8 (rows,). EARLY in its session's first third, LATE in its last, else BETWEEN.
    """

    n_posts: int
    post: Ints32
    liked: Ints8
    hour: Ints8
    week: Ints8
    place: Ints8
    third: Ints8

    @property
    def likes(self) -> Floats:
        """Return float64 (users,): likes of each user."""
        out = np.zeros(self.n_users)
        _likes(self.start, self.liked, out)
        return out


# One impression on its way to its user's rows: written at once, since each write there is a cache miss.
_ROW = np.dtype([("post", np.int32), *((name, np.int8) for name in ("liked", "hour", "week", "place"))])


def gather(facts: Facts) -> Impressions:
    """Group the facts' views by user; a session ends with a pause of more than half an hour.

    Events in a file are released on the way.
    """
    sizes = np.zeros(len(facts.users) + 1, np.int64)
    for part in facts.parts():
        _count(part.user, part.action, sizes)
    start = np.cumsum(sizes)
    newest_s = int(facts.time[-1]) if len(facts.time) else 0
    packed, state = np.empty(int(start[-1]), _ROW), np.column_stack([start[:-1], start[:-1], 0 * start[:-1]])
    users = split_users(start, max(1, -(-len(packed) // numba.get_num_threads())))
    for part in facts.parts():
        clock = local_s(part.time, part.zone)
        columns = (part.user, part.post, part.time, clock, part.action, part.target)
        events: tuple[Any, ...] = (*columns, newest_s, state, packed)

        def scatter(block: Block, events: tuple[Any, ...] = events) -> None:
            _scatter(*block, *events)

        for _ in in_threads(scatter, users):
            pass
    found = {name: packed[name].copy() for name in _ROW.names or ()}
    third = np.empty(len(packed), np.int8)
    _find_thirds(start, found["place"], third)
    return Impressions(start, len(facts.posts), **found, third=third)


@numba.njit(cache=True)
def _count(user: Any, action: Any, size: Any) -> None:
    for i in range(len(user)):
        if action[i] == VIEW:
            size[user[i] + 1] += 1


@numba.njit(cache=True, nogil=True)
def _scatter(
    low: Any, high: Any, user: Any, post: Any, time: Any, clock: Any, action: Any, target: Any, newest_s: Any,
    state: Any, out: Any,
) -> None:  # fmt: skip
    """Write the views of users from `low` up to `high` to their rows; events come in order of time.

    `state` has each user's next row, their session's first row, and the time of the row before.
    """
    for i in range(len(user)):
        u = user[i]
        if u < low or u >= high or action[i] != VIEW:
            continue
        of_user = state[np.uint32(u)]
        at = of_user[0]
        if at > of_user[1] and time[i] - of_user[2] > PAUSE_S:
            of_user[1] = at
        row = out[at]
        row.post = post[i]
        row.liked = target[i]
        row.hour = clock[i] // 3600 % 24
        row.week = min((newest_s - time[i]) // (7 * DAY_S), 127)
        row.place = min(at - of_user[1], N_PLACES - 1)
        of_user[0] = at + 1
        of_user[2] = time[i]


@numba.njit(cache=True)
def _find_thirds(start: Any, place: Any, third: Any) -> None:
    """Write each row's third; a session begins where the place is 0."""
    for u in range(len(start) - 1):
        first = start[u]
        for at in range(start[u] + 1, start[u + 1]):
            if place[at] == 0:
                _thirds(third, first, at)
                first = at
        _thirds(third, first, start[u + 1])


@numba.njit(cache=True)
def _thirds(third: Any, begin: Any, end: Any) -> None:
    n = end - begin
    for at in range(begin, end):
        middle = 2 * (at - begin) + 1  # of 2n
        third[at] = BETWEEN
        if n >= LEAST_TO_HALVE and 3 * middle < 2 * n:
            third[at] = EARLY
        elif n >= LEAST_TO_HALVE and 3 * middle > 4 * n:
            third[at] = LATE


@numba.njit(cache=True)
def _likes(start: Any, liked: Any, out: Any) -> None:
    for u in range(len(out)):
        for i in range(start[u], start[u + 1]):
            out[u] += liked[i]
