"""What the store provably holds of seen posts and likes: marks, which a sealed manifest carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from api.contract.ids import FEATURE
from api.contract.manifest import Manifest
from batch.arrays import AnyInts, Ints, Words
from batch.data.seen import SeenTimes
from batch.publish.generation import GenerationContent


@dataclass(frozen=True, slots=True)
class Marks:
    """What users have seen, or liked, as sums that a change of one user changes without the others.

    Attributes:
        n: int64 (users,). Pairs of each user.
        sums: uint64 (users, 2). Two numbers drawn by user, post and time, summed over their pairs modulo 2⁶⁴.
    """

    n: Ints
    sums: Words

    @property
    def digest(self) -> str:
        """Return all users' pairs in 48 hexadecimal digits: how many they are, and both sums of all."""
        one, two = self.sums.sum(axis=0, dtype=np.uint64).tolist()
        return f"{int(self.n.sum()):016x}{one:016x}{two:016x}"

    @classmethod
    def join(cls, parts: "Sequence[Marks]") -> "Marks":
        """Return the marks of the users of all parts, one after the other."""
        return cls(np.concatenate([part.n for part in parts]), np.concatenate([part.sums for part in parts]))

    def of(self, users: AnyInts) -> "Marks":
        """Return the marks of some users, given by row."""
        return Marks(self.n[users], self.sums[users])


def mark(content: GenerationContent, times: SeenTimes, until_s: int) -> Marks:
    """Mark all pairs whose earliest time is not after `until_s`.

    A sealed manifest carries the marks of its own as_of, and its pairs were in the store before it was.
    So if today's facts give the same mark for that time, the store holds exactly these pairs; a fact that
    arrived late changes the mark. Independent of row numbers: users and posts enter by id. Against chance,
    not against someone who wants two sets of pairs to look alike.
    """
    n, sums = _marks(content.user_ids, content.post_ids, times.start, times.post, times.time, until_s)
    return Marks(n, sums)


def find_held(content: GenerationContent, sealed: Manifest | None) -> dict[str, int | None]:
    """Return for `seen` and `likes` what `held_until` says of all users' pairs."""
    pairs = (("seen", content.views), ("likes", content.likes))
    return {name: held_until(content, times, name, sealed) for name, times in pairs}


def held_until(
    content: GenerationContent, times: SeenTimes, name: str, sealed: Manifest | None
) -> int | None:
    """Return the time up to which the store provably holds all pairs; None: nothing is proven.

    Args:
        content: Gives the ids.
        times: The pairs as the facts have them now.
        name: `seen` or `likes`, the mark's name among the manifest's checksums.
        sealed: The newest generation that was sealed in this store.
    """
    if sealed is None or (content.needs_dictionary and FEATURE not in sealed.needs):
        return None  # it may have written posts under numbers that are not theirs any more
    if sealed.checksums.get(name) != mark(content, times, sealed.as_of_s).digest:
        return None
    return sealed.as_of_s


@numba.njit(cache=True)
def _marks(user_ids: Any, post_ids: Any, start: Any, post: Any, time: Any, until_s: Any) -> Any:
    """Count each user's pairs up to a time, and sum two numbers drawn by each."""
    n = np.zeros(len(user_ids), np.int64)
    sums = np.zeros((len(user_ids), 2), np.uint64)
    for user in range(len(user_ids)):
        own = mix(np.uint64(user_ids[user]))
        for at in range(start[user], start[user + 1]):
            if time[at] <= until_s:
                drawn = mix(mix(own ^ np.uint64(post_ids[post[at]])) ^ np.uint64(time[at]))
                n[user] += 1
                sums[user, 0] += drawn
                sums[user, 1] += mix(drawn)
    return n, sums


@numba.njit(cache=True)
def mix(word: Any) -> Any:
    """Spread 64 bits over 64 bits, one to one.

    Source: the finalizer of SplitMix64, G. Steele, D. Lea, C. Flood, OOPSLA 2014.
    """
    word = np.uint64(word) + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
