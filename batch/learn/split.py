"""The split in time: which days test a model that learned from everything before them."""

from dataclasses import dataclass

import numpy as np

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.learn.sessions import positions

TEST_DAYS = 7
MIN_SHOWN = 10  # a shorter session cannot tell rankings of five apart


@dataclass(frozen=True, slots=True)
class Split:
    """Train on events before `test_from_s`, test on those of `[test_from_s, test_to_s)`; epoch seconds."""

    test_from_s: int
    test_to_s: int


def last_week(facts: Facts) -> Split | None:
    """Find the last week of histories: seven days that end with the last busy day.

    A day is busy when it holds at least half as many sessions (ten impressions or more, by users first
    seen a day or more before) as the median day that holds any. So a few stray rows after the histories'
    end, or an evening of newcomers, do not become the test set.

    Returns:
        None where no user comes back, or nothing would be left to train on.
    """
    shown = facts.views
    user, time = facts.user[shown], facts.time[shown]
    if len(user) == 0:
        return None
    first = np.full(len(facts.users), np.iinfo(np.int64).max)
    np.minimum.at(first, user, time)
    session, _ = positions(user, time)
    size = np.bincount(session)
    begin = np.full(len(size), np.iinfo(np.int64).max)
    np.minimum.at(begin, session, time)
    owner = np.empty(len(size), np.int64)
    owner[session] = user
    counted = (size >= MIN_SHOWN) & (begin - first[owner] >= DAY_S)
    days, per_day = np.unique(begin[counted] // DAY_S, return_counts=True)
    if len(days) == 0:
        return None
    last = int(days[per_day >= np.median(per_day) / 2][-1])
    split = Split((last + 1 - TEST_DAYS) * DAY_S, (last + 1) * DAY_S)
    return split if split.test_from_s > time[0] else None
