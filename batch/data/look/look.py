"""Look at a place: what it holds, how it would be read, what would be rejected; nothing is written there."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.data.columns import FEED, REQUIRED
from batch.data.facts import Report
from batch.data.look.guess import Found, guess_tables
from batch.data.look.sample import take_samples
from batch.data.look.spell import ours, spell_mapping
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.source import Source, open_tables
from batch.data.tables.location import hide_password
from batch.data.tables.stall import STALL_S
from batch.data.validation.rejects import Limits, TooManyRejected
from batch.progress import Advance

NO_LIMITS = Limits(1.0, 1.0, 1.0, 1.0)
N_ROWS = 5  # shown of a table
MOST_LETTERS = 80  # shown of a value


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found.

    Attributes:
        tables: Of each table of ours: theirs, why, its columns with reasons, and first rows as they are read.
        not_taken: Their other tables, with what is wrong with them, if anything.
        mapping: As TOML; empty where one was given.
        report: Counts of what would be read and rejected; None where nothing can be read.
        problem: Why nothing can be read; empty where it can.
    """

    tables: list[dict[str, Any]]
    not_taken: dict[str, str]
    mapping: str
    report: Report | None
    problem: str


def look(
    location: str,
    mapping: Mapping | None,
    *,
    rejects: Path,
    limits: Limits,
    now_s: int,
    stall_s: float = STALL_S,
    advance: Advance = lambda _: None,
) -> Looked:
    """Look at a folder or a database; reads all of it, as an import does.

    Args:
        location: A folder, or a SQLAlchemy URL.
        mapping: By which it is read; None guesses one.
        rejects: File that receives the rows that would be rejected.
        limits: Largest shares of event rows that may be.
        now_s: Epoch seconds.
        stall_s: Longest silence of a PostgreSQL, seconds.
        advance: Called with the number of rows read since its last call.

    Raises:
        SourceError: The location is not there, or cannot be reached.
    """
    text, found, not_taken = "", list[Found](), dict[str, str]()
    if mapping is None:
        with open_tables(location, stall_s) as tables:
            samples, not_taken = take_samples(location, tables)
        found = guess_tables(samples)
        taken = {one.sample.name for one in found}
        not_taken |= {one.name: "no columns of ours" for one in samples if one.name not in taken}
        text = spell_mapping(found, hide_password(location))
        if not any(one.table == FEED for one in found):
            return Looked([_describe(one) for one in found], not_taken, text, None, _no_feed(location))
    tables_shown = [_describe(one) for one in found]
    try:
        mapping = mapping or Mapping.from_toml(tomllib.loads(text))
        rows = _first_rows(location, mapping, stall_s)
        told: dict[str, Any] = {"mapping": mapping, "rejects": rejects, "now_s": now_s, "stall_s": stall_s}
        tables_shown = tables_shown or [{"ours": name, "theirs": mapping.table(name)} for name in rows]
        tables_shown = [table | {"rows": rows.get(table["ours"], [])} for table in tables_shown]
        report, problem = _count(location, limits, told, advance)
    except ValueError as exc:
        report, problem = None, str(exc)
    return Looked(tables_shown, not_taken, text, report, problem)


def _no_feed(location: str) -> str:
    return (
        f"no table of {hide_password(location)} has users, items and times by names that are usual: "
        f"name them under [columns.{FEED}] in the mapping file"
    )


def _describe(found: Found) -> dict[str, Any]:
    form = found.sample.form
    columns = [
        {"ours": ours(found, meaning), "theirs": column, "why": why}
        for meaning, (column, why) in found.columns.items()
    ]
    theirs = found.sample.name if form is None else form.path
    return {"ours": found.table, "theirs": theirs, "why": found.why, "columns": columns, "rows": []}


def _first_rows(location: str, mapping: Mapping, stall_s: float) -> dict[str, list[dict[str, Any]]]:
    """Return the first rows of our tables that are there, by our names."""
    rows: dict[str, list[dict[str, Any]]] = {}
    with open_tables(location, stall_s, mapping) as tables:
        source = Source(tables, mapping, lambda _n: None)
        for table in REQUIRED:
            if source.has(table):
                batch = next(iter(source.batches(table, source.columns(table))), None)
                rows[table] = (
                    [] if batch is None else [_short(row) for row in batch.slice(0, N_ROWS).to_pylist()]
                )
    return rows


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[:MOST_LETTERS] + "…" if isinstance(value, str) and len(value) > MOST_LETTERS else value
        for name, value in row.items()
    }


def _count(location: str, limits: Limits, told: dict[str, Any], advance: Advance) -> tuple[Report, str]:
    """Return the counts of what would be read, and why an import would refuse that."""
    try:
        return read(location, limits=limits, advance=advance, **told).report, ""
    except TooManyRejected as exc:
        return read(location, limits=NO_LIMITS, advance=advance, **told).report, str(exc)
