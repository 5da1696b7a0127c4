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


def gather(facts: Facts) -> Impressions:
    """Group the facts' views by user; a session ends with a pause of more than half an hour."""
    n_users = len(facts.users)
    start = np.zeros(n_users + 1, np.int64)
    _count(facts.user, facts.action, start)
    start = np.cumsum(start)
    n = int(start[-1])
    post, columns = np.empty(n, np.int32), [np.empty(n, np.int8) for _ in range(5)]
    newest_s = int(facts.time[-1]) if len(facts.time) else 0
    clock = local_s(facts.time, facts.zone)
    events = (facts.user, facts.post, facts.time, clock, facts.action, facts.target)
    _scatter(*events, start, newest_s, post, *columns)
    return Impressions(start, len(facts.posts), post, *columns)


@numba.njit(cache=True)
def _count(user: Any, action: Any, size: Any) -> None:
    for i in range(len(user)):
        if action[i] == VIEW:
            size[user[i] + 1] += 1


@numba.njit(cache=True)
def _scatter(
    user: Any, post: Any, time: Any, clock: Any, action: Any, target: Any, start: Any, newest_s: Any,
    post_out: Any, liked: Any, hour: Any, week: Any, place: Any, third: Any,
) -> None:  # fmt: skip
    """Write each view to its user's rows; events come in order of time."""
    n_users = len(start) - 1
    cursor, last_s, first = start[:-1].copy(), np.zeros(n_users, np.int64), start[:-1].copy()
    for i in range(len(user)):
        if action[i] != VIEW:
            continue
        u = user[i]
        at = cursor[u]
        if at > first[u] and time[i] - last_s[u] > PAUSE_S:
            _thirds(third, first[u], at)
            first[u] = at
        post_out[at] = post[i]
        liked[at] = target[i]
        hour[at] = clock[i] // 3600 % 24
        week[at] = min((newest_s - time[i]) // (7 * DAY_S), 127)
        place[at] = min(at - first[u], N_PLACES - 1)
        cursor[u] = at + 1
        last_s[u] = time[i]
    for u in range(n_users):
        _thirds(third, first[u], cursor[u])


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
