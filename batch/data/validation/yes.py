"""Which views are a yes: liked by target, by a like that follows, or because they were chosen. Pure."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from batch.arrays import Ints8
from batch.data.columns import LIKE, VIEW
from batch.data.facts import Facts, Shown
from batch.data.validation.order import Events, blocks

LEAST_FOLLOWING = 0.1  # of likes: below it they are no reactions to views


def settle_targets(events: Events, shown: Shown, *, has_target: bool, within_s: int) -> Events:
    """Say of each view whether it is a yes.

    The targets of a feed's impressions say all there is to say of them. Elsewhere a like without a view was a
    view, too. Where hardly any like follows a view, likes stand for themselves (stars, of which many are a
    like): each was a view, and makes no other one liked. Of choices none of which is liked, each is a yes
    itself: it was taken.

    Args:
        events: In order.
        shown: What a view says.
        has_target: They bring their targets.
        within_s: How long after a view its like may come.
    """
    if has_target and shown == "impressions" and (events.action == VIEW).any():
        return events
    if _share_that_follow(events, within_s) < LEAST_FOLLOWING:
        within_s = 0
    events = add_views(events, within_s)
    if not has_target:
        events = events._replace(target=derive_targets(events, within_s))
    if shown == "choices" and not events.target.any():
        events = events._replace(target=(events.action == VIEW).astype(np.int8))
    return events


def _share_that_follow(events: Events, within_s: int) -> float:
    """Return the share of likes that a view precedes, of the same user and post, at most so long ago."""
    order = np.lexsort((events.post, events.user))  # stable: by time within user and post
    user, post, time = events.user[order], events.post[order], events.time[order]
    is_like = events.action[order] == LIKE
    view = np.maximum.accumulate(np.where(is_like, -1, np.arange(len(order))))[is_like]
    same = (view >= 0) & (user[view] == user[is_like]) & (post[view] == post[is_like])
    return float((same & (time[is_like] - time[view] <= within_s)).sum() / max(int(is_like.sum()), 1))


def add_views(events: Events, within_s: int) -> Events:
    """Return the events with a view, liked, beside each like that belongs to none.

    It belongs to a view of the same user and post at most `within_s` seconds before, or to another like
    there, which has one. The view added has the like's time and stands just before it; it weighs nothing.
    """
    order = np.lexsort((events.post, events.user))  # stable: by time within user and post
    user, post, time = events.user[order], events.post[order], events.time[order]
    near = (user[1:] == user[:-1]) & (post[1:] == post[:-1]) & (time[1:] - time[:-1] <= within_s)
    lone = events.action == LIKE
    lone[order[1:][near]] = False
    if not lone.any():
        return events
    rows = np.repeat(np.arange(len(lone)), 1 + lone)
    added = np.flatnonzero(np.append(rows[1:] == rows[:-1], False))
    wider = events.select(rows)
    wider.action[added], wider.target[added] = VIEW, 1
    if wider.weight is not None:
        wider.weight[added] = 0
    return wider


def derive_targets(events: Events | Facts, within_s: int) -> Ints8:
    """Derive targets where none are given.

    Returns:
        int8 (events,). 1 on a view that the same user's like of the same post follows, at the same second
        or at most `within_s` later; 0 elsewhere.
    """
    target = np.zeros(len(events.time), np.int8)
    likes = np.flatnonzero(events.action == LIKE)
    like_times = events.time[likes]
    for rows in blocks(len(target)):
        low, high = np.searchsorted(like_times, events.time[[rows.start, rows.stop - 1]] + [0, within_s + 1])
        soon = pd.merge_asof(
            _pairs(events, rows),
            _pairs(events, likes[low:high]).assign(like=1),
            on="time",
            by=["user", "post"],
            direction="forward",
            tolerance=within_s,
        )
        target[rows] = soon["like"].notna() & (events.action[rows] != LIKE)
    return target


def _pairs(events: Events | Facts, rows: slice | npt.NDArray[np.intp]) -> pd.DataFrame:
    return pd.DataFrame({name: getattr(events, name)[rows] for name in ("time", "user", "post")})
