"""Ids inside the batch: an int64 code each, and the texts that they stand for at the edges. Pure.

A whole number from 0 to 2**63 - 1 is its own code; any other id's code is 63 bits of BLAKE2b of its canonical
text. So codes depend on nothing but the id: they are alike in every run and every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from api.contract.ids import Kind, as_json, canonical
from batch.arrays import AnyInts, Bools, Ints

LARGEST_CODE = 2**63 - 1
_WHOLE = r"^(0|[1-9][0-9]{0,18})$"
_DIGITS = pa.decimal128(19)


class IdCollision(ValueError):
    """Two ids have one code: of a million ids, once in twenty million times."""

    exit_code = 3

    def __init__(self, one: str, other: str) -> None:
        """Write the sentence."""
        super().__init__(
            f"the ids {one!r} and {other!r} have the same 63 bits of BLAKE2b: rename one of them in the facts"
        )


def encode_ids(texts: Sequence[str] | pa.Array) -> Ints:
    """Return the code of each canonical id, int64 (ids,), 0 or more.

    >>> encode_ids(["17", "017", "9223372036854775808"]).tolist()
    [17, 8477269628603151018, 4981065854678742625]
    """
    texts = as_texts(texts)
    own = have_own_code(texts)
    codes = np.asarray(pc.if_else(pa.array(own), texts, "0").cast(_DIGITS).cast(pa.int64()), np.int64).copy()
    codes[~own] = [_hash(text) for text in texts.filter(pa.array(~own)).to_pylist()]
    return codes


def have_own_code(texts: pa.Array) -> Bools:
    """Return bool (ids,): the canonical ids that are their own codes."""
    is_whole = pc.match_substring_regex(texts, _WHOLE)
    number = pc.if_else(is_whole, texts, "0").cast(_DIGITS)
    return np.asarray(pc.and_(is_whole, pc.less_equal(number, LARGEST_CODE)), np.bool_)


def as_texts(texts: Sequence[str] | pa.Array) -> pa.Array:
    """Return texts as one Arrow array of strings."""
    return texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class IdNames:
    """What the codes of a table's ids stand for. A code without a name stands for itself.

    Attributes:
        kind: Of the table's ids: JSON numbers, or strings.
        codes: int64 (names,), ascending and distinct.
        texts: Arrow strings (names,). The id of each code as the table spells it.
    """

    kind: Kind = "numbers"
    codes: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    texts: Any = field(default_factory=lambda: as_texts([]))

    @classmethod
    def of(cls, kind: Kind, spelled: Sequence[str] | pa.Array, codes: Ints | None = None) -> "IdNames":
        """Name ids as they are spelled, numbers as JSON has them; of several spellings the first counts.

        Args:
            kind: Of the table's ids.
            spelled: The ids.
            codes: int64 (ids,). Their codes, where they are there already.

        Raises:
            IdCollision: Two ids have one code.
        """
        spelled = as_texts(spelled)
        if kind == "numbers" or codes is None:
            compared = _canonical(spelled, kind)
            spelled = compared if kind == "numbers" else spelled
            codes = encode_ids(compared)
        distinct, first, place = np.unique(codes, return_index=True, return_inverse=True)
        again = np.flatnonzero(first[place] != np.arange(len(codes)))
        _refuse_collision(spelled.take(pa.array(again)), spelled.take(pa.array(first[place[again]])), kind)
        return cls(kind, distinct, spelled.take(pa.array(first)))._without_own()

    def spelled(self, codes: AnyInts) -> list[str]:
        """Return the ids of codes, (codes,), as their table spells them."""
        place, named = self._find(codes)
        texts: list[str] = np.asarray(codes, np.int64).astype(str).tolist()
        for row, text in zip(
            np.flatnonzero(named).tolist(), self.texts.take(pa.array(place[named])).to_pylist(), strict=True
        ):
            texts[row] = text
        return texts

    def canonical(self, codes: AnyInts) -> list[str]:
        """Return the ids of codes, (codes,), in the form in which ids are compared."""
        texts = self.spelled(codes)
        if self.kind == "numbers" and len(self.codes) == 0:
            return texts
        return [canonical(text, self.kind) for text in texts]

    def as_json(self, codes: AnyInts) -> list[int | str]:
        """Return the ids of codes, (codes,), as JSON has them: numbers or strings."""
        if self.kind == "numbers" and len(self.codes) == 0:
            return list(np.asarray(codes, np.int64).tolist())
        return [as_json(text, self.kind) for text in self.spelled(codes)]

    def column(self, codes: AnyInts) -> pa.Array:
        """Return the ids of codes, (codes,), as a column of their table: int64 or strings."""
        return pa.array(self.as_json(codes), pa.int64() if self.kind == "numbers" else pa.string())

    def code_of(self, text: str) -> int:
        """Return the code of an id in whatever spelling; -1 where nothing here can be that id.

        >>> IdNames.of("text", ["007", "7"]).code_of("7"), IdNames().code_of("+007"), IdNames().code_of("x")
        (7, 7, -1)
        """
        wanted = canonical(text, self.kind)
        code = int(encode_ids([wanted])[0])
        return code if self.canonical(np.array([code])) == [wanted] else -1

    def where(self, codes: AnyInts) -> "IdNames":
        """Return the names of these codes alone; they may come in any order and more than once."""
        place, named = self._find(np.unique(codes))
        return IdNames(self.kind, self.codes[place[named]], self.texts.take(pa.array(place[named])))

    def union(self, other: "IdNames") -> "IdNames":
        """Return the names of both, of our kind; of an id that both have in our spelling.

        Raises:
            IdCollision: An id of the other has the code of another one here.
        """
        place, named = self._find(other.codes)
        ours = self.texts.take(pa.array(place[named]))
        _refuse_collision(other.texts.filter(pa.array(named)), ours, self.kind)
        codes = np.concatenate([self.codes, other.codes[~named]])
        texts = pa.concat_arrays([self.texts, other.texts.filter(pa.array(~named))])
        order = np.argsort(codes)
        return IdNames(self.kind, codes[order], texts.take(pa.array(order)))

    def _find(self, codes: AnyInts) -> tuple[Ints, Bools]:
        """Return each code's place among the names, and whether it is there."""
        if len(self.codes) == 0:
            return np.zeros(len(codes), np.int64), np.zeros(len(codes), np.bool_)
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return place, np.asarray(self.codes[place] == codes)

    def _without_own(self) -> "IdNames":
        """Return the names that say more than their codes do."""
        needed = np.asarray(pc.not_equal(self.texts, as_texts(self.codes.astype(str).tolist())), np.bool_)
        return IdNames(self.kind, self.codes[needed], self.texts.filter(pa.array(needed)))


def _canonical(spelled: pa.Array, kind: Kind) -> pa.Array:
    return as_texts([canonical(text, kind) for text in spelled.to_pylist()])


def _refuse_collision(some: pa.Array, others: pa.Array, kind: Kind) -> None:
    """Refuse ids of one code that are not one id."""
    for one, other in zip(some.to_pylist(), others.to_pylist(), strict=True):
        if canonical(one, kind) != canonical(other, kind):
            raise IdCollision(other, one)
