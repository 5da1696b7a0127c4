"""Ranked lists as text: what stands in a list's field, and what a person reads with `redis-cli`."""

from collections.abc import Iterable


def encode(post_ids: Iterable[int]) -> bytes:
    """Write post ids, best first, as decimal text separated by one space.

    >>> encode([17, 2331, 45])
    b'17 2331 45'
    """
    return " ".join(map(str, post_ids)).encode("ascii")


def decode(value: bytes | None) -> list[int]:
    """Read what `encode` wrote; a missing field is an empty list.

    Raises:
        ValueError: The value is not a list of decimal numbers.

    >>> decode(b"17 2331 45"), decode(None), decode(b"")
    ([17, 2331, 45], [], [])
    """
    return [int(part) for part in value.split()] if value else []
