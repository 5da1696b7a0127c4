"""One pass over the events: how many there are by time, by user and by post, and how long sessions are."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Ints
from batch.data.columns import LIKE
from batch.data.facts import Facts
from batch.learn.sessions import PAUSE_S

SLOT_S = 900  # every zone's clocks differ from UTC by whole quarters of an hour
VIEWS, LIKES, LIKED = 0, 1, 2  # columns of counts: views, likes, and the views that a like followed
COUNTED = ("views", "likes", "liked")
MOST_POSTS, MOST_MINUTES = 1_000, 1_440  # of a session; longer ones count as such
_BEGUN, _LAST, _SIZE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Counts of all events; each axis adds up to the same totals.

    Attributes:
        slot_s: int64 (slots,). Begins of quarters of an hour that hold events, epoch seconds, ascending; one
            may come twice.
        by_slot: int64 (slots, 3). COUNTED of each.
        by_user: int64 (users, 3).
        by_post: int64 (posts, 3).
        session_posts: int64 (MOST_POSTS + 1,). Sessions by how many views each has.
        session_minutes: int64 (MOST_MINUTES + 1,). Sessions by whole minutes from first view to last.
    """

    slot_s: Ints
    by_slot: Ints
    by_user: Ints
    by_post: Ints
    session_posts: Ints
    session_minutes: Ints


def count_events(facts: Facts) -> EventCounts:
    """Count all events, some millions at a time; those in a file are released behind."""
    by_user = np.zeros((len(facts.users), 3), np.int64)
    by_post = np.zeros((len(facts.posts), 3), np.int64)
    open_ = np.zeros((len(facts.users), 3), np.int64)  # each user's session: begin, last view, views
    posts, minutes = np.zeros(MOST_POSTS + 1, np.int64), np.zeros(MOST_MINUTES + 1, np.int64)
    slots, counts = [np.empty(0, np.int64)], [np.empty((0, 3), np.int64)]
    for part in facts.parts():
        starts, cuts = _find_slots(part.time)
        by_slot = np.zeros((len(starts), 3), np.int64)
        events = part.time, part.user, part.post, part.action, part.target
        _count(cuts, *events, by_slot, by_user, by_post, open_, posts, minutes)
        slots.append(starts)
        counts.append(by_slot)
    _close_all(open_, posts, minutes)
    return EventCounts(np.concatenate(slots), np.concatenate(counts), by_user, by_post, posts, minutes)


def _find_slots(time: Ints) -> tuple[Ints, Ints]:
    """Return the slots of ascending times that are not empty, and where each begins, the end of all last."""
    low, high = int(time[0]) // SLOT_S, int(time[-1]) // SLOT_S
    if high - low < len(time):
        slots = np.arange(low, high + 1)
        cuts = np.searchsorted(time, slots * SLOT_S)
        there = np.diff(cuts, append=len(time)) > 0
        slots, cuts = slots[there], cuts[there]
    else:
        slots, cuts = np.unique(time // SLOT_S, return_index=True)
    return slots * SLOT_S, np.append(cuts, len(time)).astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _close(session: Any, posts: Any, minutes: Any) -> None:
    posts[min(session[_SIZE], MOST_POSTS)] += 1
    minutes[min((session[_LAST] - session[_BEGUN]) // 60, MOST_MINUTES)] += 1


@numba.njit(cache=True, nogil=True)
def _close_all(open_: Any, posts: Any, minutes: Any) -> None:
    for who in range(len(open_)):
        if open_[who, _SIZE]:
            _close(open_[who], posts, minutes)


@numba.njit(cache=True, nogil=True)
def _count(
    cuts: Any,
    time: Any,
    user: Any,
    post: Any,
    action: Any,
    target: Any,
    by_slot: Any,
    by_user: Any,
    by_post: Any,
    open_: Any,
    posts: Any,
    minutes: Any,
) -> None:
    for slot in range(len(cuts) - 1):
        for row in range(cuts[slot], cuts[slot + 1]):
            who, what, at_s = user[row], post[row], time[row]
            if action[row] == LIKE:
                by_slot[slot, LIKES] += 1
                by_user[who, LIKES] += 1
                by_post[what, LIKES] += 1
                continue
            by_slot[slot, VIEWS] += 1
            by_user[who, VIEWS] += 1
            by_post[what, VIEWS] += 1
            if target[row] == 1:
                by_slot[slot, LIKED] += 1
                by_user[who, LIKED] += 1
                by_post[what, LIKED] += 1
            if open_[who, _SIZE] and at_s - open_[who, _LAST] > PAUSE_S:
                _close(open_[who], posts, minutes)
                open_[who, _SIZE] = 0
            if not open_[who, _SIZE]:
                open_[who, _BEGUN] = at_s
            open_[who, _LAST] = at_s
            open_[who, _SIZE] += 1
