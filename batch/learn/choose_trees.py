"""How many trees to keep and how much of what they say: what paid on likes that trained none of them."""

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.features import asof
from batch.features.asof import Rows, Statics
from batch.features.sides import Feature
from batch.learn.choose import CLEAR_Z, Gains, earned, means
from batch.learn.factors.estimate import Estimates
from batch.learn.factors.stacking import Worth, measure_slope, measure_worth
from batch.learn.judges import ChoiceJudge, SessionJudge, known_posts
from batch.learn.trees import fit

HALVINGS = 4  # of the trees asked for, down to six of a hundred
SHARES = (0.125, 0.25, 0.5)  # of what trees say, in lists; all of it was never as good as half
IN_SLATES = 3.0, 2.0  # standard errors by which slates ask for trees, over the periods and in the last one
A_LOSS = 2.0, 0.0  # standard errors of what lists lose by an eighth of trees from which there are none
MORE_PAYS = 1.0, 0.0  # standard errors of a gain from which a greater share is taken
MOST_ROWS = 600_000  # of a period that judge trees: among a tenth of them chance hides .001 of AUC
IN_SESSIONS = 2.0, 2.0  # sessions are many, and trees on chance or on a leak gain a little in some


@dataclass(frozen=True, slots=True)
class TreeChoice:
    """What of the trees is kept.

    Attributes:
        n_trees: How many; a single one where they do not pay.
        share: How much of what they say, 0..1.
        compared: `almanac` is what was chosen, `with_trees` or `without_trees` what was not, to the mean of
            each period that trees were boosted before; empty where none were tried.
    """

    n_trees: int
    share: float
    compared: dict[str, list[float]]


NONE = TreeChoice(1, 0.0, {})


def choose_trees(
    facts: Facts,
    statics: Statics,
    estimates: Estimates,
    shown: Rows,
    parameters: dict[str, Any],
    n_trees: int,
    width_s: int,
) -> TreeChoice:
    """Boost trees on the periods before each one from the second on, and keep what ranked its likes better.

    Where users chose, all trees are kept, if slates of a liked post and a few others clearly ask for them,
    over the periods and in the last one: they are many, where the lists of all posts that judge are few. How
    much of them slates cannot say, since first places among all posts go to what chance raised most. So an
    eighth is taken, more where lists gain by it, and nothing where they lose by the eighth.

    Where a feed showed the posts, the last period says how many and how much: of half the trees, a quarter
    and so on down to six the fewest whose gain is within a standard error of the best. They stay where the
    order inside the sessions gained by them clearly, over the last two periods and in the last one; where
    that one is clear by itself, none are grown for the one before.

    Args:
        facts: Events, as given to `estimate.fit`.
        statics: What does not change with time.
        estimates: What the trees are added to.
        shown: What `gather_rows` returned.
        parameters: LightGBM's.
        n_trees: Trees to boost.
        width_s: Width of a time bucket, seconds.

    Source: the rule of one standard error, Breiman, Friedman, Olshen and Stone, Classification and
    Regression Trees, 1984, 78-80.
    """
    boost = _Boost(estimates, shown, statics.features, parameters)
    if estimates.shown.shown == "choices":
        return _choose_share(facts, statics, boost, n_trees, width_s)
    return _choose_size(boost, n_trees)


class _Boost:
    """Trees by rows of earlier periods, and the rows of each."""

    def __init__(
        self, estimates: Estimates, shown: Rows, features: tuple[Feature, ...], parameters: dict[str, Any]
    ) -> None:
        self.estimates, self.shown, self.parameters = estimates, shown, parameters
        self.base, self._features = estimates.before(shown.event), features
        ends = [one.as_of_s for one in (*estimates.past[1:], estimates.now)]
        self._bounds = [0, *np.searchsorted(estimates.shown.time[shown.event], ends, side="right").tolist()]

    def rows(self, period: int) -> slice:
        """Return the rows of a period."""
        return slice(self._bounds[period], self._bounds[period + 1])

    def before(self, period: int, n_trees: int) -> lgb.Booster | None:
        """Return trees by what lies before a period; None where that cannot train or the period is empty."""
        end, n = self._bounds[period], self._bounds[period + 1] - self._bounds[period]
        y = self.shown.y[:end]
        if not n or not 0 < y.sum() < end:
            return None
        return fit(self.shown.x[:end], y, self._features, self.parameters, n_trees, init=self.base[:end])


def _choose_share(facts: Facts, statics: Statics, boost: _Boost, n_trees: int, width_s: int) -> TreeChoice:
    """Choose how much of what all trees say enters lists of all posts."""
    counts, held, squares, slopes = asof.start_tally(facts, statics), Gains(), [], []
    with_trees = {share: Gains() for share in SHARES}
    for period, (one, judge) in enumerate(zip(boost.estimates.past, boost.estimates.judges, strict=True)):
        booster = boost.before(period, n_trees)
        if booster is None or not isinstance(judge, ChoiceJudge):
            continue
        rows, begin_s = boost.rows(period), one.as_of_s + 1
        said = np.asarray(booster.predict(boost.shown.x[rows], raw_score=True), np.float64)
        events = boost.shown.event[rows]
        square, slope = measure_slope(boost.estimates.shown, events, boost.base[rows], said)
        squares.append(square)
        slopes.append(slope)
        judge = judge.of_posts(known_posts(facts, one.as_of_s))
        sides = asof.make_sides(
            facts, statics, counts.advance(one.as_of_s), np.array([begin_s - begin_s % width_s])
        )
        text = booster.model_to_string()
        held.append(judge.of_parts([one.x], [one.y])(np.ones(1)))
        for share, gains in with_trees.items():
            threads = boost.parameters["num_threads"]
            gains.append(judge.gains_with_trees(one.x, one.y, text, sides, share, threads))
    if not held:
        return NONE
    least = with_trees[SHARES[0]]
    asked = _z(sum(squares), sum(slopes)) >= IN_SLATES[0] and _z(squares[-1], slopes[-1]) >= IN_SLATES[1]
    if not asked or earned(held, least, *A_LOSS):
        return TreeChoice(1, 0.0, {"almanac": means(held), "with_trees": means(least)})
    best = SHARES[0]
    for share in SHARES[1:]:
        if earned(with_trees[share], with_trees[best], *MORE_PAYS):
            best = share
    return TreeChoice(n_trees, best, {"almanac": means(with_trees[best]), "without_trees": means(held)})


def _z(square: float, slope: float) -> float:
    return slope / square**0.5 if square > 0 else 0.0


def _choose_size(boost: _Boost, n_trees: int) -> TreeChoice:
    """Choose how many trees enter the order of what was shown, and how much of them."""
    last = len(boost.estimates.past) - 1
    tried = boost.before(last, n_trees)
    if tried is None:
        return NONE
    n, share, said = _find_size(tried, boost, boost.rows(last))
    if not share:
        return NONE
    without, with_trees = Gains(), Gains()
    for period in (last, last - 1):
        rows = _of_few(boost, boost.rows(period))
        if period == last:
            further = said[rows - boost.rows(last).start]
        else:
            booster = boost.before(period, n)
            if booster is None:
                break
            further = np.asarray(booster.predict(boost.shown.x[rows], raw_score=True), np.float64)
        judge = SessionJudge.of_events(boost.estimates.shown, boost.shown.event[rows])
        without.insert(0, judge.gains_of(boost.base[rows]))
        with_trees.insert(0, judge.gains_of(boost.base[rows] + share * further))
        if not earned(with_trees, without, *IN_SESSIONS):
            return TreeChoice(1, 0.0, {"almanac": means(without), "with_trees": means(with_trees)})
        if earned(with_trees, without, CLEAR_Z, CLEAR_Z):
            break  # the period before, which takes further trees, would hardly turn that
    return TreeChoice(n, share, {"almanac": means(with_trees), "without_trees": means(without)})


def _find_size(tried: lgb.Booster, boost: _Boost, held: slice) -> tuple[int, float, Floats]:
    """Return how many trees and which share of what they say later likes ask for, and what they say.

    The share is 0 where they ask for none; what is said is float64 (rows,), whole, of the rows held.
    """
    x, events, first = boost.shown.x[held], boost.shown.event[held], boost.base[held]
    scores, done = np.zeros(len(x)), 0
    found: list[tuple[int, Worth, Floats]] = []
    for n in sorted({max(tried.num_trees() >> halved, 1) for halved in range(HALVINGS + 1)}):
        scores = scores + tried.predict(x, raw_score=True, start_iteration=done, num_iteration=n - done)
        done = n
        found.append((n, measure_worth(boost.estimates.shown, events, first, scores), scores))
    best = max((one for _, one, _ in found), key=lambda one: one.gain)
    if not best.share:
        return 1, 0.0, scores
    return next(
        (n, one.share, said) for n, one, said in found if one.share and one.gain >= best.gain - best.error
    )


def _of_few(boost: _Boost, rows: slice) -> Ints:
    """Return a period's rows, or of more than `MOST_ROWS` those of every so manieth user."""
    user = boost.estimates.shown.user[boost.shown.event[rows]]
    step = 1 + (len(user) - 1) // MOST_ROWS
    return np.asarray(rows.start + np.flatnonzero(user % step == 0), np.int64)
