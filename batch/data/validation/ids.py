"""Ids: parsed out of columns, numbered in the order in which they come, and looked up.

Small numbers in place of ids are what lets an event take 13 bytes until its final place is known.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Ints, Ints32
from batch.data.validation.values import Parsed, find_missing, plain, to_numpy, whole_numbers

_WHOLE = r"^[+-]?\d{1,19}(\.0*)?$"
_LARGEST = 2**63 - 1


class Codes:
    """Gives each id a number, 0 upwards, in the order in which ids first come.

    >>> codes = Codes()
    >>> codes.of(np.array([70, 50, 70])).tolist(), codes.ids.tolist()
    ([0, 1, 0], [70, 50])
    """

    def __init__(self, ids: Ints | None = None) -> None:
        """Begin with these ids, distinct, and learn no others; or, with None, with no id, and learn all."""
        self.learns = ids is None
        self._ids = pa.array(np.empty(0, np.int64) if ids is None else ids, pa.int64())

    @property
    def ids(self) -> Ints:
        """Return int64 (codes,): the id of each code."""
        return np.asarray(self._ids, np.int64)

    def of(self, ids: Ints) -> Ints32:
        """Return int32 (rows,): each id's code; -1 for an id that has none and is not learnt."""
        asked = pa.array(ids, pa.int64())
        found = pc.index_in(asked, value_set=self._ids)
        if self.learns and found.null_count:
            new = pc.unique(asked.filter(pc.is_null(found)))
            self._ids = pa.concat_arrays([self._ids, new])
            found = pc.index_in(asked, value_set=self._ids)
        return np.asarray(pc.fill_null(found, -1), np.int32)


def parse_ids(column: pa.Array) -> Parsed:
    """Parse ids: integers, floats without a fraction, text of digits."""
    column = plain(column)
    missing, kind = find_missing(column), column.type
    if pt.is_floating(kind):
        return whole_numbers(to_numpy(pc.fill_null(column.cast(pa.float64()), 0.0)), missing, largest=2.0**53)
    if pt.is_integer(kind):
        value = to_numpy(pc.fill_null(column, 0))
        return Parsed.of(value.astype(np.int64), missing, value <= _LARGEST)  # uint64 may be larger
    if pt.is_string(kind) or pt.is_decimal(kind):
        return _parse_text(column.cast(pa.string()), missing)
    return Parsed.of(np.zeros(len(column), np.int64), missing, readable=False)


def _parse_text(column: pa.Array, missing: Bools) -> Parsed:
    try:
        return Parsed.of(to_numpy(pc.fill_null(column.cast(pa.int64()), 0)), missing, readable=True)
    except pa.ArrowInvalid:  # at least one is odd: sort them out
        text = pc.utf8_trim_whitespace(column)
    is_whole = pc.fill_null(pc.match_substring_regex(text, _WHOLE), fill_value=False)
    digits = pc.replace_substring_regex(pc.if_else(is_whole, text, "0"), r"^\+|\.0*$", "")
    number = digits.cast(pa.decimal128(19))
    fits = pc.and_(pc.less_equal(number, _LARGEST), pc.greater_equal(number, -_LARGEST - 1))
    value = pc.if_else(fits, number, pa.scalar(0, pa.decimal128(19))).cast(pa.int64())
    return Parsed.of(to_numpy(value), missing, to_numpy(pc.and_(is_whole, fits)))
