"""Runs as pages show them: what ran, what runs and how far, what comes next, how old what is served is."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from api.contract.asked import PIPELINES
from batch.inspector.desk import Desk
from batch.inspector.health import look_at_store
from batch.jobs.cron import read_cron
from batch.runs.record import Run, describe_run
from batch.runs.tail import tail

MOST_RUNS, LINES = 30, 40
DASHBOARD = "/d/almanac"  # of docs/monitoring/grafana
LONGEST_LINE = 1_000  # characters of a log line that are shown


def list_runs(desk: Desk) -> dict[str, Any]:
    """Return the newest runs, when the next ones are due, and how what is served stands.

    Runs are files of this process's state folder, so they are told while the store is away too.
    """
    settings = desk.settings
    now = datetime.fromtimestamp(desk.now(), UTC)
    due = {"full": settings.schedule, "refresh": settings.refresh_schedule}
    times = {
        name: read_cron(line, settings.zone).get_next_fire_time(None, now)
        for name, line in due.items()
        if line
    }
    return {
        "runs": [describe_run(run) for run in desk.runs.recent(MOST_RUNS)],
        "next": {name: None if at is None else at.isoformat() for name, at in times.items()},
        "stale_h": settings.stale_h,
        "grafana": f"{settings.grafana_url.rstrip('/')}{DASHBOARD}" if settings.grafana_url else None,
        **look_at_store(desk),
        "pipelines": list(PIPELINES),
    }


def show_run(desk: Desk, number: int) -> dict[str, Any]:
    """Return one run with its stages, how far it is, and its last log lines.

    Raises:
        RunUnknown: There is none.
    """
    run = desk.runs.show(number)
    return {**describe_run(run), **_progress(run), "tail": list(_tail(desk, number))}


def follow_run(desk: Desk, number: int) -> dict[str, Any]:
    """Return of a run what changes while it goes on.

    Raises:
        RunUnknown: There is none.
    """
    run = desk.runs.show(number)
    said = describe_run(run)
    kept = {name: said[name] for name in ("outcome", "stage", "done", "total", "took_s")}
    return {**kept, **_progress(run), "tail": list(_tail(desk, number))}


def _progress(run: Run) -> dict[str, Any]:
    share = min(run.done / run.total, 1.0) if run.total else None
    return {"share": share, "is_on": run.outcome is None}


def _tail(desk: Desk, number: int) -> Iterator[str]:
    for line in tail(desk.runs, number, LINES):
        yield line[:LONGEST_LINE]
