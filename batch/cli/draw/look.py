"""What a dry run of an import found, for a terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.cli.output import as_table
from batch.data.look.look import Looked


def draw_look(console: Console, looked: Looked) -> None:
    """Print each table with its columns, reasons and first rows, then what would be rejected."""
    for table in looked.tables:
        why = f"  ({table['why']})" if "why" in table else ""
        console.print(f"[bold]{escape(table['ours'])}[/bold] = {escape(table['theirs'] + why)}")
        for column in table.get("columns", []):
            console.print(escape(f"  {column['ours']} = {column['theirs']}  ({column['why']})"))
        if table["rows"]:
            console.print(_rows(table["rows"]))
    if looked.not_taken:
        console.print("[bold]not taken[/bold]")
        console.print(as_table(looked.not_taken))
    if looked.report:
        counts = {"read": looked.report.read, "rejected": looked.report.rejected}
        console.print(as_table(counts | {"ignored": looked.report.ignored}))
    if looked.mapping:
        console.print("[bold]mapping[/bold]")
        console.print(looked.mapping, markup=False, highlight=False, soft_wrap=True)
    if looked.problem:
        console.print(f"[bold]cannot be read so:[/bold] {escape(looked.problem)}")


def _rows(rows: list[dict[str, Any]]) -> Table:
    drawn = Table(*map(escape, rows[0]), box=None, padding=(0, 2, 0, 2))
    for row in rows:
        drawn.add_row(*(escape("" if value is None else f"{value}") for value in row.values()))
    return drawn
