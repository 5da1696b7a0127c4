"""Who comes when, how fast they scroll and what they like: drawn from the figures of the made world.

What may live here: pure functions. The times are of the world that is played, not of the clock on the wall.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from api.contract.buckets import DAY_S
from batch.simulate import effects
from batch.simulate.config import WorldConfig

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Visit:
    """A user's session.

    Attributes:
        user_id: Whose.
        views_s: Epoch seconds at which they see one post after another, ascending, at least one.
        liked: Of each of them, whether they like what they see.
    """

    user_id: int
    views_s: list[int]
    liked: list[bool]


def visits(user_ids: Sequence[int], begin_s: int, end_s: int, rng: np.random.Generator) -> list[Visit]:
    """Draw the visits in [begin_s, end_s), the first to begin first; equal begins by user.

    A user comes at most once a day, between six and eleven at night; some come often, some seldom. Who is
    there at `begin_s` goes on with their visit, so there is no slow start; at `end_s` all stop.

    Args:
        user_ids: Who may come, each once.
        begin_s: First second, epoch.
        end_s: Second after the last.
        rng: The same draws give the same visits.

    Raises:
        ValueError: `end_s` is not after `begin_s`.
    """
    if end_s <= begin_s:
        raise ValueError(f"end_s={end_s} must be after begin_s={begin_s}")
    often = rng.uniform(*effects.SESSION_CHANCE, len(user_ids))
    drawn = [
        _visit(user_ids[int(user)], midnight, rng)
        for midnight in range(begin_s - begin_s % DAY_S, end_s, DAY_S)
        for user in np.flatnonzero(rng.random(len(user_ids)) < often)
    ]
    kept = [_within(visit, begin_s, end_s) for visit in drawn]
    return sorted(
        (visit for visit in kept if visit.views_s), key=lambda visit: (visit.views_s[0], visit.user_id)
    )


def most_at_once(every: Iterable[Visit]) -> int:
    """Return how many visits are under way at the busiest second.

    >>> most_at_once([Visit(1, [10, 20], [False] * 2), Visit(2, [20], [True]), Visit(3, [21], [True])])
    2
    """
    changes = sorted(
        change for visit in every for change in ((visit.views_s[0], 1), (visit.views_s[-1] + 1, -1))
    )
    return int(np.cumsum([by for _, by in changes]).max(initial=0))


def _visit(user_id: int, midnight_s: int, rng: np.random.Generator) -> Visit:
    n_views = sum(int(rng.integers(low, high + 1)) for low, high in (effects.EARLY_VIEWS, effects.LATE_VIEWS))
    begin_s = rng.integers(effects.FIRST_START_S, effects.LAST_START_S)
    gaps = rng.integers(effects.VIEW_GAP_S[0], effects.VIEW_GAP_S[1] + 1, n_views)
    in_day = begin_s + np.cumsum(gaps) - gaps
    views_s = midnight_s + in_day[in_day < DAY_S - effects.VIEW_GAP_S[1]]  # nobody is awake after midnight
    liked = rng.random(len(views_s)) < _chance(views_s) + rng.normal(0.0, effects.USER_SD)
    return Visit(user_id, views_s.tolist(), liked.tolist())


def _chance(views_s: Ints) -> npt.NDArray[np.float64]:
    """Return the chance of a like, float64 (views,), by hour and place in the session, whatever the post."""
    early = effects.early_chance(np.arange(len(views_s))) - effects.EARLY_SHARE
    chance = effects.LIKE_RATE + effects.of_moment(WorldConfig(), views_s) + effects.EARLY_LIFT * early
    return np.asarray(chance, np.float64)


def _within(visit: Visit, begin_s: int, end_s: int) -> Visit:
    low, high = np.searchsorted(visit.views_s, (begin_s, end_s))
    return Visit(visit.user_id, visit.views_s[low:high], visit.liked[low:high])
