"""Times: parsed out of columns of any type into epoch seconds: the one place where they are."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Ints
from batch.data.mapping import DAY_S, TimeForm, TimeUnit
from batch.data.validation.values import Parsed, find_missing, is_numeric, plain, to_numpy, whole_numbers

UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)  # coarsest first
UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
EARLIEST_S = 31 * DAY_S  # a number in January 1970 stands for no time, or for today's in another unit
LATEST_S = 253_402_300_800  # year 10000: a number beyond it was given in another unit
_NUMBER = r"^\+?\d{1,19}(\.\d*)?$"
_CLOCK = r"\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?"
_OFFSET = r" ?(Z|[+-]\d\d(:?\d\d)?)$"
_DATE = rf"^(\d{{4}}-\d\d-\d\d([T ]{_CLOCK})?|\d{{8}}[T ]{_CLOCK})"
_MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?$"
_HEAD = 8  # rows that tell most columns' type
_TIMESTAMPS = (pa.timestamp("us"), pa.timestamp("us", "UTC"))
_FIXED_WIDTH = re.compile(r"(%[YymdjHIMSp]|[^%])+")
_TOUCHING = re.compile(r"%[A-Za-z]%")


@dataclass(frozen=True, slots=True)
class Times(Parsed):
    """Epoch seconds out of a column, 0 where missing or unreadable.

    Attributes:
        number: int64 (rows,). What stood there where that is a number that counts units since 1970, else -1.
    """

    number: Ints


def parse_times(column: pa.Array, form: TimeForm) -> Times:
    """Parse times into epoch seconds, rounded down: timestamps, dates, numbers, text.

    Text of digits is a number, other text ISO 8601; where `form` has a format, text and numbers are of that
    format alone. A number without a unit has the coarsest one in which it lies before the year 10000.
    A time without an offset lies in the form's zone. A time before 1970, or a number before February 1970,
    or one after the year 9999 is unreadable: it is a stand-in for a missing one, or in another unit.
    """
    column = plain(column)
    kind, missing = column.type, find_missing(column)
    number = np.full(len(column), -1, np.int64)
    if pt.is_date(kind):
        value = _seconds(column.cast(pa.timestamp("s")), form)
    elif pt.is_timestamp(kind):
        value = _seconds(column, form)
    elif form.format and (pt.is_string(kind) or is_numeric(kind)):
        value = parse_format(_spell(column), form)
    elif pt.is_string(kind):
        value, number = _parse_text(column, form)
    else:
        number = _whole(column, missing)
        value = count_seconds(number, form.unit)
    readable = (value >= np.where(number < 0, 0, EARLIEST_S)) & (value < LATEST_S)
    parsed = Parsed.of(value, missing, readable)
    return Times(parsed.value, parsed.missing, parsed.unreadable, np.where(missing, -1, number))


def join_clock(date: pa.Array, clock: pa.Array) -> pa.Array:
    """Return text of a date, its midnight left out, and a time of day; missing where one of them is."""
    date, clock = plain(date), plain(clock)
    there = pa.array(~find_missing(date) & ~find_missing(clock))
    day = pc.replace_substring_regex(_spell(date), _MIDNIGHT, "")
    joined = pc.binary_join_element_wise(day, _spell(clock), " ")
    return pc.if_else(there, joined, pa.scalar(None, pa.string()))


def parse_format(text: pa.Array, form: TimeForm) -> Ints:
    """Return the seconds, -1 where a text is not of the format.

    Where numbers touch, as in %H%M%S, a text with fewer digits could be several times: it is none.
    """
    zoned = "%z" in form.format.lower()
    parsed = pd.to_datetime(text.to_pandas(), format=form.format, errors="coerce", utc=zoned)
    value = _seconds(pa.Array.from_pandas(parsed), form)
    if _TOUCHING.search(form.format) and _FIXED_WIDTH.fullmatch(form.format):
        width = len(datetime(2021, 12, 29, tzinfo=UTC).strftime(form.format))
        value[to_numpy(pc.fill_null(pc.utf8_length(text), 0)) != width] = -1
    return value


def count_seconds(number: Ints, unit: TimeUnit | None) -> Ints:
    """Return the numbers as seconds, rounded down; without a unit in that of `guess_units`.

    >>> count_seconds(np.array([1633046407, 1633046407999]), None).tolist()
    [1633046407, 1633046407]
    """
    if unit is not None:
        return number // UNITS_PER_S[unit]
    per_s = np.array([UNITS_PER_S[unit] for unit in UNITS], np.int64)
    return np.asarray(number // per_s[guess_units(number)], np.int64)


def guess_units(number: Ints) -> Ints:
    """Return int64 (rows,): the place in UNITS of the coarsest in which a number lies before year 10000."""
    limits = [LATEST_S * UNITS_PER_S[unit] for unit in UNITS[:-1]]
    return np.searchsorted(limits, number, side="right").astype(np.int64)


def _seconds(times: Any, form: TimeForm) -> Ints:
    """Return timestamps as seconds, -1 where NULL; where they have no zone, by the form's.

    A local time that came twice, as clocks went back, is the first of the two; one that never came, as they
    went forward, is the moment at which they did.
    """
    if times.type.tz is None and form.zone:
        times = pc.assume_timezone(times, form.zone, ambiguous="earliest", nonexistent="latest")
    per_s = UNITS_PER_S[times.type.unit]
    return np.asarray(to_numpy(pc.fill_null(times.cast(pa.int64()), -1)) // per_s, np.int64)


def _whole(column: pa.Array, missing: Bools) -> Ints:
    """Return numbers rounded down, -1 where there is none."""
    if pt.is_integer(column.type):
        return to_numpy(pc.fill_null(column, -1 if pt.is_signed_integer(column.type) else 0)).astype(np.int64)
    if not pt.is_floating(column.type) and not pt.is_decimal(column.type):
        return np.full(len(column), -1, np.int64)
    floor = np.floor(to_numpy(pc.fill_null(column.cast(pa.float64()), -1.0)))
    parsed = whole_numbers(floor, missing, largest=2.0**62)
    return np.where(parsed.unreadable | missing, -1, parsed.value)


def _spell(column: pa.Array) -> pa.Array:
    """Return a column as trimmed text, whole numbers without a fraction; NULL where it holds lists."""
    if pt.is_nested(column.type):
        return pa.nulls(len(column), pa.string())
    if pt.is_floating(column.type) or pt.is_decimal(column.type):
        floats = to_numpy(pc.fill_null(column.cast(pa.float64()), np.nan))
        whole = whole_numbers(floats, find_missing(column), largest=2.0**53)
        digits = pa.array(whole.value).cast(pa.string())
        return pc.if_else(pa.array(whole.unreadable | whole.missing), column.cast(pa.string()), digits)
    return pc.utf8_trim_whitespace(column.cast(pa.string()))


def _parse_text(column: pa.Array, form: TimeForm) -> tuple[Ints, Ints]:
    """Return the seconds, -1 where unreadable, and the numbers, -1 where there is none."""
    number = np.full(len(column), -1, np.int64)
    digits = _cast_all(column, pa.int64())
    if digits is not None and not _any(pc.match_substring_regex(column, "[xX]")):  # Arrow takes 0x1A
        number = to_numpy(pc.fill_null(digits, -1))
        return count_seconds(number, form.unit), number
    text, whole = column, _cast_all(column, *_TIMESTAMPS)
    if whole is None:
        text = _regular(column)
        whole = _cast_all(text, *_TIMESTAMPS)
    if whole is not None:
        return _seconds(whole, form), number
    text = pc.fill_null(text, "")
    number = _parse_digits(text)
    value = count_seconds(number, form.unit)
    for pattern, utc in ((_DATE + "$", False), (_DATE + _OFFSET, True)):
        found = pc.match_substring_regex(text, pattern)
        dates = text.filter(found).to_pandas()
        parsed = pd.to_datetime(dates, format="ISO8601", utc=utc, errors="coerce")
        value[to_numpy(found)] = _seconds(pa.Array.from_pandas(parsed), form)
    return value, number


def _any(found: pa.Array) -> bool:
    return bool(pc.any(found).as_py())


def _cast_all(text: pa.Array, *kinds: pa.DataType) -> Any:
    """Return the whole column as the first of the types that takes every row; None where none does."""
    for kind in kinds:
        with suppress(pa.ArrowInvalid):
            text.slice(0, _HEAD).cast(kind)  # a cast that fails costs as much as ten that do not
            return text.cast(kind)
    return None


def _regular(text: pa.Array) -> pa.Array:
    """Return ISO times in one spelling: trimmed, in capitals, UTC as Z, a point for a comma."""
    text = pc.ascii_upper(pc.utf8_trim_whitespace(text))
    for theirs, ours in ((" UTC", "Z"), ("UTC", "Z"), (" GMT", "Z"), ("GMT", "Z"), (",", ".")):
        text = pc.replace_substring(text, theirs, ours)
    return text


def _parse_digits(text: pa.Array) -> Ints:
    found = pc.match_substring_regex(text, _NUMBER)
    digits = pc.replace_substring_regex(text.filter(found), r"^\+|\.\d*$", "")
    number = np.full(len(text), -1, np.int64)
    number[to_numpy(found)] = np.minimum(to_numpy(digits.cast(pa.uint64())), 2**63 - 1).astype(np.int64)
    return number
