"""Output of the command line: bars and tables on a terminal, JSON lines elsewhere, one sentence on error."""

import logging
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.address import hide_passwords
from api.log import configure
from batch.progress import Progress

Values = Mapping[str, object]


class Output:
    """The output of one command; with `json`, its last line on stdout is one JSON object."""

    def __init__(self, *, json: bool) -> None:
        """Log JSON lines unless a person watches."""
        self.json = json
        self.console = Console()
        self.watched = self.console.is_terminal and not json
        configure("WARNING" if self.watched else "INFO")
        if self.watched:  # the sentence on stderr says the same
            logging.getLogger().handlers[0].addFilter(lambda record: record.getMessage() != "run.failed")
        self.progress = Progress(self.console if self.watched else None)

    def emit(self, values: Values, draw: Callable[[Console], None] | None = None) -> None:
        """Print the command's result: as JSON, or drawn by `draw`, or as a plain table."""
        if self.json:
            print_json(values)
        elif draw is not None:
            draw(self.console)
        else:
            self.console.print(as_table(values))


def print_json(values: Values) -> None:
    """Print one JSON object; NaN is null, times are ISO 8601."""
    sys.stdout.write(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode() + "\n")
    sys.stdout.flush()


def as_table(values: Values) -> Table:
    """Return names and values as a table without a frame, nested names dotted."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _flat(values, ""):
        table.add_row(name, _rows(value) if _has_rows(value) else _text(value))
    return table


def print_error(sentence: str, *, json: bool, exit_code: int) -> int:
    """Print an error as one sentence on stderr, and as JSON where asked; return the exit code."""
    sys.stderr.write(f"error: {sentence}\n")
    if json:
        print_json({"error": sentence, "exit_code": exit_code})
    return exit_code


def print_warning(sentence: str, question: str) -> None:
    """Print what may be a slip, and what was perhaps meant, as one line on stderr."""
    sys.stderr.write(f"warning: {': '.join(filter(None, (sentence, question)))}\n")


def hide_arguments(sentence: str, arguments: list[str]) -> str:
    """Return a sentence that may repeat arguments, without what may be a password in one: all before an @.

    >>> hide_arguments("no command 'redis://ann:secret@db'", ["redis://ann:secret@db"])
    "no command '***@db'"
    """
    for argument in arguments:
        for text in (argument, argument.partition("=")[2]):
            shown = hide_passwords(f"***@{text.rpartition('@')[2]}" if "@" in text else text)
            if shown != text:
                sentence = sentence.replace(text, shown)
    return sentence


def keep_traceback(text: str, folder: Path) -> Path:
    """Write a bug's traceback to a file of the state folder, or a temporary one, and return its path."""
    path, text = folder / "last-error.txt", hide_passwords(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="almanac-")) / path.name
        path.write_text(text)
    return path


def _has_rows(value: object) -> TypeGuard[list[Values]]:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _rows(values: list[Values]) -> Table:
    """Return things of one kind as a table, a line each; their first names the columns."""
    table = Table(*values[0], box=None, padding=(0, 2, 0, 0))
    for row in values:
        table.add_row(*map(_text, row.values()))
    return table


def _text(value: object) -> str:
    return escape(f"{value:,.4g}" if isinstance(value, float) else f"{value}")


def _flat(values: Values, prefix: str) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        elif not (isinstance(value, float) and math.isnan(value)):
            rows.append((f"{prefix}{name}", value))
    return rows
