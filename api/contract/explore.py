"""Exploration places: one of each ten places of a feed is for a post that few have seen, drawn by weight.

Where such a place is and what is drawn there follow from user, bucket and variant alone, by SHA-1, so that
the API, `feed.lua` and whoever checks a record later find the same. What may live here: how weights are
written and read, and the drawing. No I/O, no clock.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

EVERYBODY = "*"  # the field of who has a list, and of whose segment there are no weights
UNKNOWN = "?"  # the field of who has neither a list nor a segment
MOST_PLACES = 100  # of which one is for exploration

_WRITTEN = re.compile(rb"\s*1\s*/\s*([0-9]{1,3})\s*")
_STEPS = float(1 << 52)  # thirteen hexadecimal digits


class Weights(NamedTuple):
    """Posts, by number, that may be drawn, and each one's weight; all above 0."""

    posts: Sequence[int]
    weights: Sequence[float]


class Drawn(NamedTuple):
    """A post that was drawn for a place of the page, from 1 on, and the chance that it had there."""

    place: int
    post: int
    propensity: float


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a generation says of exploration places.

    Attributes:
        n_places: Of so many places one is for exploration.
        weights: A segment's name, EVERYBODY or UNKNOWN to the posts to draw from.
    """

    n_places: int
    weights: Mapping[str, Weights]

    def find(self, segment: str | None, *, is_listed: bool) -> Weights:
        """Return what to draw from for a user of a segment; `is_listed`: they have a list of their own.

        >>> some, other = Weights([7], [1.0]), Weights([8], [1.0])
        >>> found = Exploration(10, {EVERYBODY: some, UNKNOWN: other})
        >>> [found.find(None, is_listed=is_listed).posts for is_listed in (True, False)]
        [[7], [8]]
        """
        name = UNKNOWN if segment is None and not is_listed else segment
        weights = self.weights.get(name or EVERYBODY)
        return weights or self.weights.get(EVERYBODY, _NOTHING)


_NOTHING = Weights((), ())


def draw(weights: Weights, n_places: int, salt: str, last: int, taken: Iterable[int] = ()) -> Iterator[Drawn]:
    """Draw a post for each exploration place up to the `last` one, by weight, none twice.

    Args:
        weights: What to draw from.
        n_places: Of so many places one is for exploration, whichever its hash says.
        salt: What tells this answer from others: the same salt draws the same.
        last: The page's last place.
        taken: Places that something else stands at: nothing is drawn for them.

    Yields:
        What was drawn, by place. Its propensity is the post's share of the weights that were left.

    >>> [drawn.place for drawn in draw(Weights([7, 8], [1.0, 3.0]), 2, "a", 8)]
    [2, 4]
    """
    posts, left = [*weights.posts], [*weights.weights]
    for block in range(-(-last // n_places)):
        digits = hashlib.sha1(f"{block} {salt}".encode(), usedforsecurity=False).hexdigest()
        place = block * n_places + int(digits[:8], 16) % n_places + 1
        if place > last or place in taken or not posts:
            continue
        sums = list(accumulate(left))
        lot = int(digits[8:21], 16) / _STEPS * sums[-1]
        at = min(bisect_right(sums, lot), len(posts) - 1)
        yield Drawn(place, posts.pop(at), left.pop(at) / sums[-1])


def spell_salt(variant: str, bucket_s: int, user: str) -> str:
    """Write what tells the answers of a user and a bucket from others; the user as they stand in keys."""
    return f"{variant} {bucket_s} {user}"


def read_places(text: str) -> int:
    """Return of how many places one is for exploration; 0 for none.

    Raises:
        ValueError: It is no such share.

    >>> read_places("1/10"), read_places("")
    (10, 0)
    """
    if not text.strip():
        return 0
    found = _WRITTEN.fullmatch(text.encode())
    if found is None or not 2 <= int(found[1]) <= MOST_PLACES:
        raise ValueError(
            f"{text!r} is no share of places: write such as 1/10, one of ten places, up to 1/{MOST_PLACES}; "
            "empty: none"
        )
    return int(found[1])


def encode_weights(posts: Iterable[int], weights: Iterable[float]) -> bytes:
    """Write posts with their weights, six digits each.

    >>> encode_weights([17, 2331], [0.75, 0.0001234567])
    b'17:0.75 2331:0.000123457'
    """
    return " ".join(f"{post}:{weight:.6g}" for post, weight in zip(posts, weights, strict=True)).encode()


def decode_weights(raw: bytes) -> Weights:
    """Read what `encode_weights` wrote.

    Raises:
        ValueError: The value is no such text, or a weight is none.

    >>> decode_weights(b"17:0.75 2331:0.25")
    Weights(posts=(17, 2331), weights=(0.75, 0.25))
    """
    pairs = [pair.split(b":") for pair in raw.split()]
    try:
        posts = tuple([int(post) for post, _ in pairs])
        weights = tuple([float(weight) for _, weight in pairs])
    except ValueError as exc:
        raise ValueError(f"{raw[:40]!r} is no posts with weights, such as 17:0.25 18:0.75") from exc
    if not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(f"{raw[:40]!r} has a weight that is not above 0")
    return Weights(posts, weights)
