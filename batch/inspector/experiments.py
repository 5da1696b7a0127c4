"""Experiments as pages show them: what is compared, who did what, and on demand the verdict so far."""

from typing import Any

from batch.experiments.comparisons import Terms
from batch.experiments.registry import describe, find, find_all, read_log
from batch.inspector.desk import Desk
from batch.jobs.outcomes import NoExposures
from batch.jobs.report import report
from batch.progress import SILENT


def list_experiments(desk: Desk) -> dict[str, Any]:
    """Return every experiment, archived ones last."""
    found = sorted(find_all(desk.client, desk.keys), key=lambda one: (one.state == "archived", one.name))
    return {"experiments": [describe(one) for one in found]}


def show_experiment(desk: Desk, name: str, *, is_judged: bool) -> dict[str, Any]:
    """Return an experiment's definition and notes, newest first; and the verdict, or why there is none.

    Raises:
        LookupError: There is no such experiment.
        SourceError: The events' database or the facts cannot be read.
    """
    one = find(desk.client, desk.keys, name)
    verdict, why_not = None, ""
    if is_judged:
        try:
            found = report(desk.settings, desk.client, name, Terms(), SILENT, int(desk.now()))
            verdict = found.values()
        except NoExposures as exc:
            why_not = str(exc)
    return {
        **describe(one),
        "notes": read_log(desk.client, desk.keys, name)[::-1],
        "is_judged": is_judged,
        "verdict": verdict,
        "why_not": why_not,
    }
