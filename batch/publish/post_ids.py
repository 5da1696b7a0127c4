"""What the numbers of a generation's posts stand for: from the store to people, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from api.contract.codec import decode
from api.contract.ids import FEATURE, Kind, as_json, canonical
from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.data.ids import encode_ids
from batch.publish.ledger.ledger import Ledger
from batch.store import read

CHUNK = 1000  # numbers a round trip


@dataclass(frozen=True, slots=True)
class PostIds:
    """The ids of one generation's posts.

    Attributes:
        kind: What they are in JSON.
        spelled: Number to id as the table spells it; a number that is not there is the id.
    """

    kind: Kind = "numbers"
    spelled: Mapping[int, str] = field(default_factory=dict)

    def id_of(self, number: int) -> str:
        """Return the id behind a number, in canonical form."""
        return canonical(self.spelled.get(number, str(number)), self.kind)

    def as_json(self, number: int) -> int | str:
        """Return the id behind a number as JSON has it."""
        return as_json(self.spelled.get(number, str(number)), self.kind)

    def codes(self, numbers: Ints) -> Ints:
        """Return the codes of the ids behind numbers, an array of any shape; -1 stays."""
        if not self.spelled:
            return numbers
        distinct, place = np.unique(numbers, return_inverse=True)
        codes = encode_ids([self.id_of(number) for number in distinct.tolist()])
        return np.where(distinct < 0, -1, codes)[place].reshape(numbers.shape)

    def by_code(self) -> dict[int, int | str]:
        """Return the ids as JSON has them by code; a code that is not there is the id."""
        numbers = np.array(list(self.spelled), np.int64)
        return dict(zip(self.codes(numbers).tolist(), map(self.as_json, numbers.tolist()), strict=True))


def read_post_ids(ledger: Ledger, manifest: Manifest) -> PostIds:
    """Read the ids of a generation's posts; nothing is read where each number is one."""
    if FEATURE not in manifest.needs:
        return PostIds(manifest.post_ids)
    catalogue = decode(read.value(ledger.client, ledger.keys.catalogue(manifest.generation)))
    return PostIds(manifest.post_ids, read_spelled(ledger, catalogue))


def read_spelled(ledger: Ledger, numbers: Sequence[int]) -> dict[int, str]:
    """Return those of the numbers that stand for another id, and that id as it is spelled."""
    found: dict[int, str] = {}
    for low in range(0, len(numbers), CHUNK):
        some = numbers[low : low + CHUNK]
        texts = ledger.client.hmget(ledger.keys.ids(), list(map(str, some)))
        found |= {
            n: read.narrow(text).decode() for n, text in zip(some, texts, strict=True) if text is not None
        }
    return found
