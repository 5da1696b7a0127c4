"""Arrow columns of whatever type, parsed into numpy: pure, a batch at a time.

A value means the same whether it comes typed or as text, and whatever stands beside it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Floats, Ints, Ints8
from batch.data.event_form import TargetForm

YES, NO = ("true", "t", "yes", "y"), ("false", "f", "no", "n")  # of targets, beside 1 and 0

LARGEST = float(np.finfo(np.float32).max)  # features and embeddings are float32
_BETWEEN = " \t\r\n,;|"  # numbers of a list


@dataclass(frozen=True, slots=True)
class Parsed:
    """Whole numbers out of a column.

    Attributes:
        value: int64 (rows,). 0 where missing or unreadable.
        missing: bool (rows,). NULL, NaN or empty text.
        unreadable: bool (rows,). Something else than was asked for.
    """

    value: Ints
    missing: Bools
    unreadable: Bools

    @classmethod
    def of(cls, value: Ints, missing: Bools, readable: Bools | bool) -> "Parsed":
        """Hold the values of the rows that are there and `readable`; True or False says it of all."""
        unreadable = ~missing & ~np.asarray(readable)
        return cls(np.where(missing | unreadable, 0, value), missing, unreadable)


def targets(column: pa.Array, form: TargetForm) -> tuple[Ints8, Bools]:
    """Parse targets.

    Returns:
        int8 (rows,): 0, 1, or -1 for anything else; bool (rows,): missing, which is 0 where the form asks
        for a number or some values, -1 where it asks for a yes or a no.
    """
    column = plain(column)
    missing, value = find_missing(column), numbers(column)
    if form.among:
        yes = _is_among(normal_names(column), form.among)
        no = ~yes
    elif form.at_least is not None:
        yes, no = value >= form.at_least, (value < form.at_least) | missing
    else:
        yes, no = value == 1, value == 0
        if pt.is_string(column.type) and not (yes | no | missing).all():
            words = normal_names(column)
            yes, no = yes | _is_among(words, YES), no | _is_among(words, NO)
    return np.select([yes, no], [1, 0], -1).astype(np.int8), missing


def normal_names(column: pa.Array) -> pa.Array:
    """Return names as `normal_name` does."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(column)))
    return pc.replace_substring_regex(text, r"^(\d+)\.0*$", r"\1")


def as_text(column: pa.Array) -> pa.Array:
    """Return a column as text; NULL where it holds lists."""
    column = plain(column)
    return pa.nulls(len(column), pa.string()) if pt.is_nested(column.type) else column.cast(pa.string())


def _is_among(names: pa.Array, wanted: tuple[str, ...]) -> Bools:
    return to_numpy(pc.is_in(names, value_set=pa.array(wanted, pa.string())))


def numbers(column: pa.Array) -> Floats:
    """Parse numbers into float64 (rows,); NaN where missing or no number."""
    column = plain(column)
    if pt.is_string(column.type):
        return np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), np.float64)
    if not is_numeric(column.type):
        return np.full(len(column), np.nan)
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan), np.float64)


def number_lists(column: pa.Array) -> pa.Array:
    """Parse a column whose cells are numbers, lists of numbers, or texts of either, `[0.1, 2]` or `0.1 2`.

    Returns:
        list<double> (rows,); NULL where nothing is given.

    Raises:
        ValueError: A cell is none of them.
    """
    column = plain(column)
    if is_list(column.type) and pt.is_string(plain(pc.list_flatten(column)).type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), " ")
    if pt.is_string(column.type):
        text = pc.utf8_trim(pc.replace_substring_regex(column, r"[\[\](){}\"']", " "), _BETWEEN)
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
        column = pc.split_pattern_regex(text, f"[{_BETWEEN}]+")
    try:
        numbers = as_lists(column).cast(pa.list_(pa.float64()), safe=False)
    except pa.ArrowNotImplementedError as exc:
        raise ValueError(f"no numbers are in {column.type}") from exc
    return pc.if_else(pc.equal(pc.list_value_length(numbers), 0), pa.scalar(None, numbers.type), numbers)


def spell(column: pa.Array) -> pa.Array:
    """Return a column as text, whatever it holds; a list's parts are joined by blanks."""
    try:
        return plain(column).cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists, records, maps; bytes that are no text
        return pa.array([_spell(value) for value in column.to_pylist()], pa.string())


def _spell(value: object) -> str | None:
    if isinstance(value, list):
        return " ".join(text for text in map(_spell, value) if text)
    if isinstance(value, bytes):
        return value.hex()
    return None if value is None else str(value)


def spell_lists(column: pa.Array) -> npt.NDArray[np.object_]:
    """Return the texts in each list, each once and trimmed: object (rows,) of tuples, None where missing."""
    column = as_lists(column)
    found: list[dict[str, None]] = [{} for _ in range(len(column))]
    texts = pc.utf8_trim_whitespace(spell(pc.list_flatten(column))).to_pylist()
    for row, text in zip(pc.list_parent_indices(column).to_pylist(), texts, strict=True):
        if text:
            found[row][text] = None
    out = np.full(len(column), None, object)
    for row in np.flatnonzero(to_numpy(pc.is_valid(column))):
        out[row] = tuple(found[row])
    return out


def as_lists(column: pa.Array) -> pa.Array:
    """Return a column of lists as it is, and of any other each value as a list of one."""
    if is_list(column.type):
        return column
    offsets = pa.array(np.arange(len(column) + 1), pa.int32())
    return pa.ListArray.from_arrays(offsets, column, mask=column.is_null())


def split(column: pa.Array, separator: str) -> pa.Array:
    """Return the lists that a column of texts writes with a separator; a column of lists stays."""
    column = plain(column)
    return column if is_list(column.type) else pc.split_pattern(spell(column), separator)


def is_numeric(kind: Any) -> bool:
    """Tell whether an Arrow type holds numbers or truth values."""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_boolean(kind))


def is_list(kind: Any) -> bool:
    """Tell whether an Arrow type holds lists."""
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def plain(column: pa.Array) -> pa.Array:
    """Return the column without dictionaries, large or binary text: text is always `string`."""
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pt.is_null(column.type):
        return column.cast(pa.string())
    kind = column.type
    is_text = pt.is_large_string(kind) or pt.is_binary(kind) or pt.is_large_binary(kind)
    return column.cast(pa.string()) if is_text or pt.is_string_view(kind) else column


def find_missing(column: pa.Array) -> Bools:
    """Return bool (rows,): NULL, NaN or empty text."""
    if pt.is_string(column.type):
        return to_numpy(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), fill_value=True))
    return to_numpy(pc.is_null(column, nan_is_null=True))


def whole_numbers(value: Floats, missing: Bools, *, largest: float) -> Parsed:
    """Take floats without a fraction, no larger than `largest`, as whole numbers."""
    readable = ~missing & (np.abs(value) <= largest) & (np.floor(value) == value)
    return Parsed.of(np.where(readable, value, 0).astype(np.int64), missing, readable)


def to_numpy(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column without NULL as an array of its own type."""
    return np.asarray(column.to_numpy(zero_copy_only=False))
