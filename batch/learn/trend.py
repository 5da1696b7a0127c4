"""What users chose of posts that nobody had taken by a full run, on the scale that the run counted by.

Its factors say of such a post only that nobody took it. What is taken between two runs says more the next
hour, so a refresh puts the columns of recency right: those that are one number a post.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Floats
from batch.data.facts import Facts
from batch.learn.factors.components import take_for_likes
from batch.learn.recency import FEW, learn_half_life, score_recent, score_since

LIKED, TAKEN = "liked_by_many_lately", "taken_by_many_lately"


@dataclass(frozen=True, slots=True)
class Scale:
    """How a full run counted what was liked or taken lately.

    Attributes:
        half_life_s: Seconds after which one counts half.
        mean: What all posts had on average, `FEW` included.
    """

    half_life_s: float
    mean: float


def find_scales(facts: Facts, as_of_s: int, columns: Mapping[str, int]) -> dict[str, Scale]:
    """Return the scale of each component of recency that a model has; none where a feed showed the posts.

    Args:
        facts: Events; those later than `as_of_s` are not read.
        as_of_s: The run's newest fact, epoch seconds.
        columns: Component name to its columns, `chosen.columns_of`.
    """
    if facts.shown != "choices":
        return {}
    past, scales = facts.until(as_of_s), dict[str, Scale]()
    for name, own in _kinds(past):
        if name in columns:
            half_life_s = learn_half_life(own, as_of_s)
            mean = float((score_recent(own, as_of_s, half_life_s) + FEW).mean())
            scales[name] = Scale(half_life_s, mean)
    return scales


def find_untaken(facts: Facts, as_of_s: int) -> Bools:
    """Return bool (posts,): posts without an event up to a time, that included; none where a feed showed."""
    if facts.shown != "choices":
        return np.zeros(len(facts.posts), np.bool_)
    past = facts.until(as_of_s)
    return np.equal(np.bincount(past.post, minlength=len(past.posts)), 0)


def follow_trend(
    y: Floats, facts: Facts, untaken: Bools, scales: Mapping[str, Scale], columns: Mapping[str, int]
) -> Floats:
    """Return posts' factors in which recency of the untaken ones is as of their own newest event.

    Args:
        y: float64 (posts, k). As of the run.
        facts: As they are now.
        untaken: bool (posts,). Those that nobody had taken by the run.
        scales: What `find_scales` returned.
        columns: Component name to how many columns of `y` are its own, in their order.
    """
    out, begin = y.copy(), dict(zip(columns, np.cumsum([0, *columns.values()]).tolist(), strict=False))
    for name, own in _kinds(facts):
        if name in scales:
            scale = scales[name]
            lately = np.log((score_since(own, untaken, scale.half_life_s) + FEW) / scale.mean)
            out[untaken, begin[name]] = lately[untaken].astype(np.float32)  # as all factors are rounded
    return out


def _kinds(facts: Facts) -> Iterator[tuple[str, Facts]]:
    """Yield each component's name and the facts that it counts likes of."""
    yield LIKED, facts
    yield TAKEN, take_for_likes(facts)
