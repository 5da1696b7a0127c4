"""What must hold after the nights, from the record of runs, the batch's log and the notices that came."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from batch.jobs.cron import read_cron
from batch.jobs.slots import list_slots
from batch.runs.record import Run

Lines = Sequence[dict[str, Any]]
BAD = ("failed", "lost")
CLOCK_S = 0.05  # a record is written a moment after what it tells


def find_unaccounted(
    kind: str, cron: str, from_s: float, until_s: float, runs: Sequence[Run], log: Lines
) -> list[str]:
    """Return the times of a job that no run stands for and that nobody said were missed, ISO 8601."""
    run = {one.slot_s for one in runs if one.kind == kind}
    told = {
        datetime.fromisoformat(slot).timestamp()
        for line in log
        if line.get("event") == "slot.missed" and line["job"] == kind
        for slot in line["slots"]
    }
    due = list_slots(read_cron(cron), from_s, until_s)
    return [datetime.fromtimestamp(slot).astimezone().isoformat() for slot in due if slot not in run | told]


def find_longest_s(runs: Sequence[Run]) -> float:
    """Return the longest time from the begin of a slot's first run to the end of its last, seconds.

    A run that is tried again keeps others waiting until its last attempt, and so does one that was lost.
    """
    of_slots: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        of_slots.setdefault((run.kind, run.slot_s or -run.number), []).append(run)
    return max(
        (
            max(run.ended_s or run.seen_s for run in tries) - min(run.begun_s for run in tries)
            for tries in of_slots.values()
        ),
        default=0.0,
    )


def find_overlaps(runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Return the numbers of runs of which one began before the other had ended."""
    ordered = sorted(runs, key=lambda run: run.begun_s)
    return [
        (one.number, other.number)
        for one, other in pairwise(ordered)
        if other.begun_s < (one.ended_s or one.seen_s) - CLOCK_S
    ]


def find_untold(runs: Sequence[Run], notices: Lines) -> list[int]:
    """Return the numbers of runs that failed or were lost and of which no notice came.

    The same bad news is told once until it is over: a notice counts for all failures of a kind since its
    last good run.
    """
    ordered, untold = sorted(runs, key=lambda run: run.number), []
    for place, run in enumerate(ordered):
        if run.outcome not in BAD:
            continue
        good = [
            one.ended_s or 0.0
            for one in ordered[:place]
            if one.outcome == "done" and one.kind in (run.kind, "full")
        ]
        if not any(
            notice["title"].startswith(f"Almanac: {run.kind} run ")
            and notice["at_s"] >= max(good, default=0.0)
            for notice in notices
            if "finished" not in notice["title"]
        ):
            untold.append(run.number)
    return untold
