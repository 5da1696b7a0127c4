"""A user's lists of all buckets as one value, each number in as many bits as the largest one needs.

Little-endian throughout, bits of a list from the lowest of its first byte on:

    bytes    what
    1        bits of a cell, 1 to 32; a cell of ones alone is none, and so are those after it
    2        cells of a list
    2        buckets
    2        lists: buckets next to each other that are equal have one
    2        bytes of the segment
    b        which list each bucket has, from 0 on; two bytes each where there are more than 256 buckets
    …        the segment, UTF-8
    …        the lists, ⌈cells × bits / 8⌉ bytes each

So it can be read without anything else, and is copied as it is into a generation whose posts need more bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import overload

HEAD = Struct("<BHHHH")
HEAD_BYTES = HEAD.size
WIDEST = 32  # bits of a cell
FEWEST = 64  # cells that are read at once: lengths share what they are read by
ONE_BY_ONE = 16  # places of a list that are read one by one; all at once takes as long
NARROW = 256  # buckets whose lists are numbered by a byte


def bits_for(largest: int) -> int:
    """Return the bits of a cell that holds numbers from 0 up to `largest`, and none of them by ones alone.

    >>> bits_for(7_320), bits_for(8_191), bits_for(0), bits_for(2**31 - 1)
    (13, 14, 1, 32)
    """
    return (largest + 1).bit_length()


def pack(lists: Sequence[Sequence[int]], depth: int, bits: int, segment: str | None = None) -> bytes:
    """Write a user's lists, a bucket each, none longer than `depth`, of numbers that fit into cells.

    >>> pack([[1, 2], [1, 2], [0]], depth=2, bits=3, segment="m").hex()
    '0302000300020001000000016d1138'
    """
    nothing, size = (1 << bits) - 1, -(-depth * bits // 8)
    places, cells = list[int](), list[bytes]()
    for bucket, ranked in enumerate(lists):
        if not bucket or ranked != lists[bucket - 1]:
            filled = [*ranked, *[nothing] * (depth - len(ranked))]
            one = sum(post << place * bits for place, post in enumerate(filled))
            cells.append(one.to_bytes(size, "little"))
        places.append(len(cells) - 1)
    name = (segment or "").encode()
    head = HEAD.pack(bits, depth, len(lists), len(cells), len(name))
    return b"".join([head, _places(len(lists)).pack(*places), name, *cells])


class PackedList(Sequence[int]):
    """A list as it was packed; posts are taken out of their cells when they are asked for."""

    __slots__ = ("_cells", "_shape")

    def __init__(self, cells: bytes, shape: "_Shape") -> None:
        """Take a list's bytes, and how they are read."""
        self._cells, self._shape = cells, shape

    def read_first(self, n: int) -> Sequence[int]:
        """Return its first `n` posts, from 1 on, or some more; all where it has fewer.

        One by one: most answers need ten or fewer, which takes half of the time that all fifty take. By a
        comprehension, or with `list[int]()`, it takes a third more.
        """
        shape = self._shape
        bits, nothing = shape.bits, shape.nothing
        if n > ONE_BY_ONE or n > shape.n:
            return self.read()
        cells = int.from_bytes(self._cells[: n * bits + 7 >> 3], "little")
        ranked: list[int] = []
        for place in range(0, n * bits, bits):
            ranked.append(cells >> place & nothing)  # noqa: PERF401 - see above
        return ranked[: ranked.index(nothing)] if ranked[-1] == nothing else ranked

    def __bool__(self) -> bool:
        """Say whether there is a post."""
        return bool(self.read_first(1))

    def __len__(self) -> int:
        """Count the posts."""
        return len(self.read())

    def __iter__(self) -> Iterator[int]:
        """Go through the posts, best first."""
        return iter(self.read())

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[int, ...]: ...
    def __getitem__(self, place: int | slice) -> int | tuple[int, ...]:
        """Return a post, or some."""
        return self.read()[place]

    def __repr__(self) -> str:
        """Show the posts."""
        return f"PackedList{self.read()}"

    def read(self) -> tuple[int, ...]:
        """Return all posts, which takes a µs each time."""
        return self._shape.read(self._cells)


def unpack(value: bytes, bucket: int) -> Sequence[int]:
    """Return the list of a bucket, counted from 0; none where there is no such bucket.

    Raises:
        ValueError: The value is none of `pack`.

    >>> list(unpack(pack([[17, 2331, 45], []], depth=50, bits=13), 0))
    [17, 2331, 45]
    """
    n_buckets, _, start, size, n_bytes, shape = _read_head(value[:HEAD_BYTES])
    if len(value) != n_bytes:
        raise _NotPacked(value)
    if not 0 <= bucket < n_buckets:
        return ()
    if n_buckets <= NARROW:
        start += value[HEAD_BYTES + bucket] * size
    else:
        start += _places(n_buckets).unpack_from(value, HEAD_BYTES)[bucket] * size
    cells = value[start : start + size]
    if len(cells) != size or cells[-1] > shape.most_last:
        raise _NotPacked(value)
    return PackedList(cells, shape)


def unpack_all(value: bytes) -> list[tuple[int, ...]]:
    """Return the lists of all buckets; those that are stored once are one object.

    Raises:
        ValueError: The value is none of `pack`.
    """
    n_buckets, _, start, size, _, shape = _open(value)
    places = _places(n_buckets).unpack_from(value, HEAD_BYTES)
    firsts = {place: start + place * size for place in places}
    lists = {place: shape.read(value[first : first + size]) for place, first in firsts.items()}
    return [lists[place] for place in places]


def read_segment(value: bytes) -> str | None:
    """Return the name of the user's segment; None where there is none.

    Raises:
        ValueError: The value is none of `pack`.
    """
    _, named, start, *_ = _open(value)
    return value[named:start].decode() or None


def write_cells(numbers: Sequence[int], bits: int) -> bytes:
    """Write numbers that fit into cells of so many bits, the first from the lowest bit on.

    >>> write_cells([1, 2, 5], bits=3).hex()
    '5101'
    """
    n = len(numbers)
    return _find_cells(bits, n).write_cells(numbers).to_bytes(-(-n * bits // 8), "little") if n else b""


def read_cells(value: bytes, bits: int, n: int) -> tuple[int, ...]:
    """Return the numbers of `n` cells that `write_cells` wrote.

    >>> read_cells(write_cells([1, 2, 5], bits=3), bits=3, n=3)
    (1, 2, 5)
    """
    return _find_cells(bits, n).read_cells(value)[:n] if n else ()


class _NotPacked(ValueError):
    def __init__(self, value: bytes) -> None:
        super().__init__(f"{value[:20]!r} of {len(value)} bytes holds no packed lists")


@dataclass(frozen=True, slots=True)
class _Shape:
    """How lists with the same bits and cells are read.

    Attributes:
        n: How many cells.
        bits: Of a cell.
        nothing: What a cell without a post holds.
        most_last: What their last byte may hold at most: it may have bits that are no cell's.
        steps: Masks of what stays and what moves, and by how many bits: they take cells apart by halves.
        cells: Reads cells that lie apart.
    """

    n: int
    bits: int
    nothing: int
    most_last: int
    steps: tuple[tuple[int, int, int], ...]
    cells: Struct

    def read(self, packed: bytes) -> tuple[int, ...]:
        """Return the numbers of one list; no bytes are those of a list that is not there.

        All cells are moved at once: one by one takes twice as long.
        """
        if not packed or packed[-1] > self.most_last:
            raise _NotPacked(packed)
        ranked = self.read_cells(packed)
        return ranked[: ranked.index(self.nothing)] if ranked[-1] == self.nothing else ranked

    def read_cells(self, packed: bytes) -> tuple[int, ...]:
        """Return what all cells hold; those that are not there hold 0."""
        apart = int.from_bytes(packed, "little")
        for stays, moves, by in self.steps:
            apart = apart & stays | (apart & moves) << by
        return self.cells.unpack(apart.to_bytes(self.cells.size, "little"))

    def write_cells(self, numbers: Sequence[int]) -> int:
        """Return the cells with these numbers, the others with 0: the other way round."""
        apart = int.from_bytes(self.cells.pack(*numbers, *[0] * (self.n - len(numbers))), "little")
        for stays, moves, by in reversed(self.steps):
            apart = apart & stays | apart >> by & moves
        return apart


# What values that begin alike have in common; a bare tuple, since that is taken apart soonest: buckets; where
# the segment begins; where the lists do; bytes of a list, and of the whole value; how a list is read.
_Head = tuple[int, int, int, int, int, _Shape]


def _open(value: bytes) -> _Head:
    head = _read_head(value[:HEAD_BYTES])
    if len(value) != head[4]:
        raise _NotPacked(value)
    return head


def _places(n_buckets: int) -> Struct:
    return Struct(f"<{n_buckets}{'B' if n_buckets <= NARROW else 'H'}")


@lru_cache(maxsize=1024)
def _read_head(begin: bytes) -> _Head:
    if len(begin) < HEAD_BYTES:
        raise _NotPacked(begin)
    bits, depth, n_buckets, n_lists, n_segment = HEAD.unpack(begin)
    if not 1 <= bits <= WIDEST or not depth or not n_buckets:
        raise _NotPacked(begin)
    named, size = HEAD_BYTES + _places(n_buckets).size, -(-depth * bits // 8)
    start = named + n_segment
    return n_buckets, named, start, size, start + n_lists * size, _find_shape(bits, depth)


def _find_cells(bits: int, n: int) -> _Shape:
    return _find_shape(bits, max(FEWEST, 1 << (n - 1).bit_length()))


@lru_cache(maxsize=64)
def _find_shape(bits: int, depth: int) -> _Shape:
    width, code = next((width, code) for width, code in ((8, "B"), (16, "H"), (32, "I")) if bits <= width)
    most_last = (1 << (depth * bits - 1) % 8 + 1) - 1
    return _Shape(
        depth,
        bits,
        (1 << bits) - 1,
        most_last,
        tuple(_take_apart(depth, bits, width)),
        Struct(f"<{depth}{code}"),
    )


def _take_apart(n: int, bits: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Yield the steps that move `n` cells of `bits` to places `width` bits apart.

    Before a step blocks of cells that lie close together begin where their first cell ends up; it moves the
    later half of each block to where that half's first cell ends up.
    """
    half = 1 << max(n - 1, 0).bit_length() >> 1
    while half and width > bits:
        dense = (1 << half * bits) - 1
        blocks = [dense << first * width for first in range(0, n, 2 * half)]
        stays = sum(blocks)
        yield stays, stays << half * bits, half * (width - bits)
        half //= 2
