"""Features of some users from their own events, as a full run of all users would have made them."""

import numpy as np

from batch.arrays import Bools, Ints, Ints32
from batch.data.facts import Facts
from batch.features.tally import HALF_LIFE_S, Count, UserCounts


def events_of(facts: Facts, users: Bools) -> Facts:
    """Return the facts with the events of some users only; rows of users and posts stay."""
    return facts.select(np.flatnonzero(users[facts.user]))


def count(events: Facts, users: Ints, group: Ints32, n_groups: int, as_of_s: int) -> UserCounts:
    """Count users' events, each user's as of a moment of their own.

    A user's moment is `as_of_s`, or that of their newest event where that is later. So features follow from a
    user's own events and from what is frozen: whoever has no new ones has the same values as before, whatever
    others did in the meantime and however often they were counted.

    Args:
        events: Events of these users only, in order of time.
        users: Rows of users, ascending.
        group: int32 (posts,). Each post's group.
        n_groups: How many groups there are.
        as_of_s: The moment at which all features were made last, epoch seconds.
    """
    user = np.searchsorted(users, events.user)
    at_s = np.full(len(users), as_of_s, np.int64)
    np.maximum.at(at_s, user, events.time)
    shown = events.views
    user, post, time = user[shown], events.post[shown], events.time[shown]
    liked = events.target[shown].astype(np.float64)
    weight = 0.5 ** ((at_s[user] - time) / HALF_LIFE_S)
    own, cells = Count.of(len(users)), Count.of(len(users) * n_groups)
    own.add(user, liked, weight)
    cells.add(user * n_groups + group[post], liked, weight)
    last_seen_s = np.full(len(users), np.nan)
    last_seen_s[user] = time  # time ascends, so the last write is the newest view
    return UserCounts(own, cells, n_groups, last_seen_s, at_s)
