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

from batch.data.mapping import TimeUnit

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LATEST_S = 253_402_300_800  # year 10000: a number beyond it was given in another unit
_WHOLE = r"^[+-]?\d{1,18}(\.0*)?$"
_NUMBER = r"^[+-]?\d+(\.\d*)?$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?)? ?(Z|[+-]\d\d(:?\d\d)?)?$"


@dataclass(frozen=True, slots=True)
class Parsed:
    """Whole numbers out of a column.

    Attributes:
        value: int64 (rows,). 0 where missing or unreadable.
        missing: bool (rows,). NULL, NaN or empty text.
        unreadable: bool (rows,). Something else than was asked for.
    """

    value: npt.NDArray[np.int64]
    missing: Bools
    unreadable: Bools


def ids(column: pa.Array) -> Parsed:
    """Parse ids: integers, floats without a fraction, text of digits."""
    column = plain(column)
    if pt.is_string(column.type):
        return _text_ids(column)
    missing = _missing(column)
    if pt.is_integer(column.type):
        value = _numpy(pc.fill_null(column, 0))
        unreadable = value > np.iinfo(np.int64).max  # uint64 only
        return _parsed(value.astype(np.int64), missing, unreadable)
    if pt.is_floating(column.type):
        return _whole(_numpy(pc.fill_null(column, 0.0)).astype(np.float64), missing, largest=2.0**53)
    return _text_ids(column.cast(pa.string())) if pt.is_decimal(column.type) else _nothing(missing)


def times(column: pa.Array, unit: TimeUnit) -> Parsed:
    """Parse times into epoch seconds, rounded down: timestamps, dates, ISO text, numbers in `unit`.

    A time without a zone is UTC. Text of digits is a number. A time before 1970 or after the year 9999
    is unreadable: it is a stand-in for a missing one, or a number in another unit.
    """
    column = plain(column)
    missing = _missing(column)
    if pt.is_string(column.type):
        value, unreadable = _text_times(column, missing, unit)
    elif pt.is_timestamp(column.type):
        value = _numpy(pc.fill_null(column.cast(pa.int64()), 0)) // UNITS_PER_S[column.type.unit]
        unreadable = np.zeros(len(column), np.bool_)
    elif pt.is_date(column.type):
        return times(column.cast(pa.timestamp("s")), unit)
    elif pt.is_integer(column.type):
        value = _numpy(pc.fill_null(column, 0)).astype(np.int64) // UNITS_PER_S[unit]
        unreadable = np.zeros(len(column), np.bool_)
    elif pt.is_floating(column.type) or pt.is_decimal(column.type):
        seconds = np.floor(_numpy(pc.fill_null(column.cast(pa.float64()), 0.0)) / UNITS_PER_S[unit])
        parsed = _whole(seconds, missing, largest=LATEST_S)
        value, unreadable = parsed.value, parsed.unreadable
    else:
        return _nothing(missing)
    return _parsed(value, missing, unreadable | (value < 0) | (value >= LATEST_S))


def targets(column: pa.Array) -> tuple[npt.NDArray[np.int8], Bools]:
    """Parse targets.

    Returns:
        int8 (rows,): 0, 1, or -1 for anything else; bool (rows,): missing.
    """
    column = plain(column)
    missing = _missing(column)
    value = numbers(column)
    return np.where(value == 1, 1, np.where(value == 0, 0, -1)).astype(np.int8), missing


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


def _missing(column: pa.Array) -> Bools:
    if pt.is_string(column.type):
        return _numpy(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), fill_value=True))
    return _numpy(pc.is_null(column, nan_is_null=True))


def _text_ids(column: pa.Array) -> Parsed:
    missing = _missing(column)
    try:
        value = _numpy(pc.fill_null(column.cast(pa.int64()), 0))
        return _parsed(value, missing, np.zeros(len(column), np.bool_))
    except pa.ArrowInvalid:  # at least one is odd: sort them out
        text = pc.utf8_trim_whitespace(column)
    readable = pc.fill_null(pc.match_substring_regex(text, _WHOLE), fill_value=False)
    digits = pc.replace_substring_regex(pc.if_else(readable, text, "0"), r"^\+|\.0*$", "")
    value = _numpy(digits.cast(pa.int64())).copy()
    unreadable = ~_numpy(readable)
    for row in np.flatnonzero(unreadable & ~missing):  # ids of 19 digits, and nonsense
        number = _int64(text[int(row)].as_py())
        if number is not None:
            value[row], unreadable[row] = number, False
    return _parsed(value, missing, unreadable)


def _int64(text: str) -> int | None:
    digits = text.removeprefix("+").removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) != 19:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _text_times(column: pa.Array, missing: Bools, unit: TimeUnit) -> tuple[npt.NDArray[np.int64], Bools]:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):  # the whole batch without, or with a zone
        try:
            micros = column.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        return _numpy(pc.fill_null(micros, 0)) // UNITS_PER_S["us"], np.zeros(len(column), np.bool_)
    text = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    is_number = _numpy(pc.match_substring_regex(text, _NUMBER))
    is_iso = _numpy(pc.match_substring_regex(text, _ISO))
    value = np.zeros(len(column), np.int64)
    seconds = np.floor(numbers(text.filter(pa.array(is_number))) / UNITS_PER_S[unit])
    value[is_number] = np.where(seconds < LATEST_S, seconds, LATEST_S).astype(np.int64)
    dates = text.filter(pa.array(is_iso)).to_pandas()
    parsed = pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce"))
    value[is_iso] = np.where(parsed.isna(), -1, parsed.as_unit("us").asi8 // UNITS_PER_S["us"])
    return value, ~missing & ~is_number & ~is_iso


def _whole(value: Floats, missing: Bools, *, largest: float) -> Parsed:
    readable = ~missing & (np.abs(value) <= largest) & (np.floor(value) == value)
    return _parsed(np.where(readable, value, 0).astype(np.int64), missing, ~readable)


def _parsed(value: npt.NDArray[np.int64], missing: Bools, unreadable: Bools) -> Parsed:
    unreadable = unreadable & ~missing
    return Parsed(np.where(missing | unreadable, 0, value), missing, unreadable)


def _nothing(missing: Bools) -> Parsed:
    """Return a column in which nothing present can be read: lists, structs, times of day."""
    return Parsed(np.zeros(len(missing), np.int64), missing, ~missing)


def _numpy(column: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))
