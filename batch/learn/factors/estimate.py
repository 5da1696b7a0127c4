"""Estimates as of now and of earlier times, so that trees train on what was estimated before their rows."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Floats, Ints
from batch.data.facts import Facts
from batch.features.text import Texts
from batch.learn.choose import Choice, Gains, choose_weights, earned, means
from batch.learn.factors import negative_sampling
from batch.learn.factors.components import Beginning, Components, fit_components
from batch.learn.factors.hour_effects import HOUR_S, HourEffects, fit_hour_effects
from batch.learn.factors.names import HOURS, NAMES
from batch.learn.factors.stacking import collect_equations, fit_weights
from batch.learn.judges import ChoiceJudge, SessionJudge, find_judge

N_PERIODS = 3  # periods of the past whose likes weigh the components and train the trees
PERIOD_S = 7 * DAY_S  # a week holds two sessions of a median user; shorter where the history is
HOURS_PAY = 2.0, 0.0  # standard errors of what hours gain over the periods and in the last one
CHOSEN_SHARE = 0.1  # of all choices, which make a period where few users come back within a week


@dataclass(frozen=True, slots=True)
class Estimate:
    """An additive score of every user and post, in log-odds: `x @ y.T`, the engine's dense part.

    Attributes:
        as_of_s: No fact later than this was used.
        x: float64 (users, k).
        y: float64 (posts, k).
        level: float64 (users,). Log-odds of the user's own like rate.
        base: Log-odds of everybody's like rate; the level of a user without an impression.
        hours: What is added by the hour of the bucket, in log-odds; None where nothing is.
        columns: Component name to how many columns of `x` and `y` are its own, in their order.
    """

    as_of_s: int
    x: Floats
    y: Floats
    level: Floats
    base: float
    hours: HourEffects | None = None
    columns: dict[str, int] = field(default_factory=dict)

    def scores(self, users: AnyInts, posts: AnyInts) -> Floats:
        """Return x_u·y_p of (user, post) pairs, float64 (pairs,)."""
        return np.asarray(np.einsum("ij,ij->i", self.x[users], self.y[posts]), np.float64)


@dataclass(frozen=True, slots=True)
class Estimates:
    """What was learnt, now and before.

    Attributes:
        now: As of the newest fact allowed.
        past: As of the beginning of each period, oldest first; the last period ends with `now`.
        weights: Component name to stacking weight, the same at all times; that of `HOURS` is 0 or 1.
        shown: What was put before the users, as events: the facts as they are, or slates drawn from choices.
        begun: What the fit of `now` went on from.
        judges: What later likes say of each period, as many as `past`.
        compared: What the weights were chosen among, to the mean of each period, `choose.Choice`.
    """

    now: Estimate
    past: tuple[Estimate, ...]
    weights: dict[str, float]
    shown: Facts
    begun: Beginning
    judges: tuple[ChoiceJudge | SessionJudge, ...]
    compared: dict[str, list[float]]

    @property
    def begin_s(self) -> int:
        """Return the first moment whose impressions have an estimate made before them."""
        return self.past[0].as_of_s + 1

    def before(self, events: Ints) -> Floats:
        """Return for each event the log-odds of a like that were estimated before its period began.

        Args:
            events: int64 (n,). Rows of `shown`, ascending, from `begin_s` on.

        Returns:
            float64 (n,): the user's level, x_u·y_p and the hour's effect; LightGBM's `init_score`.

        Raises:
            ValueError: An event is older than `begin_s`.
        """
        facts = self.shown
        time = facts.time[events]
        if len(time) and time.min() < self.begin_s:
            raise ValueError(f"an event at {time.min()} is older than the first estimate at {self.begin_s}")
        out = np.empty(len(events))
        bounds = np.searchsorted(time, [one.as_of_s + 1 for one in (*self.past[1:], self.now)], side="left")
        for one, low, high in zip(self.past, (0, *bounds), (*bounds[:-1], len(time)), strict=False):
            user, post = facts.user[events[low:high]], facts.post[events[low:high]]
            out[low:high] = one.level[user] + one.scores(user, post)
            if one.hours is not None:
                out[low:high] += one.hours.scores(post, time[low:high], facts.zone)
        return out


def fit(facts: Facts, texts: Texts, as_of_s: int, seed: int, width_s: int = HOUR_S) -> Estimates:
    """Fit the estimates on the facts up to and including `as_of_s`, and weigh them on the last periods.

    Each period of the past is estimated from what lay before it, and its likes say how much each component
    should weigh.

    Args:
        facts: Events; later ones are not read.
        texts: What the posts are about.
        as_of_s: Epoch seconds.
        seed: Of everything random.
        width_s: Width of a time bucket, seconds: all hours of one have the same score.

    Raises:
        ValueError: There is no event up to `as_of_s`.
    """
    past = facts.until(as_of_s)
    ends = _period_ends(past, as_of_s)
    rng = np.random.default_rng(seed)
    fitted: list[Components] = []
    for end in ends[:-1]:
        fitted.append(fit_components(past, texts, end, seed, fitted[-1].beginning if fitted else None))
    if past.shown == "choices":
        shown = negative_sampling.draw_slates(past, ends, rng)
        weights = negative_sampling.fit_choice_weights(shown, fitted)
    else:
        periods = zip(fitted, ends[1:], strict=True)
        found = [collect_equations(past, components, end + 1, rng) for components, end in periods]
        shown, weights = past, fit_weights(sum(found[1:], found[0]))
    judges = _find_judges(past, ends, seed)
    choice = _choose(weights, judges, fitted)
    weights = choice.weights
    named = dict(zip(NAMES, weights.tolist(), strict=True))
    before = _add_hours_before(tuple(_stack(one, weights) for one in fitted), past, texts, width_s)
    stays, of_hours = _judge_hours(before, judges)
    named[HOURS] = float(stays)
    if not stays:
        before = tuple(replace(one, hours=None) for one in before)
    begun = fitted[-1].beginning
    fitted.clear()  # hundreds of megabytes where users are many
    components = fit_components(past, texts, as_of_s, seed, begun, _weighing(named))
    now = _stack(components, weights)
    now = _add_hours(now, past, texts, width_s) if stays else now
    return Estimates(now, before, named, shown, begun, judges, {**choice.compared, **of_hours})


def renew(
    facts: Facts, texts: Texts, as_of_s: int, weights: dict[str, float], seed: int, before: Beginning | None
) -> tuple[Estimate, Beginning]:
    """Estimate as of another time with weights that stand: a seventh of what `fit` takes.

    Args:
        facts: Events; those later than `as_of_s` are not read.
        texts: What the posts are about.
        as_of_s: Epoch seconds.
        weights: Component name to weight, as `fit` found them.
        seed: Of everything random.
        before: What a fit of a time shortly before found, to begin from; None begins anew.

    Returns:
        The estimate, as `fit` makes it of the same weights and beginning, and what the next call begins from.

    Raises:
        ValueError: There is no event up to `as_of_s`.
    """
    past = facts.until(as_of_s)
    if not len(past.time):
        raise ValueError(f"there is no event up to {as_of_s}: nothing can be estimated")
    wanted = [name for name in _weighing(weights) if name != HOURS]  # they are among the trees
    components = fit_components(past, texts, as_of_s, seed, before, wanted)
    return _stack(components, np.array([weights[name] for name in NAMES])), components.beginning


def _weighing(weights: dict[str, float]) -> list[str]:
    return [name for name, weight in weights.items() if weight > 0]


def _period_ends(facts: Facts, as_of_s: int) -> list[int]:
    """Return the last moment before each period, then `as_of_s`, ascending."""
    if not len(facts.time):
        raise ValueError(f"there is no event up to {as_of_s}: nothing can be estimated")
    if facts.shown == "choices":
        last = [int(len(facts.time) * (1 - CHOSEN_SHARE * k)) - 1 for k in range(N_PERIODS, 0, -1)]
        return [*(int(facts.time[max(row, 0)]) for row in last), as_of_s]
    history_s = as_of_s - int(facts.time[0])
    period_s = max(1, min(PERIOD_S, history_s // (N_PERIODS + 1)))
    return [as_of_s - k * period_s for k in range(N_PERIODS, -1, -1)]


def _find_judges(facts: Facts, ends: list[int], seed: int) -> tuple[ChoiceJudge | SessionJudge, ...]:
    rng = np.random.default_rng([seed, 1])  # apart from the draws that train
    return tuple(find_judge(facts, begin, end, rng) for begin, end in pairwise(ends))


def _choose(
    weights: Floats, judges: tuple[ChoiceJudge | SessionJudge, ...], fitted: list[Components]
) -> Choice:
    """Choose among the components, given as of each period's begin, and their stack."""
    there = [k for k, y in enumerate(fitted[0].y) if y.shape[1]]
    judged = [judge.of_parts(one.x, one.y) for judge, one in zip(judges, fitted, strict=True)]
    return choose_weights(weights, there, NAMES, lambda some: [gains(some) for gains in judged])


def _add_hours(one: Estimate, facts: Facts, texts: Texts, width_s: int) -> Estimate:
    """Return the estimate with the effects of hours on what was shown up to its time, if any."""
    if facts.shown == "choices":
        return one
    past = facts.until(one.as_of_s)
    return replace(one, hours=fit_hour_effects(past, one.x, one.y, one.level, texts, width_s))


def _add_hours_before(
    before: tuple[Estimate, ...], facts: Facts, texts: Texts, width_s: int
) -> tuple[Estimate, ...]:
    """Return past estimates with the effects of hours; none where the last one, that knows most, has none."""
    last = _add_hours(before[-1], facts, texts, width_s)
    if last.hours is None:
        return before
    return (*(_add_hours(one, facts, texts, width_s) for one in before[:-1]), last)


def _judge_hours(
    before: tuple[Estimate, ...], judges: tuple[ChoiceJudge | SessionJudge, ...]
) -> tuple[bool, dict[str, list[float]]]:
    """Return whether hours' effects stay, and what was compared; nothing was where there are no effects."""
    with_hours, without = Gains(), Gains()
    for one, judge in zip(before, judges, strict=True):
        if not isinstance(judge, SessionJudge):
            return False, {}
        scores = one.scores(judge.user, judge.post)
        of_hours = 0.0 if one.hours is None else one.hours.scores(judge.post, judge.time, judge.zone)
        without.append(judge.gains_of(scores))
        with_hours.append(judge.gains_of(scores + of_hours))
    if all(one.hours is None for one in before):
        return False, {}
    if earned(with_hours, without, *HOURS_PAY):
        return True, {"estimate": means(with_hours), "without_hours": means(without)}
    return False, {"with_hours": means(with_hours)}


def _stack(components: Components, weights: Floats) -> Estimate:
    """Return the components' weighted sum as one score; the weights are float64 (components,)."""
    on = [k for k in range(len(NAMES)) if weights[k] > 0]
    if not on:  # the first component there is, at no weight: the engine wants a column
        on = [next(k for k in range(len(NAMES)) if components.x[k].shape[1])]
    x = np.hstack([weights[k] * components.x[k] for k in on])
    y = np.hstack([components.y[k] for k in on])
    return Estimate(
        components.as_of_s,
        _round(components.gain[:, None] * x),
        _round(y),
        np.log(components.rate / (1 - components.rate)),
        float(np.log(components.base / (1 - components.base))),
        columns={NAMES[k]: components.y[k].shape[1] for k in on},
    )


def _round(values: Floats) -> Floats:
    """Round to float32's digits: half the bytes are then zeros, and cost nothing on disk."""
    return values.astype(np.float32).astype(np.float64)
