"""Times: parsed out of columns of any type into epoch seconds."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Ints
from batch.data.mapping import TimeUnit
from batch.data.validation.values import Parsed, find_missing, numbers, plain, to_numpy, whole_numbers

UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LATEST_S = 253_402_300_800  # year 10000: a number beyond it was given in another unit
_NUMBER = r"^[+-]?\d+(\.\d*)?$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?)? ?(Z|[+-]\d\d(:?\d\d)?)?$"


def parse_times(column: pa.Array, unit: TimeUnit) -> Parsed:
    """Parse times into epoch seconds, rounded down: timestamps, dates, ISO text, numbers in `unit`.

    A time without a zone is UTC. Text of digits is a number. A time before 1970 or after the year 9999
    is unreadable: it is a stand-in for a missing one, or a number in another unit.
    """
    column = plain(column)
    if pt.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    missing, kind = find_missing(column), column.type
    readable: Bools | bool = True
    if pt.is_string(kind):
        value, readable = _parse_text(column, unit)
    elif pt.is_timestamp(kind):
        value = to_numpy(pc.fill_null(column.cast(pa.int64()), 0)) // UNITS_PER_S[kind.unit]
    elif pt.is_integer(kind):
        value = to_numpy(pc.fill_null(column, 0)).astype(np.int64) // UNITS_PER_S[unit]
    elif pt.is_floating(kind) or pt.is_decimal(kind):
        seconds = np.floor(to_numpy(pc.fill_null(column.cast(pa.float64()), 0.0)) / UNITS_PER_S[unit])
        parsed = whole_numbers(seconds, missing, largest=LATEST_S)
        value, readable = parsed.value, ~parsed.unreadable
    else:
        value, readable = np.zeros(len(column), np.int64), False
    return Parsed.of(value, missing, readable & (value >= 0) & (value < LATEST_S))


def _parse_text(column: pa.Array, unit: TimeUnit) -> tuple[Ints, Bools | bool]:
    """Return the seconds, and which texts could be read."""
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):  # the whole batch without, or with a zone
        try:
            micros = column.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        return to_numpy(pc.fill_null(micros, 0)) // UNITS_PER_S["us"], True
    text = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    is_number = to_numpy(pc.match_substring_regex(text, _NUMBER))
    is_iso = to_numpy(pc.match_substring_regex(text, _ISO))
    value = np.zeros(len(column), np.int64)
    seconds = np.floor(numbers(text.filter(pa.array(is_number))) / UNITS_PER_S[unit])
    value[is_number] = np.where(seconds < LATEST_S, seconds, LATEST_S).astype(np.int64)
    dates = text.filter(pa.array(is_iso)).to_pandas()
    parsed = pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce"))
    value[is_iso] = np.where(parsed.isna(), -1, parsed.as_unit("us").asi8 // UNITS_PER_S["us"])
    return value, is_number | is_iso
