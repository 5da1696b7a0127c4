"""Runs and their stages on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.runs.record import describe_run

if TYPE_CHECKING:
    from batch.runs.record import Run


def draw_list(console: Console, runs: "Sequence[Run]") -> None:
    """Show runs, newest first."""
    table = _table("run", "kind", "variant", "asked by", "begun", "took", "outcome", "generation", "why")
    for run in runs:
        said = describe_run(run)
        where = f"{run.stage} {_how_far(run)}".strip() if run.outcome is None else run.why
        cells = (run.number, run.kind, run.variant, run.asked_by, said["begun"], _seconds(said["took_s"]))
        table.add_row(*map(str, cells), said["outcome"], str(run.generation or "–"), escape(where))
    console.print(table)


def draw_show(console: Console, run: "Run") -> None:
    """Show one run, a line a fact, and its stages as a table."""
    said = describe_run(run)
    about = _table("", "")
    names = ("number", "kind", "variant", "outcome", "why", "exit_code", "asked_by", "slot", "host", "pid")
    for name in (*names, "begun", "ended", "as_of", "generation", "chosen", "resumed_from", "log"):
        if said[name] not in (None, ""):
            about.add_row(name, escape(str(said[name])))
    for name in ("facts", "model", "root"):
        if run.made.get(name):
            about.add_row(name, escape(run.made[name]))
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


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    table.show_header = any(columns)
    return table
