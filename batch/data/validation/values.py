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


def targets(column: pa.Array) -> tuple[Ints8, Bools]:
    """Parse targets.

    Returns:
        int8 (rows,): 0, 1, or -1 for anything else; bool (rows,): missing.
    """
    value = numbers(column)
    return np.select([value == 0, value == 1], [0, 1], -1).astype(np.int8), find_missing(plain(column))


def numbers(column: pa.Array) -> Floats:
    """Parse numbers into float64 (rows,); NaN where missing or no number."""
    column = plain(column)
    if pt.is_string(column.type):
        return np.asarray(pd.to_numeric(column.to_pandas(), errors="coerce"), np.float64)
    if not is_numeric(column.type):
        return np.full(len(column), np.nan)
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan), np.float64)


def is_numeric(kind: Any) -> bool:
    """Tell whether an Arrow type holds numbers or truth values."""
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_boolean(kind))


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
