"""Experiments as pages show them: what is compared, who did what, and on demand the verdict so far."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from api.contract.buckets import moment
from api.contract.experiment import Experiment
from batch.data.live.exposures import count_rungs, day_of
from batch.experiments.comparisons import Terms
from batch.experiments.registry import describe, find, find_all, read_log
from batch.inspector.desk import Desk
from batch.jobs.looks import Look, report_looks
from batch.jobs.outcomes import NoExposures
from batch.jobs.report import report
from batch.progress import SILENT
from batch.store.connection import events_location


def list_experiments(desk: Desk) -> dict[str, Any]:
    """Return every experiment, archived ones last."""
    found = sorted(find_all(desk.client, desk.keys), key=lambda one: (one.state == "archived", one.name))
    return {"experiments": [describe(one) for one in found]}


def show_experiment(desk: Desk, name: str, *, is_judged: bool, is_followed: bool = False) -> dict[str, Any]:
    """Return an experiment's definition and notes, newest first; and the verdict, or why there is none.

    With `is_followed`, how each metric stood on the way to the verdict, too, and answers by arm and rung.

    Raises:
        LookupError: There is no such experiment.
        SourceError: The events' database or the facts cannot be read.
    """
    one = find(desk.client, desk.keys, name)
    verdict, why_not, looks, rungs = None, "", list[dict[str, Any]](), list[dict[str, Any]]()
    asked = (desk.settings, desk.client, name, Terms(), SILENT, int(desk.now()))
    try:
        if is_followed:
            found, series = report_looks(*asked)
            verdict, looks = found.values(), _describe_looks(series)
            rungs = read_rungs(desk, one)
        elif is_judged:
            verdict = report(*asked).values()
    except NoExposures as exc:
        why_not = str(exc)
    return {
        **describe(one),
        "notes": read_log(desk.client, desk.keys, name)[::-1],
        "is_judged": is_judged or is_followed,
        "looks": looks,
        "rungs": rungs,
        "verdict": verdict,
        "why_not": why_not,
    }


def _describe_looks(series: Mapping[tuple[str, str], Sequence[Look]]) -> list[dict[str, Any]]:
    """Return each metric's looks at each arm; what is not known yet is None."""
    return [
        {
            "metric": metric,
            "arm": arm,
            "looks": [
                {
                    "until": moment(one.until_s).isoformat(),
                    "n_users": one.n_users,
                    **{name: _known(getattr(one, name)) for name in ("effect", "low", "high")},
                }
                for one in looks
            ],
        }
        for (metric, arm), looks in series.items()
    ]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read_rungs(desk: Desk, one: Experiment) -> list[dict[str, Any]]:
    """Return how many recorded answers each arm gave from each lowest rung, with their shares."""
    url, since = events_location(desk.settings), day_of(one.start_s * 1000)
    counts = count_rungs(url, one.name, since, desk.settings.database_stall_s)
    whole = Counter[str]()
    for (arm, _), n in counts.items():
        whole[arm] += n
    order = {arm.name: place for place, arm in enumerate(one.arms)}
    rows = sorted(counts.items(), key=lambda row: (order.get(row[0][0], len(order)), -row[1], row[0][1]))
    return [{"arm": arm, "rung": rung, "n": n, "share": n / whole[arm]} for (arm, rung), n in rows]
