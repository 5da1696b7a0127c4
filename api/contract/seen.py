"""What a user had seen by a time, as one value: posts' numbers, and the seconds from each to the next.

Little-endian, cells as in `packed.py`; n pairs, the earliest first, of one second by number:

    bytes    what
    1        bits of a number
    1        bits of a step; ones alone: it is a long one, and stands apart
    1        bits of a long step
    4        the first time, epoch seconds
    4        the last time
    4        n
    4        how many steps are long
    …        the numbers, ⌈n × bits / 8⌉ bytes
    …        the steps: the seconds from the one before, 0 of the first one; likewise
    …        the long steps, likewise

Within a visit a step takes seconds, between two it takes days: so most fit into few bits. Numbers stand by
themselves because most who ask want all of them, and no time.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import NamedTuple

from api.contract.packed import WIDEST, read_cells, write_cells

HEAD = Struct("<BBBIIII")
N_AT = 11  # bytes before the number of pairs, which takes four
TIMES = range(1 << 32)  # that can be packed, epoch seconds
NUMBERS = range(1 << WIDEST)

Pair = tuple[int, int]  # a post's number, and the second at which it was first seen


def pack_seen(pairs: Iterable[Pair]) -> bytes:
    """Write pairs, each post once, in any order; none gives no bytes.

    Raises:
        ValueError: A number or a time is outside what can be packed.

    >>> pack_seen([(17, 1000), (45, 1007), (2331, 90_000)]).hex()
    '0c0411e8030000905f0100030000000100000011d0021b09700fa15b01'
    """
    ordered = sorted((first_s, number) for number, first_s in pairs)
    if not ordered:
        return b""
    numbers, times = [number for _, number in ordered], [first_s for first_s, _ in ordered]
    most = max(numbers)
    if min(numbers) < 0 or most not in NUMBERS or times[0] not in TIMES or times[-1] not in TIMES:
        raise ValueError(f"posts {min(numbers)} to {most}, seen {times[0]} to {times[-1]}, cannot be packed")
    steps = [0, *(after - before for before, after in pairwise(times))]
    short, long = _choose_bits(steps)
    limit = (1 << short) - 1
    apart = [step for step in steps if step >= limit]
    bits, n = max(most.bit_length(), 1), len(ordered)
    return b"".join(
        (
            HEAD.pack(bits, short, long, times[0], times[-1], n, len(apart)),
            write_cells(numbers, bits),
            write_cells([step if step < limit else limit for step in steps], short),
            write_cells(apart, long),
        )
    )


def unpack_seen(value: bytes) -> list[Pair]:
    """Return the pairs, the earliest first, of one second by number; no bytes hold none.

    Raises:
        ValueError: The value is none of `pack_seen`.

    >>> unpack_seen(pack_seen([(45, 1007), (2331, 90_000), (17, 1000)]))
    [(17, 1000), (45, 1007), (2331, 90000)]
    """
    parts = _open(value)
    return [] if parts is None else list(zip(parts.read_numbers(), parts.read_times(), strict=True))


def read_seen_by(value: bytes, at_s: int) -> Sequence[int]:
    """Return the numbers of the posts that were seen by a time, the earliest first.

    Raises:
        ValueError: The value is none of `pack_seen`.

    >>> [read_seen_by(pack_seen([(45, 1007), (17, 1000)]), at_s) for at_s in (999, 1000, 1007)]
    [(), (17,), (17, 45)]
    """
    parts = _open(value)
    if parts is None or at_s < parts.first_s:
        return ()
    numbers = parts.read_numbers()
    return numbers if at_s >= parts.last_s else numbers[: bisect_right(parts.read_times(), at_s)]


class _NotSeen(ValueError):
    def __init__(self, value: bytes) -> None:
        super().__init__(f"{value[:20]!r} of {len(value)} bytes is not what a user saw")


class _Parts(NamedTuple):
    value: bytes
    bits: int
    short: int
    long: int
    first_s: int
    last_s: int
    n: int
    n_long: int

    @property
    def ends(self) -> tuple[int, int, int]:
        """Return where numbers, steps and long steps end."""
        numbers = HEAD.size + -(-self.n * self.bits // 8)
        steps = numbers + -(-self.n * self.short // 8)
        return numbers, steps, steps + -(-self.n_long * self.long // 8)

    def read_numbers(self) -> tuple[int, ...]:
        return read_cells(self.value[HEAD.size : self.ends[0]], self.bits, self.n)

    def read_times(self) -> list[int]:
        numbers, steps, end = self.ends
        apart = iter(read_cells(self.value[steps:end], self.long, self.n_long))
        limit = (1 << self.short) - 1
        cells = read_cells(self.value[numbers:steps], self.short, self.n)
        if cells.count(limit) != self.n_long:
            raise _NotSeen(self.value)
        own = [next(apart) if cell == limit else cell for cell in cells]
        own[0] += self.first_s
        return list(accumulate(own))


def _open(value: bytes) -> _Parts | None:
    if not value:
        return None
    if len(value) >= HEAD.size:
        parts = _Parts(value, *HEAD.unpack_from(value))
        widths = (parts.bits, parts.short, parts.long)
        if all(1 <= bits <= WIDEST for bits in widths) and parts.n and parts.ends[2] == len(value):
            return parts
    raise _NotSeen(value)


def _choose_bits(steps: Sequence[int]) -> tuple[int, int]:
    """Return the bits of a short and of a long step with which all steps take fewest."""
    ordered, n = sorted(steps), len(steps)
    long = max(ordered[-1].bit_length(), 1)

    def weigh(short: int) -> int:
        return n * short + (n - bisect_left(ordered, (1 << short) - 1)) * long

    return min(range(1, long + 1), key=weigh), long
