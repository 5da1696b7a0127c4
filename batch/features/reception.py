"""How posts have been received: of each post's counts, and of what all posts together lend to them.

Apart from the second, which a run may hold fixed, a post's values depend on the facts about it alone.
"""

from dataclasses import dataclass

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.features.tally import HALF_LIFE_S, Count, Tally, shrink, spread


@dataclass(frozen=True, slots=True)
class Reception:
    """What every post's features take from all posts together.

    Attributes:
        base_rate: Likes per view over everything.
        spread: Variance of posts' like rates, each in multiples of what is expected; of their recent ones:
            `recent_spread`.
        recent_spread: See `spread`.
        mean_views: Views of a post.
    """

    base_rate: float
    spread: float
    recent_spread: float
    mean_views: float

    @classmethod
    def of(cls, tally: Tally) -> "Reception":
        """Take stock of all posts."""
        posts, base = tally.posts, tally.base_rate
        return cls(
            base_rate=base,
            spread=spread(posts.likes, posts.views * base),
            recent_spread=spread(posts.recent_likes, posts.recent_views * base),
            mean_views=max(float(posts.views.mean()), 1e-9),
        )


def describe_reception(posts: Count, first_shown_s: Floats, at_s: Ints | int, common: Reception) -> Floats:
    """Return float64 (posts, 5): lift, recent lift, their difference, views, days since the first one.

    Days of a post without a view are NaN. Views per post grow with time and with the number of users; their
    share of the mean does neither.

    Args:
        posts: Their counts.
        first_shown_s: float64 (posts,). Time of the oldest view; NaN where none.
        at_s: The counts' moment, of all or each, epoch seconds.
        common: Of all posts.
    """
    base = common.base_rate
    lift = shrink(posts.likes, posts.views * base, common.spread)
    recent = shrink(posts.recent_likes, posts.recent_views * base, common.recent_spread)
    days = (at_s - first_shown_s) / DAY_S
    return np.column_stack([lift, recent, recent - lift, posts.views / common.mean_views, days])


def receive_since(facts: Facts, posts: Bools, common: Reception) -> Floats:
    """Return the same of some posts, each as of its own newest event, float64 (those posts, 5).

    So whoever has no new events has the same values, however often they are counted.

    Args:
        facts: As they are now.
        posts: bool (posts,). Which ones.
        common: As of the run before.
    """
    own, n = facts.select(np.flatnonzero(posts[facts.post])), len(posts)
    at_s, first_s, counts = np.zeros(n, np.int64), np.full(n, np.nan), Count.of(n)
    at_s[own.post] = own.time  # time ascends, so the last write is the newest
    shown = own.views
    post, time = own.post[shown], own.time[shown]
    first_s[post[::-1]] = time[::-1]
    counts.add(post, own.target[shown].astype(np.float64), 0.5 ** ((at_s[post] - time) / HALF_LIFE_S))
    return describe_reception(counts, first_s, at_s, common)[posts]
