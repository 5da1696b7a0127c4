"""Recency: how much each post was liked lately, and after how long a like should count half.

Where users chose, a post's likes are counted (or what its events weigh); where a feed showed it, how much
more than expected of its impressions were liked, first ever and then lately. Facts after `as_of_s` are never
read.
"""

from itertools import pairwise

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.features.tally import shrink_lift
from batch.learn.judges import find_judge

NEVER = float("inf")  # the half-life of likes that do not fade
USUAL_S = 7.0 * DAY_S  # where the facts do not tell
STEPS = range(-10, 10)  # of half an octave: from five hours to five months
HALF_LIVES_S = np.array([*(USUAL_S * 2 ** (step / 2) for step in STEPS), NEVER])
USUAL = -STEPS.start  # its number among them
LEAST_Z = 2.0  # standard errors by which later likes must speak against the usual half-life
MOST_EVENTS = 1_000_000  # that are read to learn; of more, those of so many users
MOST_LISTS = 4_000  # of later users or sessions that judge
MOST_PERIODS, PERIOD_S = 26, 7 * DAY_S  # as long as those that weigh our own components
PERIOD_SHARE = 0.1  # of all events lies in a period at most
FEW = 0.3  # of what counts as liked, beside a post's own, before the logarithm is taken
SMALLEST = -1_000.0  # of a power of two that is no zero and no slow number near it


def score_recent(facts: Facts, as_of_s: int, half_life_s: float) -> Floats:
    """Return how much each post was liked lately, float64 (posts,), at least 0.

    Of choices it is the sum of what likes weigh after the time since they came. Of impressions it is how many
    times more than average the post is liked, shrunk by how little was shown: over all time, times lately
    over that.

    Args:
        facts: Events; those later than `as_of_s` are not read.
        as_of_s: Epoch seconds.
        half_life_s: Seconds after which a like counts half; `NEVER` lets none fade.
    """
    faded = _Faded(facts, np.array([half_life_s, NEVER]))
    faded.advance(as_of_s)
    return np.asarray(faded.scores()[0], np.float64)


def log_recent(facts: Facts, as_of_s: int, half_life_s: float) -> Floats:
    """Return the logarithm of `score_recent` over its mean, float64 (posts,); arguments as there.

    `FEW` stands beside what each post has, so that one like more or less of a post without any says little.
    """
    scores = score_recent(facts, as_of_s, half_life_s) + FEW
    return np.asarray(np.log(scores / scores.mean()), np.float64)


def score_since(facts: Facts, posts: Bools, half_life_s: float) -> Floats:
    """Return `score_recent` of some posts of choices, each as of its own newest event, float64 (posts,).

    So it follows from a post's own events; 0 of all others and of those without any.

    Args:
        facts: Events.
        posts: bool (posts,). Which ones.
        half_life_s: Seconds after which a like counts half.
    """
    own = facts.select(np.flatnonzero(posts[facts.post]))
    newest = np.zeros(len(posts), np.int64)
    newest[own.post] = own.time  # time ascends, so the last write is the newest
    counted, weight = _liked(own)
    post = own.post[counted]
    faded = np.exp2(np.maximum((own.time[counted] - newest[post]) / half_life_s, SMALLEST))
    return np.bincount(post, faded * weight[counted], len(posts)).astype(np.float64)


def learn_half_life(facts: Facts, as_of_s: int) -> float:
    """Return the half-life in seconds that told best what was liked next, out of `HALF_LIVES_S`.

    It is judged on periods of a week or less over the second half of the events: each is told from what lay
    before it (`judges`), by NDCG@10 of lists of choices or by the order inside sessions. Of all
    half-lives that are not behind the best one by `LEAST_Z` standard errors, the one nearest to `USUAL_S` is
    taken; so that stands where facts are few or tell nothing.

    Args:
        facts: Events; those later than `as_of_s` are not read.
        as_of_s: Epoch seconds.
    """
    past, rng = _thin(facts.until(as_of_s)), np.random.default_rng(0)
    ends = _period_ends(past.time, as_of_s)
    faded, gains = _Faded(past, HALF_LIVES_S), [np.empty((len(HALF_LIVES_S), 0))]
    for begin_s, end_s in pairwise(ends):
        judge = find_judge(past, begin_s, end_s, rng, MOST_LISTS // (len(ends) - 1))
        faded.advance(begin_s)
        told = _untie(faded.scores(), past) if past.shown == "choices" else faded.scores()
        gains.append(np.stack([judge.gains(scores) for scores in told]))
    return float(HALF_LIVES_S[nearest_to_best(np.hstack(gains), USUAL)])


def nearest_to_best(gains: Floats, usual: int) -> int:
    """Return the number of the choice nearest to the usual one that is not clearly behind the best.

    Args:
        gains: float64 (choices, lists). What each choice was worth in each list.
        usual: Number of the choice that stands where nothing speaks against it.

    >>> nearest_to_best(np.array([[0.1, 0.2, 0.2], [0.2, 0.1, 0.2], [0.0, 0.0, 0.1]]), 1)
    1
    >>> nearest_to_best(np.array([[0.9, 0.8, 0.9], [0.2, 0.1, 0.2], [0.0, 0.0, 0.1]]), 1)
    0
    """
    n_lists = gains.shape[1]
    if n_lists < 2:
        return usual
    behind = gains[int(gains.mean(axis=1).argmax())] - gains
    error = behind.std(axis=1, ddof=1) / np.sqrt(n_lists)
    able = np.flatnonzero(behind.mean(axis=1) <= LEAST_Z * error)
    return int(able[np.abs(able - usual).argmin()])


def _liked(facts: Facts) -> tuple[Bools, Floats]:
    """Return which events of choices count as likes, bool (events,), and how much, float64 (events,)."""
    if facts.weight is not None:
        return facts.weight > 0, facts.weight.astype(np.float64)
    return facts.views & (facts.target > 0), facts.target.astype(np.float64)


class _Faded:
    """Likes and impressions of each post at several half-lives, the last of them `NEVER`, as of a time."""

    def __init__(self, facts: Facts, half_lives_s: Floats) -> None:
        shape = len(half_lives_s), len(facts.posts)
        self._facts, self._half_lives_s = facts, half_lives_s
        self._of_choices = facts.shown == "choices"
        self._likes = np.zeros(shape)
        self._views = np.zeros((0, 0) if self._of_choices else shape)
        self._next, self._at_s = 0, int(facts.time[0]) if len(facts.time) else 0

    def advance(self, to_s: int) -> None:
        """Count the events up to and including `to_s`."""
        fade = np.exp2(np.maximum(-(to_s - self._at_s) / self._half_lives_s, SMALLEST))[:, None]
        self._likes *= fade
        if not self._of_choices:
            self._views *= fade
        end = int(np.searchsorted(self._facts.time, to_s, side="right"))
        for part in self._facts.select(slice(self._next, end)).parts():
            self._add(part, to_s)
        self._next, self._at_s = max(end, self._next), to_s

    def scores(self) -> Floats:
        """Return float64 (half-lives, posts), as `score_recent` does."""
        if self._of_choices:
            return self._likes
        likes, views = self._likes, self._views
        base = (likes[-1].sum() + 0.5) / (views[-1].sum() + 5.0)
        lift = shrink_lift(likes[-1], views[-1] * base)
        lately = [
            lift * shrink_lift(*pair) for pair in zip(likes[:-1], views[:-1] * base * lift, strict=True)
        ]
        return np.stack([*lately, lift])

    def _add(self, facts: Facts, to_s: int) -> None:
        counted, weight = (
            _liked(facts) if self._of_choices else (facts.views, facts.target.astype(np.float64))
        )
        post, past_s, n = facts.post[counted], facts.time[counted] - to_s, len(facts.posts)
        for at, half_life_s in enumerate(self._half_lives_s):
            faded = np.exp2(np.maximum(past_s / half_life_s, SMALLEST))
            self._likes[at] += np.bincount(post, faded * weight[counted], n)
            if not self._of_choices:
                self._views[at] += np.bincount(post, faded, n)


def _untie(scores: Floats, facts: Facts) -> Floats:
    """Return float64 (half-lives, posts) in the same order; of equal ones the post of lower place is first.

    Likes that never fade are whole numbers: the lower row would be another post where ids are other texts.
    """
    order = np.lexsort((np.broadcast_to(facts.post_place, scores.shape), -scores), axis=1)
    return -np.argsort(order, axis=1).astype(np.float64)


def _period_ends(time: Ints, as_of_s: int) -> list[int]:
    """Return the last moment before each period, then `as_of_s`, ascending."""
    if not len(time):
        return [as_of_s]
    half_s, last_s = int(time[len(time) // 4]), int(time[int(len(time) * (1 - PERIOD_SHARE))])
    period_s = max(1, min(PERIOD_S, as_of_s - last_s))
    n = max(1, min(MOST_PERIODS, (as_of_s - half_s) // period_s))
    return [as_of_s - k * period_s for k in range(n, -1, -1)]


def _thin(facts: Facts) -> Facts:
    """Return the facts, or of more than `MOST_EVENTS` those of so many users, drawn evenly."""
    if len(facts.time) <= MOST_EVENTS:
        return facts
    kept = np.random.default_rng(0).random(len(facts.users)) < MOST_EVENTS / len(facts.time)
    return facts.select(kept[facts.user])
