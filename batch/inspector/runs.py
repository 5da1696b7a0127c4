"""Runs as pages show them: what ran, what runs and how far, what comes next, how old what is served is."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from api.contract.asked import PIPELINES
from api.contract.buckets import moment
from batch.inspector.desk import Desk
from batch.jobs.asked import read_waiting
from batch.jobs.cron import read_cron
from batch.jobs.watch import look
from batch.publish.ledger.ledger import NothingServed
from batch.runs.record import Run, describe_run
from batch.runs.tail import tail

MOST_RUNS, LINES = 30, 40
LONGEST_LINE = 1_000  # characters of a log line that are shown


def list_runs(desk: Desk) -> dict[str, Any]:
    """Return the newest runs, what waits, when the next ones are due, and how old what is served is."""
    settings = desk.settings
    now = datetime.fromtimestamp(desk.now(), UTC)
    due = {"full": settings.schedule, "refresh": settings.refresh_schedule}
    times = {
        name: read_cron(line, settings.zone).get_next_fire_time(None, now)
        for name, line in due.items()
        if line
    }
    try:
        served = asdict(look(settings, desk.client, desk.now()))
    except NothingServed:
        served = None
    stale_s = settings.stale_h * 3600
    return {
        "runs": [describe_run(run) for run in desk.runs.recent(MOST_RUNS)],
        "next": {name: None if at is None else at.isoformat() for name, at in times.items()},
        "served": served,
        "is_stale": bool(
            served and stale_s and max(served["fact_age_s"], served["publication_age_s"]) > stale_s
        ),
        "stale_h": settings.stale_h,
        "events": int(desk.client.xlen(desk.keys.events())),
        "exposures": int(desk.client.xlen(desk.keys.exposures())),
        "asked": [
            {"at": moment(int(entry.partition("-")[0]) // 1000).isoformat(), "pipeline": ask.pipeline}
            for entry, ask in read_waiting(desk.client, desk.keys)
            if ask.pipeline is not None
        ],
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
