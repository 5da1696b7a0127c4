"""The order of a sorted set's pairs: by score, then by the bytes of the member's text."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Ints
from batch.data.seen import SeenTimes
from batch.store.rdb import LARGEST

TOGETHER = 64  # sets sorted at once: what the publisher sends while the server loads those before


@dataclass(frozen=True, slots=True)
class Order:
    """How pairs are sorted as one whole number each: its set, its time, then the place of its post.

    Attributes:
        first_s: The earliest time of all pairs.
        place: int64 (posts,). Each post's place in the order of the numbers' texts.
        number: int64 (posts,). The numbers in that order: "10" before "9".
        time_bits: Bits that a time takes, counted from `first_s`.
    """

    first_s: int
    place: Ints
    number: Ints
    time_bits: int

    @classmethod
    def of(cls, numbers: Ints, times: SeenTimes) -> "Order | None":
        """Return the order of all pairs; None where their times and posts take more than 63 bits.

        Args:
            numbers: int64 (posts,). What posts are in the store.
            times: The pairs.
        """
        low, high = (int(times.time.min()), int(times.time.max())) if len(times.time) else (0, 0)
        by_text = np.argsort(numbers.astype("S20"))
        place = np.empty(len(numbers), np.int64)
        place[by_text] = np.arange(len(numbers))
        found = cls(low, place, numbers[by_text], (high - low).bit_length())
        bits = (TOGETHER - 1).bit_length() + found.time_bits + found._post_bits
        return found if bits < 64 and low > -LARGEST and high < LARGEST else None

    @property
    def _post_bits(self) -> int:
        return len(self.number).bit_length()

    def sort(self, pairs: SeenTimes) -> tuple[Ints, Ints]:
        """Return times and numbers of the pairs of at most `TOGETHER` users, each user's in order.

        >>> pairs = SeenTimes(np.array([0, 3]), np.array([0, 1, 2], np.int32), np.array([5, 5, 4]))
        >>> order = Order.of(np.array([9, 10, 11]), pairs)
        >>> order.sort(pairs)
        (array([4, 5, 5]), array([11, 10,  9]))
        """
        bits = self._post_bits
        since_s = pairs.time.astype(np.int64) - self.first_s
        word = pairs.user << (self.time_bits + bits) | since_s << bits
        word = np.sort(word | self.place[pairs.post])
        time = (word >> bits & (1 << self.time_bits) - 1) + self.first_s
        return time, self.number[word & (1 << bits) - 1]
