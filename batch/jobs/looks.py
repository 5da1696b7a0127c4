"""An experiment as it stood at each of several looks: what its always-valid interval said then."""

import math
from dataclasses import dataclass, replace

import redis

from api.contract.buckets import DAY_S
from batch.experiments.acts import Span
from batch.experiments.comparisons import Terms
from batch.experiments.registry import find
from batch.experiments.verdict import Verdict
from batch.jobs.outcomes import find_facts, read_material
from batch.jobs.report import judge_outcome
from batch.progress import Progress
from batch.settings import Settings

MOST = 14  # looks: each counts all answers and acts up to it anew
FEWEST_DAYS = 3  # below, looks are parts of a day
EARLY = "always_valid"


@dataclass(frozen=True, slots=True)
class Look:
    """What a metric said of an arm at one look; NaN: nothing yet.

    Attributes:
        until_s: What was shown and done before it counts, epoch seconds.
        n_users: Users of both arms by then.
        effect: The arm less the first one.
        low: Lower end of the interval that holds at every look.
        high: Upper end.
    """

    until_s: int
    n_users: int
    effect: float
    low: float
    high: float


def report_looks(
    settings: Settings, client: redis.Redis, name: str, terms: Terms, progress: Progress, now_s: int
) -> tuple[Verdict, dict[tuple[str, str], list[Look]]]:
    """Judge an experiment as `report` does, and tell how each metric of each arm stood on the way there.

    Returns:
        The verdict; by metric and arm, in its order, a look a day, 14 at most; none where arms do not have
        their planned shares of users.

    Raises:
        LookupError: There is no such experiment, or it has answered nobody.
        SourceError: The events' database or the facts cannot be read.
    """
    one = find(client, settings.keys, name)
    found = read_material(settings, client, find_facts(settings, ""), one, progress, now_s)
    verdict = judge_outcome(one, found.count(), terms)
    series: dict[tuple[str, str], list[Look]] = {(of.metric, of.arm): [] for of in verdict.readings}
    early = replace(terms, n_resamples=0)
    for until_s in find_looks(found.span) if series else ():
        counted = found.count(until_s)
        then = judge_outcome(one, counted, early) if len(counted.table) else None  # none were answered yet
        for (metric, arm), looks in series.items():
            looks.append(_look(then, metric, arm, until_s))
    return verdict, series


def _look(then: Verdict | None, metric: str, arm: str, until_s: int) -> Look:
    """Return what a verdict, None: nobody was answered yet, says of a metric and an arm."""
    if then is None:
        return Look(until_s, 0, math.nan, math.nan, math.nan)
    users = then.sample_ratio.users
    n_users = users[next(iter(users))] + users[arm]
    for of in then.readings:
        for test in of.tests:
            if (of.metric, of.arm, test.test) == (metric, arm, EARLY):
                return Look(until_s, n_users, test.effect, test.low, test.high)
    return Look(until_s, n_users, math.nan, math.nan, math.nan)


def find_looks(span: Span) -> list[int]:
    """Return the ends of a span's days, UTC, and its own, thinned out to MOST; of a short one, of its parts.

    >>> [until_s / DAY_S for until_s in find_looks(Span(DAY_S // 2, 4 * DAY_S + 1))]
    [1.0, 2.0, 3.0, 4.0, 4.000011574074074]
    >>> find_looks(Span(0, 70_000))[:2], len(find_looks(Span(0, 400 * DAY_S)))
    ([5000, 10000], 14)
    """
    if span.end_s - span.start_s < FEWEST_DAYS * DAY_S:
        width_s = span.end_s - span.start_s
        return sorted({span.start_s + max(width_s * part // MOST, 1) for part in range(1, MOST + 1)})
    days = [*range((span.start_s // DAY_S + 1) * DAY_S, span.end_s, DAY_S), span.end_s]
    if len(days) <= MOST:
        return days
    return [days[round((part + 1) * len(days) / MOST) - 1] for part in range(MOST)]
