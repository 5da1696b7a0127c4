"""An exposure: what an experiment's answer was, in a few bytes, until the batch drains it.

What may live here: how records are written and read, one by one and many in one entry of the stream. No
I/O, no clock. All posts' lowest bytes come first, then their second ones, and so on: three of each below
16,777,216, four else.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

FIELD = "records"  # of an entry of the stream: what `pack` wrote
MOST_RECORDS = 512  # of an entry

_LAYOUT = b"\x01"  # of a record; a reader refuses what it does not know
_REST = struct.Struct("<qqHHHBB")  # two times; bytes of the user's and the request's id; posts; drawn; width
_WIDE = 4  # bytes of a post's number in memory; the last is written only where some need it
_LONGEST = 5  # bytes of a number, so that it is below 2**35


class Exposure(NamedTuple):  # made in a quarter of a dataclass's time, for each answer
    """One answer of an experiment. The key of a record is its entry's id and its place there, from 0 on.

    Attributes:
        experiment: Its name.
        user_id: Who asked, as the client said it; see `ids.py`.
        arm: Its name.
        asked_s: The time asked for, epoch seconds.
        accepted_ms: When it was answered, epoch milliseconds.
        generation: Which one answered.
        bucket_s: The bucket that answered, epoch seconds.
        rung: The lowest rung of the fallback ladder that was needed.
        request_id: As the answer's `X-Request-Id`.
        posts: The numbers of the posts answered, best first.
        propensities: Of each post, the chance that it had of its place given those before: 1 but for what was
            drawn; empty where nothing was.
    """

    experiment: str
    user_id: str
    arm: str
    asked_s: int
    accepted_ms: int
    generation: int
    bucket_s: int
    rung: str
    request_id: str
    posts: Sequence[int]
    propensities: Sequence[float] = ()

    def encode(self) -> bytes:
        """Write as bytes."""
        shared = write_shared(self.experiment, self.arm, self.generation, self.bucket_s, self.rung)
        ids = self.user_id.encode(), self.request_id.encode()
        return write(shared, self.asked_s, self.accepted_ms, *ids, self.posts, self.propensities)

    @classmethod
    def decode(cls, raw: bytes) -> "Exposure":
        """Read what `encode` wrote.

        Raises:
            ValueError: These bytes are no record, or of a later version.
        """
        try:
            return cls._decode(raw)
        except (ValueError, LookupError, struct.error) as exc:
            raise ValueError(f"{raw[:24]!r} of {len(raw)} bytes is no exposure") from exc

    @classmethod
    def _decode(cls, raw: bytes) -> "Exposure":
        rest = _Reader(raw)
        if rest.take(1) != _LAYOUT:
            raise ValueError("another layout")
        experiment, arm, rung = (rest.text() for _ in range(3))
        generation, (bucket_s,) = rest.number(), struct.unpack("<q", rest.take(8))
        asked_s, accepted_ms, n_user, n_request, n_posts, n_drawn, width = _REST.unpack(rest.take(_REST.size))
        user_id, request_id = rest.take(n_user).decode(), rest.take(n_request).decode()
        wide = bytearray(_WIDE * n_posts)
        for place in range({3: 3, 4: 4}[width]):
            wide[place::_WIDE] = rest.take(n_posts)
        posts = struct.unpack(f"<{n_posts}I", wide)
        propensities = struct.unpack(f"<{n_drawn}d", rest.take(8 * n_drawn))
        if not rest.is_over or not all(0 < one <= 1 for one in propensities):
            raise ValueError("more bytes, or no chance")
        return cls(
            experiment=experiment,
            user_id=user_id,
            arm=arm,
            asked_s=asked_s,
            accepted_ms=accepted_ms,
            generation=generation,
            bucket_s=bucket_s,
            rung=rung,
            request_id=request_id,
            posts=posts,
            propensities=propensities,
        )


@lru_cache(maxsize=4096)
def write_shared(experiment: str, arm: str, generation: int, bucket_s: int, rung: str) -> bytes:
    """Write what the answers of an arm in a bucket have in common: how a record begins."""
    texts = [_write_text(text.encode()) for text in (experiment, arm, rung)]
    return b"".join([_LAYOUT, *texts, _write_number(generation), struct.pack("<q", bucket_s)])


def write(
    shared: bytes,
    asked_s: int,
    accepted_ms: int,
    user_id: bytes,
    request_id: bytes,
    posts: Sequence[int],
    propensities: Sequence[float] = (),
) -> bytes:
    """Write a record whose begin is written already: half the time of all of it, and each answer takes that.

    Args:
        shared: What `write_shared` wrote.
        asked_s: As of `Exposure`.
        accepted_ms: Likewise.
        user_id: Likewise, UTF-8.
        request_id: Likewise.
        posts: Likewise.
        propensities: Likewise.
    """
    n_posts, n_drawn = len(posts), len(propensities)
    wide = _packer_of(n_posts)(*posts)
    highest = wide[3::_WIDE].strip(b"\0") and wide[3::_WIDE]
    lengths = len(user_id), len(request_id), n_posts, n_drawn, 4 if highest else 3
    return b"".join(
        (
            shared,
            _REST.pack(asked_s, accepted_ms, *lengths),
            user_id,
            request_id,
            wide[0::_WIDE],
            wide[1::_WIDE],
            wide[2::_WIDE],
            highest,
            struct.pack(f"<{n_drawn}d", *propensities) if n_drawn else b"",
        )
    )


def pack(records: Iterable[bytes]) -> bytes:
    """Write encoded records as the field of one entry: each after its length.

    >>> pack([b"ab", b"c"])
    b'\\x02ab\\x01c'
    """
    return b"".join([part for record in records for part in (_write_number(len(record)), record)])


def unpack(field: bytes) -> list[bytes]:
    """Read what `pack` wrote; `Exposure.decode` reads each.

    Raises:
        ValueError: These bytes are no such field.
    """
    rest, records = _Reader(field), []
    try:
        while not rest.is_over:
            records.append(rest.take(rest.number()))
    except (ValueError, IndexError) as exc:
        raise ValueError(f"{field[:24]!r} of {len(field)} bytes holds no exposures") from exc
    return records


class _Reader:
    """Bytes, read from the first to the last."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def is_over(self) -> bool:
        return self._at == len(self._raw)

    def take(self, n_bytes: int) -> bytes:
        end = self._at + n_bytes
        if end > len(self._raw):
            raise ValueError("too short")
        taken, self._at = self._raw[self._at : end], end
        return taken

    def number(self) -> int:
        number = 0
        for place in range(_LONGEST):
            byte = self._raw[self._at]
            self._at += 1
            number |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return number
        raise ValueError("too long")

    def text(self) -> str:
        return self.take(self.number()).decode()


@lru_cache(maxsize=256)
def _packer_of(n_posts: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{n_posts}I").pack


@lru_cache(maxsize=1024)  # lengths
def _write_number(number: int) -> bytes:
    """Write a number as LEB128: seven bits a byte, the lowest first.

    >>> [_write_number(number).hex() for number in (0, 127, 128, 2_097_151)]
    ['00', '7f', '8001', 'ffff7f']
    """
    if not 0 <= number < 1 << 7 * _LONGEST:
        raise ValueError(f"{number} is no number of a record: 0 to {(1 << 7 * _LONGEST) - 1}")
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def _write_text(raw: bytes) -> bytes:
    return _write_number(len(raw)) + raw
