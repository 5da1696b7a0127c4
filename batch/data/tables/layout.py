"""How a text file is written: separator, quotes and names, found in its begin where none are said. Pure."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from batch.data.tables.form import FileForm
from batch.data.tables.stream import UNIT

SEPARATORS = (",", ";", "\t", "|", "::")  # looked for in this order; of equals the first
_MOST_ROWS = 1_000  # looked at
_REGULAR = 0.9  # share of rows with as many fields as the first: the separator is one


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file of lines with separated fields is written.

    Attributes:
        names: Of the columns; of equal names the first stays, others are empty.
        again: Names that stood there once more.
        has_header: The first line names the columns.
        separator: Between fields.
        quote: Around fields; empty: none.
        escape: Before a letter that is meant as itself; empty: none.
        encoding: A codec of Python.
        skips_blanks: Blanks follow the separators, before quotes too.
    """

    names: tuple[str, ...]
    again: tuple[str, ...]
    has_header: bool
    separator: str
    quote: str
    escape: str
    encoding: str
    skips_blanks: bool

    @property
    def delimiter(self) -> str:
        """Return the separator as one byte, which `UNIT` stands for where it is several."""
        return UNIT if len(self.separator.encode()) > 1 else self.separator


def find_layout(head: str, encoding: str, form: FileForm, *, cut: bool, tabs: bool) -> Layout:
    """Find how a file is written.

    Without a separator in the form it is the one of SEPARATORS that parts most of the rows alike, into most
    fields. Without a quote it is `"`, with a backslash before those within where rows are alike only so;
    none where fields begin with it, but do not end so.

    Args:
        head: Begin of the file.
        encoding: Of the file.
        form: What a mapping says.
        cut: There is more of the file.
        tabs: Its name says that fields are separated by tabs.

    Raises:
        ValueError: The file is empty, or has not as many columns as the form names.
    """
    separator = form.separator or ("\t" if tabs else _find_separator(head, form, cut=cut))
    quotes = _find_quotes(head, separator, form, cut=cut)
    rows, _ = _split(head, separator, quotes, cut=cut)
    if not rows:
        raise ValueError("it is empty")
    skips_blanks = _has_blanks(head, separator)
    n_fields = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    names = _names(rows, n_fields, form)
    has_header = form.header is None or rows[0] == names
    again = [name for place, name in enumerate(names) if name and name in names[:place]]
    distinct = tuple("" if name in names[:place] else name for place, name in enumerate(names))
    return Layout(distinct, tuple(again), has_header, separator, *quotes, encoding, skips_blanks)


def read_rows(lines: Iterable[str], layout: Layout) -> Iterator[list[str]]:
    """Return the rows of a file, blank lines as empty ones: the way of those that pyarrow cannot read."""
    quotes = layout.quote, layout.escape
    return _reader(lines, layout.delimiter, quotes, layout.skips_blanks, strict=False)


def _find_separator(head: str, form: FileForm, *, cut: bool) -> str:
    first, regular = {}, {}
    for separator in SEPARATORS:
        rows, _ = _split(head, separator, _find_quotes(head, separator, form, cut=cut), cut=cut)
        first[separator] = len(rows[0]) if rows else 0
        regular[separator] = first[separator] if _is_regular(rows) else 0
    n_fields = regular if max(regular.values()) > 1 else first
    return max(SEPARATORS, key=lambda separator: n_fields[separator])


def _find_quotes(head: str, separator: str, form: FileForm, *, cut: bool) -> tuple[str, str]:
    """Return quote and escape."""
    # MovieLens' files, whose separator has two letters, have quotes that are only letters.
    quote = form.quote if form.quote is not None else '"' if len(separator) == 1 else ""
    if form.quote is not None or form.escape is not None or not quote or quote not in head:
        return quote, form.escape or ""
    for escape in ("", "\\"):
        rows, fits = _split(head, separator, (quote, escape), cut=cut)
        if fits and _is_regular(rows):
            return quote, escape
    bare = [field for row in _split(head, separator, ("", ""), cut=cut)[0] for field in row]
    begun = [field for field in bare if field.startswith(quote)]
    whole = any(len(field) > 1 and field.endswith(quote) for field in begun)
    return ("" if begun and not whole else quote), ""


def _is_regular(rows: Sequence[list[str]]) -> bool:
    """Tell whether most rows have as many fields as the first, or one more, as R writes them."""
    n_alike = sum(len(row) in (len(rows[0]), len(rows[0]) + 1) for row in rows)
    return bool(rows) and n_alike >= _REGULAR * len(rows)


def _names(rows: Sequence[list[str]], n_fields: int, form: FileForm) -> list[str]:
    first = [name.strip() for name in rows[0]]
    if form.header is None:
        longer = [row for row in rows[1:] if len(row) == len(first) + 1]
        if n_fields != len(first) + 1:
            return first
        if all(row[-1] == "" for row in longer):  # a separator at the end
            return [*first, ""]
        numbers = [row[0] for row in longer]  # R counts rows from 1, pandas from 0
        counted = any(numbers == [str(n + start) for n in range(len(numbers))] for start in (0, 1))
        return ["", *first] if counted else first
    if not form.header:
        return [f"f{place}" for place in range(n_fields)]
    if len(form.header) != n_fields:
        raise ValueError(f"it has {n_fields} columns, the mapping's header names {len(form.header)}")
    return list(form.header)


def _has_blanks(head: str, separator: str) -> bool:
    """Tell whether blanks follow the separators of the first line."""
    delimiter = separator if len(separator) == 1 else UNIT
    first = re.split(r"[\r\n]", head.lstrip("\r\n"), maxsplit=1)[0].replace(separator, delimiter)
    return any(name.startswith(" ") for row in csv.reader([first], delimiter=delimiter) for name in row[1:])


def _split(head: str, separator: str, quotes: tuple[str, str], *, cut: bool) -> tuple[list[list[str]], bool]:
    """Return the first rows, without one that is cut off, and whether quotes stand where they may."""
    delimiter = separator if len(separator) == 1 else UNIT
    lines = list(io.StringIO(head.replace(separator, delimiter), newline=""))
    lines = lines[:-1] if cut and len(lines) > 1 else lines
    skips_blanks = _has_blanks(head, separator)  # after quotes too, which `strict` would not take
    reader = _reader(lines, delimiter, quotes, skips_blanks, strict=not skips_blanks)
    rows: list[list[str]] = []
    fits = True
    while len(rows) < _MOST_ROWS:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as exc:
            fits &= cut and "end of data" in str(exc)
        else:
            rows += [row] if row else []
    return rows, fits


def _reader(
    lines: Iterable[str], delimiter: str, quotes: tuple[str, str], skips_blanks: bool, *, strict: bool
) -> Iterator[list[str]]:
    quote, escape = quotes
    return csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        escapechar=escape or None,
        skipinitialspace=skips_blanks,
        strict=strict,
    )
