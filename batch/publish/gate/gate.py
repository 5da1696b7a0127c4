"""May these lists be served? Every check looks at cheap inputs, says a sentence, and names its limit."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from batch.learn.chosen import is_personal
from batch.publish.gate.interval import difference
from batch.publish.gate.report import Check, Outcome, Report, check_checksums, check_model
from batch.publish.gate.stats import GenerationStats
from batch.publish.gate.thresholds import Thresholds

METRIC, AUC, SESSIONS = "hitrate_at_5", "auc_in_session", "test_sessions"
RIVALS = {"popular": "popularity", "recent": "popularity of late", "knn": "item kNN"}


@dataclass(frozen=True, slots=True)
class Live:
    """The generation that is served now.

    Attributes:
        generation: Its number.
        n_users: Users who have its lists.
        metrics: What its run measured.
        stats: None where its folder is not on this disk.
        churn: Mean rank-biased overlap of its lists and the new ones, same user, same hour; None where no
            sampled user has lists in both.
    """

    generation: int
    n_users: int
    metrics: Mapping[str, float]
    stats: GenerationStats | None
    churn: float | None


@dataclass(frozen=True, slots=True)
class GateInputs:
    """What the gate looks at in a generation that is written and not yet sealed.

    Attributes:
        stats: Of the new lists.
        metrics: What the run measured on the split; empty where it did not.
        reread: Checksums computed again from the store, and how many of them differ.
        rescored: Lists scored again from their inputs, and how many of them differ; None: no inputs kept.
        outside: Feature to the share of its values far outside what the model was trained on.
        psi: Stability index of the raw scores against the live generation's; None: nothing to compare.
        mistaken: Feature to what its values look like now: another feature, or `missing`.
        live: None where nothing is served yet.
    """

    stats: GenerationStats
    metrics: Mapping[str, float]
    reread: tuple[int, int]
    rescored: tuple[int, int] | None
    outside: Mapping[str, float]
    psi: float | None = None
    mistaken: Mapping[str, str] = field(default_factory=dict)
    live: Live | None = None


def judge(inputs: GateInputs, limits: Thresholds, *, is_ours: bool = True) -> Report:
    """Ask every check; the gravest outcome is the report's. With nothing live, none compares.

    Of lists that are not ours only these are asked: does the store hold them, do they overlap with the live
    ones, and do they hold as many of the posts.
    """
    if not is_ours:
        checks = [
            check_checksums(*inputs.reread),
            *_check_overlap(inputs, limits),
            *_check_coverage(inputs, limits),
        ]
        return Report(tuple(checks), inputs.live.generation if inputs.live else None)
    checks = [
        check_checksums(*inputs.reread),
        *_check_complete(inputs, limits),
        *_check_model(inputs, limits),
        *_check_personal(inputs, limits),
        *_check_metrics(inputs, limits),
        *_check_drift(inputs, limits),
    ]
    return Report(tuple(checks), inputs.live.generation if inputs.live else None)


def _check_complete(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    new = inputs.stats
    if inputs.live:
        gone = 1 - new.n_users / max(inputs.live.n_users, 1)
        says = f"{new.n_users:,} users have lists, {inputs.live.n_users:,} in live {inputs.live.generation}"
        yield _most("users", gone, limits.missing_users, "abort", says, "missing_users")
    share = new.n_empty / max(new.n_users, 1)
    says = f"{new.n_empty:,} of {new.n_users:,} users have no post in any list"
    yield _most("empty lists", share, limits.empty_users, "abort", says, "empty_users")
    share = new.n_short / max(new.n_lists, 1)
    says = f"{new.n_short:,} of {new.n_lists:,} lists are shorter than they could be"
    yield _most("short lists", share, limits.short_lists, "abort", says, "short_lists")


def _check_model(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    if inputs.rescored is None:
        yield _skip("model", "no inputs are kept with this generation")
    else:
        yield check_model(*inputs.rescored)
    far = max(inputs.outside.items(), key=lambda item: item[1], default=None)
    if far is None:
        yield _skip("trained range", "the model's text names no ranges")
    else:
        over = _names(inputs.outside, limits.outside) or far[0]
        says = f"{far[1]:.0%} of a feature's values lie far outside its training, at most ({over})"
        yield _most("trained range", far[1], limits.outside, "quarantine", says, "outside")


def _check_personal(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    if not is_personal(inputs.metrics):
        says = "nothing personal ranked later likes better: everybody gets the same order"
        yield from (_skip(name, says) for name in ("same order", "same posts"))
        return
    new = inputs.stats
    says = f"{new.same_order:.0%} of pairs of users have the posts they share in one order"
    yield _most("same order", new.same_order, limits.same_order, "quarantine", says, "same_order")
    says = f"two users have {new.same_posts:.0%} of their first ten posts in common"
    yield _most("same posts", new.same_posts, limits.same_posts, "quarantine", says, "same_posts")


def _check_metrics(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    new, n = inputs.metrics.get(METRIC, math.nan), inputs.metrics.get(SESSIONS, 0.0)
    if math.isnan(new) or not n:
        yield _skip("metric", "this run measured nothing")
        return
    rivals = {
        name: (inputs.metrics.get(f"{METRIC}_{suffix}", math.nan), n) for suffix, name in RIVALS.items()
    }
    if inputs.live:
        then = inputs.live.metrics
        rivals |= {f"live {inputs.live.generation}": (then.get(METRIC, math.nan), then.get(SESSIONS, 0.0))}
    for name, (rate, n_rival) in rivals.items():
        if math.isnan(rate):
            yield _skip(f"metric against {name}", "it was not measured")
            continue
        low, high = difference(new, n, rate, n_rival, limits.confidence)
        says = f"HitRate@5 {new:.3f} against {rate:.3f}, difference {low:+.3f} to {high:+.3f}"
        outcome: Outcome = "wait" if high < -limits.worse else "proceed"
        yield Check(f"metric against {name}", outcome, says, high, -limits.worse, "worse")
    yield _check_leak(inputs, limits)


def _check_leak(inputs: GateInputs, limits: Thresholds) -> Check:
    """A label that leaks into a feature makes the offline figures too good to be true."""
    new = inputs.metrics.get(AUC, math.nan)
    before = inputs.live.metrics.get(AUC, math.nan) if inputs.live else math.nan
    if math.isnan(new):
        return _skip("leak", "AUC in session was not measured")
    of_choices = inputs.metrics.get("of_choices", 0.0) > 0
    best = limits.best_auc_of_choices if of_choices else limits.best_auc
    limit = best if math.isnan(before) else min(best, before + limits.too_good)
    against = "" if math.isnan(before) else f" after {before:.3f} of the live one"
    says = f"AUC in session is {new:.3f}{against}: more than {limit:.3f} is a leak sooner than a success"
    return _most(
        "leak",
        new,
        limit,
        "quarantine",
        says,
        "too_good, best_auc_of_choices" if of_choices else "too_good, best_auc",
    )


def _check_drift(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    live, new = inputs.live, inputs.stats
    if live is None:
        yield _skip("drift", "nothing is served yet")
        return
    yield from _check_overlap(inputs, limits)
    old = live.stats
    if old is None:
        yield _skip("drift", f"the stats of live {live.generation} is not on this disk")
        return
    if inputs.psi is not None:
        says = f"scores have moved by {inputs.psi:.3f} (population stability index)"
        yield _most("scores", inputs.psi, limits.score_shift, "wait", says, "score_shift")
    if old.inputs:
        looks = ", ".join(f"{name} looks like {other}" for name, other in sorted(inputs.mistaken.items()))
        says = f"features in their place: {len(old.inputs) - len(inputs.mistaken)} of {len(old.inputs)}"
        says = f"{says} ({looks})" if looks else says
        yield _most("inputs", len(inputs.mistaken), 0.0, "quarantine", says, "input_shift")
    names = set(old.topics) | set(new.topics)
    shift = sum(abs(new.topics.get(name, 0.0) - old.topics.get(name, 0.0)) for name in names) / 2
    says = f"{shift:.0%} of the first ten places have changed their topic"
    yield _most("topics", shift, limits.topic_shift, "wait", says, "topic_shift")
    yield from _check_coverage(inputs, limits)


def _check_overlap(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    live = inputs.live
    if live is None or live.churn is None:
        yield _skip("churn", "no sampled user has live lists")
    else:
        says = f"the lists' mean rank-biased overlap with live {live.generation} is {live.churn:.3f}"
        yield _least("churn", live.churn, limits.churn, "wait", says, "churn")


def _check_coverage(inputs: GateInputs, limits: Thresholds) -> Iterator[Check]:
    new, old = inputs.stats, inputs.live.stats if inputs.live else None
    if old is None:
        yield _skip("coverage", "no statistics of live lists are on this disk")
        return
    share = new.coverage / max(old.coverage, 1e-9)
    says = f"lists hold {new.coverage:.0%} of all posts, live ones {old.coverage:.0%}"
    yield _least("coverage", share, limits.coverage_fall, "wait", says, "coverage_fall")


def _most(name: str, value: float, limit: float, otherwise: Outcome, says: str, setting: str) -> Check:
    return Check(name, otherwise if value > limit else "proceed", says, value, limit, setting)


def _least(name: str, value: float, limit: float, otherwise: Outcome, says: str, setting: str) -> Check:
    return Check(name, otherwise if value < limit else "proceed", says, value, limit, setting)


def _skip(name: str, why: str) -> Check:
    return Check(name, "proceed", f"not asked: {why}")


def _names(values: Mapping[str, float], limit: float) -> str:
    return ", ".join(sorted(name for name, value in values.items() if value > limit))
