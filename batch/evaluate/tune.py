"""Tuning: values of a model's knobs that told later likes best, on splits in time inside what is known.

The last three tenths of the events test what was learnt before each. Where users chose, lists of all posts
not taken are worth their NDCG@10; where a feed showed posts, sessions are worth the AUC of their order.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.intervals import delta_interval
from batch.evaluate.metrics import Hits, ndcg
from batch.evaluate.own import fit_own
from batch.evaluate.sessions import AUC, Sessions
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn import recipe as recipes
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.learn.baselines.named import BASELINES, find_baseline, require_package
from batch.learn.baselines.recommender import Recommender
from batch.learn.given import digest
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.progress import Advance

if TYPE_CHECKING:
    import optuna

N_TESTS, TENTH = 3, 0.1
MOST_ASKED = 1_000  # users of a test; of sessions the users whose sessions count
K = 10
N_FIRST = 5  # trials that are never cut short
SCORES, USERS, RANK_S, FIT_S = "scores", "users", "rank_seconds", "fit_seconds"  # what a trial keeps
Given = Mapping[str, float]
Fit = Callable[[Interactions, Given], Recommender]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found.

    Attributes:
        model: Its name.
        metric: What was raised: `ndcg_at_10` or `auc_in_session`.
        usual: Values before.
        given: Values of the best trial, which may be the usual ones.
        figures: `usual`, `best`, `gain` with `gain_low` and `gain_high` (95 %, over users: of the tests that
            chose it, so it is optimistic), `rank_seconds` and `fit_seconds` of both, `n_trials`, `n_pruned`.
        study: Optuna's, for plots.
    """

    model: str
    metric: str
    usual: dict[str, float]
    given: dict[str, float]
    figures: dict[str, float]
    study: "optuna.Study"


class _Test:
    """One split: who learns before it, and what is liked in it."""

    def __init__(self, facts: Facts, statics: asof.Statics, split: Split, recipe: Recipe) -> None:
        past = facts.until(split.test_from_s - 1)
        self.before = recipe.interactions(past, statics)
        self._asked: AskedUsers | None = None
        self._sessions: Sessions | None = None
        if facts.shown == "choices":
            asked = AskedUsers.of(facts, split, np.random.default_rng(recipe.seed), MOST_ASKED)
            self._asked = asked.select(asked.n_seen > 0)
            self.users = self._asked.users
        else:
            self._sessions = Sessions.of(facts, split, recipe.seed, most=MOST_ASKED)
            self.users = self._sessions.owner

    def measure(self, model: Recommender) -> results.Column:
        """Return what each list or session is worth."""
        if self._asked is not None:
            lists = self._asked.rank(model, K)
            hits = Hits.of_lists(lists, self._asked.row, self._asked.post)
            return results.mean_column(ndcg(hits, K, achievable=True))
        assert self._sessions is not None
        return self._sessions.rank(model)[AUC]


def find_knobs(name: str, recipe: Recipe) -> tuple[Knob, ...]:
    """Return what of a peer, or of ours (`almanac`), may be tuned.

    Raises:
        ValueError: There is no such model, or nothing to tune about it.
        LookupError: A package that it needs is not installed.
    """
    if name == recipes.OURS:
        return tuple(knob._replace(usual=getattr(recipe, knob.name)) for knob in recipes.KNOBS)
    able = [one.name for one in BASELINES if one.knobs]
    baseline = find_baseline(name)
    if baseline is None or not baseline.knobs:
        raise ValueError(f"{name!r} has nothing to tune: {recipes.OURS}, {', '.join(able)} have")
    require_package(baseline)
    return baseline.knobs


def find_tests(facts: Facts) -> list[Split]:
    """Return the splits of the last tenths of the events, oldest first.

    Raises:
        ValueError: The events do not make so many.
    """
    rows = [int(len(facts.time) * (1 - TENTH * k)) for k in range(N_TESTS, 0, -1)]
    bounds = [*(int(facts.time[row]) for row in rows), facts.as_of_s + 1] if len(facts.time) else []
    if len(np.unique(bounds)) != N_TESTS + 1 or bounds[0] == facts.time[0]:
        raise ValueError(
            f"{len(facts.time)} events do not make {N_TESTS} tests one after another: bring more"
        )
    return [Split(begin, end) for begin, end in pairwise(bounds)]


def tune(
    name: str,
    facts: Facts,
    statics: asof.Statics,
    recipe: Recipe,
    n_trials: int,
    timeout_s: float,
    storage: str | None = None,
    advance: Advance = lambda _n: None,
) -> Tuned:
    """Try values of a model's knobs, the usual ones first, and return the best.

    A trial whose first tests are below the median of the others' is cut short, as is one that time runs out
    on. A study of the same model, facts and knobs in the same storage goes on where it ended.

    Args:
        name: A peer's, or `almanac` for ours.
        facts: Events, all of them known: the tests lie inside.
        statics: What does not change with time.
        recipe: How ours is trained; its seed is everybody's.
        n_trials: Trials that the study shall have.
        timeout_s: Seconds after which no trial begins and none goes on to its next test; the usual values
            are tried whole at any rate.
        storage: SQLAlchemy URL of Optuna's studies; None keeps nothing.
        advance: Called with 1 after each trial.

    Raises:
        ValueError: Nothing to tune or to test on, or what lies before a test cannot train ours.
        LookupError: A package is not installed.
    """
    import optuna

    end_s, knobs = time.monotonic() + timeout_s, find_knobs(name, recipe)
    tests = [_Test(facts, statics, split, recipe) for split in find_tests(facts)]
    tests = [test for test in tests if len(test.users)]
    if not tests:
        raise ValueError(
            "nobody with a history likes anything new in the last tenths of the events: bring more"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=f"{name} {digest(facts, statics)} {','.join(map(str, knobs))}"[:500],
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=recipe.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=N_FIRST),
        direction="maximize",
        load_if_exists=True,
    )
    usual = {knob.name: knob.number(knob.usual) for knob in knobs}
    fit = partial(_fit, name, recipe)

    def try_out(trial: "optuna.Trial") -> float:
        given = {knob.name: _suggest(trial, knob) for knob in knobs}
        return _measure(trial, tests, partial(fit, given=given), None if given == usual else end_s)

    ended = study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))
    is_tried = any(trial.value is not None and _values(trial, knobs) == usual for trial in ended)
    if not is_tried:  # anew, too, where who tried them first was ended in the middle
        study.enqueue_trial(usual)
    for _ in range(max(n_trials - len(ended), 0 if is_tried else 1)):
        study.optimize(try_out, n_trials=1)
        advance(1)
        if time.monotonic() >= end_s:
            break
    metric = "ndcg_at_10" if facts.shown == "choices" else "auc_in_session"
    return _summarise(name, metric, knobs, usual, study)


def _fit(name: str, recipe: Recipe, before: Interactions, given: Given) -> Recommender:
    baseline = find_baseline(name)
    if baseline is not None:
        return baseline.fit(replace(before, given=given))
    as_of_s = before.facts.as_of_s
    return fit_own(before, recipe.tune(given), as_of_s, as_of_s + 1)


def _suggest(trial: "optuna.Trial", knob: Knob) -> float:
    least, most = min(knob.least, knob.usual), max(knob.most, knob.usual)
    if knob.whole:
        return trial.suggest_int(knob.name, int(least), int(most), log=True)
    return knob.number(trial.suggest_float(knob.name, least, most, log=True))


def _measure(
    trial: "optuna.Trial",
    tests: Sequence[_Test],
    fit: Callable[[Interactions], Recommender],
    end_s: float | None,
) -> float:
    """Return the metric over all tests; none begins after `end_s`, monotonic seconds, and a bad trial ends.

    Without an `end_s` all tests count: of the usual values there must be a figure.
    """
    import optuna

    parts, wholes, took = list[Floats](), list[Floats](), {FIT_S: 0.0, RANK_S: 0.0}
    value = 0.0
    for step, test in enumerate(tests):
        if end_s is not None and time.monotonic() >= end_s:
            raise optuna.TrialPruned
        begun = time.perf_counter()
        model = fit(test.before)
        fitted = time.perf_counter()
        column = test.measure(model)
        took[FIT_S] += fitted - begun
        took[RANK_S] += time.perf_counter() - fitted
        parts.append(column.parts)
        wholes.append(column.wholes)
        value = float(sum(map(np.sum, parts)) / max(sum(map(np.sum, wholes)), 1e-12))
        trial.report(value, step)
        if end_s is not None and step + 1 < len(tests) and trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr(SCORES, [np.concatenate(parts).tolist(), np.concatenate(wholes).tolist()])
    trial.set_user_attr(USERS, np.concatenate([test.users for test in tests]).tolist())
    for name, seconds in took.items():
        trial.set_user_attr(name, round(seconds, 4))
    return value


def _summarise(
    name: str, metric: str, knobs: Sequence[Knob], usual: dict[str, float], study: "optuna.Study"
) -> Tuned:
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    first = next(trial for trial in done if _values(trial, knobs) == usual)
    best = max(done, key=lambda trial: (trial.value, -trial.number))  # the first of equal ones
    (before, wholes), (after, _) = (np.array(trial.user_attrs[SCORES]) for trial in (first, best))
    users: Ints = np.array(first.user_attrs[USERS], np.int64)
    low, high = delta_interval(after - before, wholes, users)
    figures = {
        "usual": round(first.value or 0.0, 6),
        "best": round(best.value or 0.0, 6),
        "gain": round((best.value or 0.0) - (first.value or 0.0), 6),
        "gain_low": low,
        "gain_high": high,
        **{f"{part}_usual": first.user_attrs[part] for part in (FIT_S, RANK_S)},
        **{f"{part}_best": best.user_attrs[part] for part in (FIT_S, RANK_S)},
        "n_trials": len(done),
        "n_pruned": len(study.trials) - len(done),
    }
    return Tuned(name, metric, usual, _values(best, knobs), figures, study)


def _values(trial: Any, knobs: Sequence[Knob]) -> dict[str, float]:
    return {knob.name: knob.number(trial.params[knob.name]) for knob in knobs}
