"""Popular lists: what a feed falls back to when it knows nothing of the user."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints, Ints32
from batch.data.columns import VIEW
from batch.data.facts import Facts
from batch.data.local_time import local_s
from batch.features.tally import Tally, shrink_lift

HOURS = 24
CELLS = 20_000_000  # of segments by hours by posts counted at a time: 160 MB a table
NEAR = 1  # hours on either side that count for an hour's list


@dataclass(frozen=True, slots=True)
class Popular:
    """Post rows, most popular first; ties go to the lower post id.

    Attributes:
        buckets: int32 (buckets, depth). By like rate near the bucket's hour of the facts' zone.
        segments: int32 (segments, buckets, depth). The same among a segment's users.
        catalogue: int32 (offered,). All offered posts by recent like rate.
    """

    buckets: Ints32
    segments: Ints32
    catalogue: Ints32


def post_scores(counts: Tally) -> Floats:
    """Return float64 (posts,): how many times more than average each post is liked, recent views first."""
    posts, base = counts.posts, counts.base_rate
    lift = shrink_lift(posts.likes, posts.views * base)
    # The lift over all time is the prior of the recent weeks' lift: a post with no recent view keeps it.
    return lift * shrink_lift(posts.recent_likes, posts.recent_views * base * lift)


def rank(
    facts: Facts,
    counts: Tally,
    starts: Ints,
    segment: Ints32,
    n_segments: int,
    depth: int,
    choose: Callable[[Floats, int], Ints32] | None = None,
    offered: Bools | None = None,
) -> Popular:
    """Rank posts for everyone and for each segment, bucket by bucket, from the facts as of `counts.at_s`.

    Args:
        facts: Events up to `counts.at_s`; later ones are not read.
        counts: The tally of those facts.
        starts: int64 (buckets,). Bucket starts, epoch seconds.
        segment: int32 (users,). Segment numbers, -1 for none.
        n_segments: How many segments there are.
        depth: Posts a list; fewer where there are fewer posts.
        choose: Returns the lists of scores (lists, offered posts), so many posts each; None: `top`.
        offered: bool (posts,). Those that are ranked; None: all.
    """
    rows = np.arange(len(facts.posts), dtype=np.int32) if offered is None else np.flatnonzero(offered)
    past = facts.until(counts.at_s)
    overall = post_scores(counts)
    depth = min(depth, len(rows))

    def best(scores: Floats) -> Ints32:
        return rows[(choose or top)(scores[:, rows], depth)].astype(np.int32)

    views, likes = _by_hour(past, np.zeros(len(facts.users), np.int32), 1)
    hourly = _scores(views[0], likes[0], overall)
    hour = _hour(starts, facts.zone)
    at_once = max(1, CELLS // max(1, HOURS * len(overall)))
    lists = []
    for low in range(0, n_segments, at_once):
        own = np.where((segment >= low) & (segment < low + at_once), segment - low, -1).astype(np.int32)
        counted = zip(*_by_hour(past, own, min(at_once, n_segments - low)), strict=True)
        lists += [best(_scores(views, likes, hourly))[hour] for views, likes in counted]
    empty = np.empty((0, len(starts), depth), np.int32)
    return Popular(
        buckets=best(hourly)[hour],
        segments=np.stack(lists) if lists else empty,
        catalogue=rows[top(overall[None, rows], len(rows))[0]].astype(np.int32),
    )


def top(scores: Floats, depth: int) -> Ints32:
    """Return int32 (rows, depth): each row's best columns, ties to the lower one."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth].astype(np.int32)


def _by_hour(facts: Facts, segment: Ints32, n_segments: int) -> tuple[Floats, Floats]:
    """Return views and likes, float64 (segments, hours, posts), summed over neighbouring hours."""
    views = np.zeros((n_segments, HOURS, len(facts.posts)))
    likes = np.zeros_like(views)
    for part in facts.parts():
        hour = _hour(part.time, part.zone)
        _count(part.user, part.post, part.action, part.target, hour, segment, views, likes)
    return _near(views), _near(likes)


@numba.njit(cache=True, nogil=True)
def _count(
    user: Any, post: Any, action: Any, target: Any, hour: Any, segment: Any, views: Any, likes: Any
) -> None:
    for i in range(len(user)):
        of = segment[user[i]]
        if of >= 0 and action[i] == VIEW:
            views[of, hour[i], post[i]] += 1
            likes[of, hour[i], post[i]] += target[i]


def _near(counts: Floats) -> Floats:
    """Return the counts of each hour and its neighbours: whole numbers, so exact in any order."""
    out = counts.copy()
    for k in (*range(-NEAR, 0), *range(1, NEAR + 1)):
        out += np.roll(counts, k, 1)
    return out


def _hour(time: Ints, zone: str) -> Ints:
    """Return the hour of the day, 0..23, of each time."""
    return (local_s(time, zone) % DAY_S) // (DAY_S // HOURS)


def _scores(views: Floats, likes: Floats, prior: Floats) -> Floats:
    """Return float64 (hours, posts): the prior's lift moved by what these views showed."""
    expected = views * prior
    expected *= likes.sum() / max(float(expected.sum()), 1e-9)
    return np.broadcast_to(prior, views.shape) * shrink_lift(likes, expected)
