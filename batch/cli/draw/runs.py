"""Runs and their stages on a terminal and in JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from batch.runs.record import Run


def row(run: "Run") -> dict[str, Any]:
    """Return a run for JSON: times as text, seconds it took, whether it goes on."""
    values = asdict(run)
    for name in ("begun", "ended", "seen", "slot", "as_of"):
        values[name] = _time(values.pop(f"{name}_s"))
    end_s = run.seen_s if run.ended_s is None else run.ended_s
    return {**values, "outcome": run.outcome or "running", "took_s": round(end_s - run.begun_s, 3)}


def draw_list(console: Console, runs: "Sequence[Run]") -> None:
    """Show runs, newest first."""
    table = _table("run", "kind", "variant", "asked by", "begun", "took", "outcome", "generation", "why")
    for run in runs:
        said = row(run)
        where = f"{run.stage} {_how_far(run)}".strip() if run.outcome is None else run.why
        cells = (run.number, run.kind, run.variant, run.asked_by, said["begun"], _seconds(said["took_s"]))
        table.add_row(*map(str, cells), said["outcome"], str(run.generation or "–"), escape(where))
    console.print(table)


def draw_show(console: Console, run: "Run") -> None:
    """Show one run, a line a fact, and its stages as a table."""
    said = row(run)
    about = _table("", "")
    names = ("number", "kind", "variant", "outcome", "why", "exit_code", "asked_by", "slot", "host", "pid")
    for name in (*names, "begun", "ended", "as_of", "generation", "chosen", "resumed_from", "log"):
        if said[name] not in (None, ""):
            about.add_row(name, escape(str(said[name])))
    if run.outcome is None:
        about.add_row("now", f"{run.stage} {_how_far(run)}")
    console.print(about)
    stages = _table("stage", "outcome", "seconds", "CPU s", "peak MB", "rows", "computed from")
    for stage in run.stages:
        figures = (f"{stage.seconds:,.1f}", f"{stage.cpu_s:,.1f}", f"{stage.peak_mb:,}", f"{stage.rows:,}")
        stages.add_row(stage.name, stage.outcome, *figures, stage.fingerprint or "–")
    console.print(stages)


def _how_far(run: "Run") -> str:
    return f"{run.done:,}/{run.total:,}" if run.total else f"{run.done:,}" if run.done else ""


def _seconds(took_s: float) -> str:
    return f"{took_s:,.0f} s"


def _time(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    table.show_header = any(columns)
    return table
