"""Ids out of columns of any type: parsed, their kind decided, numbered in the order in which they come.

While tables are read an id is a *mark*, int64: a whole number that is its own code is its own mark, any other
id's mark is `~code`, below zero, so that no text is taken for a number that happens to be its code.
"""

from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from api.contract.ids import LARGEST_NUMBER, LONGEST, Kind, canonical
from batch.arrays import Bools, Ints, Ints32
from batch.data.ids import IdCollision, IdNames, as_texts, encode_ids, have_own_code
from batch.data.validation.values import Parsed, find_missing, plain, to_numpy

TABLE_LIMIT = 1 << 24  # ids up to which places stand in a table: 64 MB
_UNREADABLE = -(2**63)  # in place of a mark
_NO_ID = "\x00"
_NUMBER = r"^[+-]?[0-9]{1,20}(\.0*)?$"
_LEADING_ZERO = r"^[+-]?0[0-9]"
_CONTROL = r"[\x00-\x1f\x7f-\x{9f}]"
_TENS = 10 ** np.arange(1, 16)  # up to LARGEST_NUMBER


class Places:
    """Gives each id a place, 0 upwards, in the order in which ids first come.

    >>> places = Places()
    >>> places.of(np.array([70, 50, 70])).tolist(), places.marks.tolist()
    ([0, 1, 0], [70, 50])
    """

    def __init__(self, marks: Ints | None = None) -> None:
        """Begin with the ids of these marks, distinct, and learn no others; or, with None, learn all."""
        self.learns = marks is None
        self._marks = pa.array(np.empty(0, np.int64) if marks is None else marks, pa.int64())
        self._place_of = _tabulate(self.marks)

    @property
    def marks(self) -> Ints:
        """Return int64 (places,): the mark of each id."""
        return np.asarray(self._marks, np.int64)

    def of(self, marks: Ints) -> Ints32:
        """Return int32 (rows,): each id's place; -1 for an id that has none and is not learnt."""
        found = self._look_up(marks)
        return self._find(marks) if found is None or (self.learns and found.min(initial=0) < 0) else found

    def _look_up(self, marks: Ints) -> Ints32 | None:
        """Return the places that the table tells; None where a mark lies outside of it."""
        if not len(marks) or marks.min() < 0 or marks.max() >= len(self._place_of):
            return None
        return self._place_of[marks]

    def _find(self, marks: Ints) -> Ints32:
        asked = pa.array(marks, pa.int64())
        found = pc.index_in(asked, value_set=self._marks)
        if self.learns and found.null_count:
            new = pc.unique(asked.filter(pc.is_null(found)))
            self._marks = pa.concat_arrays([self._marks, new])
            self._place_of = _tabulate(self.marks)
            found = pc.index_in(asked, value_set=self._marks)
        return np.asarray(pc.fill_null(found, -1), np.int32)


def _tabulate(marks: Ints) -> Ints32:
    """Return int32: the place of each mark from 0 on, -1 where it has none; empty where some are far apart.

    A look-up costs a hundredth of a hash table's, which Arrow makes anew for every batch.
    """
    if not len(marks) or marks.min() < 0 or marks.max() >= TABLE_LIMIT:
        return np.empty(0, np.int32)
    table = np.full(int(marks.max()) + 1, -1, np.int32)
    table[marks] = np.arange(len(marks), dtype=np.int32)
    return table


class Ids:
    """The ids of users, or of posts, in all tables that name them.

    Until the kind is decided every id is read as a text, letter by letter, but for numbers of columns that
    hold numbers. Ids that are whole numbers from 0 to 2**53 - 1, without a sign or zeros before, read alike
    either way: no text of theirs is kept.
    """

    def __init__(self, kind: Kind | None = None) -> None:
        """Begin with no id; a kind that is given is not decided any more."""
        self.kind: Kind | None = kind
        self._is_given = kind is not None
        self._texts, self._marks = as_texts([]), np.empty(0, np.int64)  # as read, each once, and its mark
        self._undecided = self._marks  # the mark of each text before the kind was decided

    def parse(self, column: pa.Array, heading: str = "") -> Parsed:
        """Return the marks of a column; unreadable is what `Reason` says of `unreadable_id`.

        So is the column's own `heading`, where one is given.
        """
        column = _as_text(column.storage if isinstance(column, pa.ExtensionArray) else column)
        value = _small_numbers(column)
        if value is not None:
            return Parsed.of(value, to_numpy(pc.is_null(column, nan_is_null=True)), readable=True)
        if not _may_hold_ids(column.type):
            return Parsed.of(np.zeros(len(column), np.int64), find_missing(column), readable=False)
        encoded = column.dictionary_encode()
        texts = _spell(encoded.dictionary)
        marks = np.append(self._marks_of(texts), _UNREADABLE)
        empty = np.append(to_numpy(pc.fill_null(pc.equal(texts, ""), fill_value=False)), True)
        row = to_numpy(pc.fill_null(encoded.indices, len(texts)))
        is_heading = np.append(to_numpy(pc.fill_null(pc.equal(texts, heading), fill_value=False)), False)
        return Parsed.of(marks[row], empty[row], (marks[row] != _UNREADABLE) & ~is_heading[row])

    def decide(self, marks: Ints) -> None:
        """Decide the kind by the ids of these marks: numbers, if all of them are.

        A number has no zeros before it and is at most 2**53 - 1, for larger ones are not exact in JSON.
        """
        if self._is_given:
            return
        small = marks[marks >= 0].max(initial=0) <= LARGEST_NUMBER
        asked = pc.is_in(pa.array(self._marks), value_set=pa.array(marks))
        texts = self._texts.filter(asked)
        value = _read_numbers(texts)
        has_zero = np.asarray(pc.match_substring_regex(texts, _LEADING_ZERO), np.bool_)
        is_number = (value != _UNREADABLE) & ~has_zero
        self._undecided = self._marks
        self.kind = "numbers" if small and is_number.all() else "text"
        self._marks = self._read(self._texts)

    def settle(self, marks: Ints) -> Ints:
        """Return marks that were given before the kind was decided as they are now."""
        place = pc.index_in(pa.array(marks, pa.int64()), value_set=pa.array(self._undecided, pa.int64()))
        settled = pa.array(self._marks[: len(self._undecided)]).take(place)
        return np.asarray(pc.coalesce(settled, pa.array(marks, pa.int64())), np.int64)

    def codes(self, marks: Ints) -> Ints:
        """Return the codes of settled marks, int64 (marks,).

        Raises:
            IdCollision: A number is another id's code.
        """
        codes = np.where(marks < 0, ~marks, marks)
        both = np.intersect1d(codes[marks < 0], codes[marks >= 0])
        if len(both):
            raise IdCollision(
                self._texts[int(np.flatnonzero(self._marks == ~both[0])[0])].as_py(), str(both[0])
            )
        return codes

    def names(self, codes: Ints) -> IdNames:
        """Return what these codes stand for, spelled as where they first came.

        Raises:
            IdCollision: Two texts have one code.
        """
        kind = self.kind or "text"
        named = np.flatnonzero((self._marks < 0) & (self._marks != _UNREADABLE))
        texts = self._texts.take(pa.array(named))
        if kind == "numbers":  # those below zero
            texts = as_texts(_read_numbers(texts).astype(str).tolist())
        return IdNames.of(kind, texts, ~self._marks[named]).where(codes)

    def _marks_of(self, texts: pa.Array) -> Ints:
        """Return the mark of each text, and learn the texts that are new."""
        place = pc.index_in(texts, value_set=self._texts)
        new = texts.filter(pc.is_null(place))
        if len(new):
            new = pc.unique(new)
            self._texts = pa.concat_arrays([self._texts, new])
            self._marks = np.concatenate([self._marks, self._read(new)])
            place = pc.index_in(texts, value_set=self._texts)
        return self._marks[np.asarray(place, np.int64)]

    def _read(self, texts: pa.Array) -> Ints:
        """Return the marks of texts, by the kind."""
        if self.kind == "numbers":
            value = _read_numbers(texts)
            below = (value < 0) & (value != _UNREADABLE)
            value[below] = ~encode_ids(value[below].astype(str).tolist())
            return value
        good = _may_be_id(texts)
        compared = as_texts([canonical(text) for text in texts.filter(pa.array(good)).to_pylist()])
        codes = encode_ids(compared)
        marks = np.full(len(texts), _UNREADABLE)
        marks[good] = np.where(have_own_code(compared), codes, ~codes)
        return marks


def _as_text(column: pa.Array) -> pa.Array:
    """Return a plain column; bytes that are no UTF-8 are `_NO_ID`."""
    try:
        return plain(column)
    except pa.ArrowInvalid:
        texts = [None if value is None else value.decode(errors="replace") for value in column.to_pylist()]
        return as_texts([_NO_ID if text and "\ufffd" in text else text for text in texts])


def _small_numbers(column: pa.Array) -> Ints | None:
    """Return int64 (rows,), 0 where missing: ids that are whole numbers from 0 to 2**53 - 1, written as such.

    None where at least one is something else. Almost every column is of this kind, and it costs a cast.
    """
    kind = column.type
    if not (pt.is_string(kind) or pt.is_integer(kind) or pt.is_floating(kind)):
        return None
    if pt.is_floating(kind):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        value = column.cast(pa.int64())  # of text hexadecimal and zeros before a number, too
    except pa.ArrowInvalid:  # among them: something else, a fraction, a larger number
        return None
    ends = pc.min_max(value)
    if value.null_count < len(value) and (ends["min"].as_py() < 0 or ends["max"].as_py() > LARGEST_NUMBER):
        return None
    whole = to_numpy(pc.fill_null(value, 0))
    # No text is shorter than its number, so where all of them together are no longer, none is.
    if pt.is_string(kind) and (pc.sum(pc.binary_length(column)).as_py() or 0) > _n_digits(value, whole):
        return None
    return whole


def _n_digits(value: pa.Array, whole: Ints) -> int:
    """Return how many digits the numbers have together; those that are missing have none and are 0."""
    n_there: int = len(value) - value.null_count
    tens = _TENS[: len(str(whole.max(initial=0))) - 1]
    return n_there + sum(int(np.count_nonzero(whole >= ten)) for ten in tens)


def _may_hold_ids(kind: Any) -> bool:
    is_number = pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
    return bool(is_number or pt.is_string(kind) or _holds_uuids(kind))


def _holds_uuids(kind: Any) -> bool:
    return bool(pt.is_fixed_size_binary(kind) and kind.byte_width == 16)


def _spell(values: pa.Array) -> pa.Array:
    """Return values as texts: numbers without a fraction; `_NO_ID` where they have one or are too large."""
    kind = values.type
    if pt.is_string(kind):
        return pc.utf8_trim_whitespace(values)
    if _holds_uuids(kind):
        return as_texts([str(UUID(bytes=value)) for value in values.to_pylist()])
    if pt.is_floating(kind):  # beyond 2**53 a float is no longer every whole number
        value = np.asarray(values.cast(pa.float64()))
        is_whole = (np.floor(value) == value) & (np.abs(value) <= 2.0**53)
        texts = as_texts(np.where(is_whole, value, 0).astype(np.int64).astype(str).tolist())
        return pc.if_else(pa.array(is_whole), texts, _NO_ID)
    texts = pc.replace_substring_regex(values.cast(pa.string()), r"\.0*$", "")
    return pc.if_else(pc.match_substring(texts, "."), _NO_ID, texts)


def _may_be_id(texts: pa.Array) -> Bools:
    """Return bool (texts,): of 1 to 256 bytes, without control characters."""
    length = pc.binary_length(texts)
    fits = pc.and_(pc.greater(length, 0), pc.less_equal(length, LONGEST))
    return np.asarray(pc.and_not(fits, pc.match_substring_regex(texts, _CONTROL)), np.bool_)


def _read_numbers(texts: pa.Array) -> Ints:
    """Return the whole numbers that texts are, up to 2**53 - 1 either way; `_UNREADABLE` for all others."""
    is_whole = pc.match_substring_regex(texts, _NUMBER)
    digits = pc.replace_substring_regex(pc.if_else(is_whole, texts, "0"), r"^\+|\.0*$", "")
    number = digits.cast(pa.decimal128(20))
    fits = pc.and_(pc.less_equal(pc.abs(number), LARGEST_NUMBER), is_whole)
    value = pc.if_else(fits, number, pa.scalar(0, number.type)).cast(pa.int64())
    return np.where(np.asarray(fits, np.bool_), np.asarray(value, np.int64), _UNREADABLE)
