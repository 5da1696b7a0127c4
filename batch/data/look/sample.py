"""The first rows of each table of a place, and how its files are written where nothing tells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from batch.data.look.names import Meaning, rank
from batch.data.source import Tables
from batch.data.tables.folder import Folder
from batch.data.tables.form import FileForm, split_suffix
from batch.data.tables.location import SourceError
from batch.data.tables.stream import open_bytes

MOST_ROWS = 20_000  # of a table that are looked at
_NEVER = (
    ".md",
    ".pdf",
    ".html",
    ".toml",
    ".yaml",
    ".yml",
    ".py",
    ".ipynb",
    ".db",
    ".sqlite",
    ".log",
    ".sh",
    ".png",
)
_MEANINGS: tuple[Meaning, ...] = ("user", "item", "timestamp", "action", "target", "rating", "text", "topic")


@dataclass(frozen=True, slots=True)
class Sample:
    """A table's first rows.

    Attributes:
        name: Of the table.
        form: How its files are written; None in a database.
        rows: The first rows; texts where the files know no types.
        named: Its columns have names of their own; if not they are f0, f1, ….
    """

    name: str
    form: FileForm | None
    rows: pa.Table
    named: bool = True


def take_samples(location: str, tables: Tables) -> tuple[list[Sample], dict[str, str]]:
    """Return a sample of each table, and of those that cannot be read why not."""
    samples, refused = [], {}
    for name, form in _candidates(location, tables):
        try:
            samples.append(_sample(name, form, tables))
        except SourceError as exc:
            refused[name] = str(exc)
    return samples, refused


def _candidates(location: str, tables: Tables) -> list[tuple[str, FileForm | None]]:
    """Return the tables' names, each with the path of its files below a folder."""
    if not isinstance(tables, Folder):
        return [(name, None) for name in tables.names()]
    found: dict[str, list[Path]] = {}
    for path in sorted(Path(location).iterdir()):
        if (
            path.name[0] in "._"
            or path.suffix.lower() in _NEVER
            or path.name.upper().startswith(("README", "LICEN"))
        ):
            continue
        found.setdefault(_stem(path), []).append(path)
    return [(name, FileForm(path=_glob(name, paths))) for name, paths in found.items()]


def _stem(path: Path) -> str:
    """Return a file's name without suffix and number of the shard; all of it where the suffix is not ours."""
    name, suffix = split_suffix(path.name)
    stem, dash, number = name.rpartition("-")
    return stem + suffix if dash and number.isdigit() else path.name


def _glob(name: str, paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return paths[0].name
    stem, suffix = split_suffix(name)
    return f"{stem}-*{suffix}"


def _sample(name: str, form: FileForm | None, tables: Tables) -> Sample:
    if form is None:
        return Sample(name, None, _first_rows(tables, name))
    title = split_suffix(name)[0]
    try:
        rows, form = _read(tables.location, form)
    except SourceError as exc:
        if "encoding" not in str(exc):
            raise
        rows, form = _read(
            tables.location, replace(form, encoding=_guess_encoding(Path(tables.location), form))
        )
    if form.separator and not _has_names(rows.column_names):
        rows, form = _read(tables.location, replace(form, header=()))
        return Sample(title, form, rows, named=False)
    return Sample(title, form, rows)


def _read(location: str, form: FileForm) -> tuple[pa.Table, FileForm]:
    """Return the first rows, and the form with the separator that was found."""
    folder = Folder(location, {"": form}, {"": "TABLE"})
    rows = _first_rows(folder, "")
    return rows, replace(form, separator=folder.separator(""))


def _first_rows(tables: Tables, name: str) -> pa.Table:
    columns = [column for column in tables.columns(name) or [] if column]
    batches, n_rows = [], 0
    for batch in tables.batches(name, columns):
        batches.append(batch.slice(0, MOST_ROWS - n_rows))
        n_rows += len(batches[-1])
        if n_rows >= MOST_ROWS:
            break
    tables_of = [pa.Table.from_batches([batch]) for batch in batches]
    if not tables_of:
        return pa.table({column: pa.array([], pa.string()) for column in columns})
    return pa.concat_tables(tables_of, promote_options="permissive")


def _has_names(names: Sequence[str]) -> bool:
    """Tell whether a first line holds names: one of ours or of the usual, or none of them a number."""
    if any(rank(name, meaning) >= 0 for name in names for meaning in _MEANINGS):
        return True
    return not any(name.replace(".", "", 1).replace("-", "").isdigit() for name in names)


def _guess_encoding(folder: Path, form: FileForm) -> str:
    """Return cp1251 where most letters are beyond ASCII, as in Cyrillic, else latin-1."""
    path = Folder(str(folder), {"": form}).files("")[0]
    with open_bytes(path) as stream:
        head = stream.read(1 << 18)
    beyond = sum(byte >= 0xC0 for byte in head)
    letters = sum(chr(byte).isalpha() for byte in head if byte < 0x80)
    return "cp1251" if beyond > letters else "latin-1"
