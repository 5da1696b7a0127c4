"""An exposure: what an experiment's answer was, in a few bytes, until the batch drains it.

What may live here: how exposures are written and read, many in one entry of the stream. No I/O, no clock.

An entry's field has a line of JSON: the layout, how many exposures there are, and what many of them share.
Columns follow: of each exposure a row of numbers; all users' ids; all requests' ids; of all posts' numbers
the lowest bytes, then the second ones, and so on, three of each below 16,777,216, four else; chances.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

FIELD = "records"  # of an entry of the stream: what an `Entry` packed
MOST_RECORDS = 512  # of an entry

_LAYOUT = 2  # of a field; a reader refuses what it does not know
_ROW = struct.Struct("<HqqHHHH")  # what it shares; two times; bytes of the two ids; posts; chances
_WIDE = 4  # bytes of a post's number in memory; the last is written only where some need it

Shared = tuple[str, str, int, int, str]  # experiment, arm, generation, bucket, rung


class Exposure(NamedTuple):
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


class Entry:
    """An entry of the stream as it grows: bytes alone, since objects that wait push others out of the cache.

    Attributes:
        n: How many exposures it has.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.n = 0
        self._place_of: dict[Shared, int] = {}
        self._rows, self._users, self._requests = bytearray(), bytearray(), bytearray()
        self._posts, self._chances = bytearray(), bytearray()

    def add(
        self,
        shared: Shared,
        asked_s: int,
        accepted_ms: int,
        user_id: bytes,
        request_id: bytes,
        posts: Sequence[int],
        propensities: Sequence[float] = (),
    ) -> None:
        """Add an exposure; ids are UTF-8."""
        place = self._place_of.get(shared)
        if place is None:
            place = self._place_of[shared] = len(self._place_of)
        self.n += 1
        n_posts, n_drawn = len(posts), len(propensities)
        self._rows += _ROW.pack(place, asked_s, accepted_ms, len(user_id), len(request_id), n_posts, n_drawn)
        self._users += user_id
        self._requests += request_id
        self._posts += _packer_of(n_posts)(*posts)
        if n_drawn:
            self._chances += struct.pack(f"<{n_drawn}d", *propensities)

    def pack(self) -> bytes:
        """Write all that was added as the field of an entry."""
        wide = bytes(self._posts)
        highest = wide[3::_WIDE]
        told = orjson.dumps((_LAYOUT, self.n, list(self._place_of)))
        planes = (wide[0::_WIDE], wide[1::_WIDE], wide[2::_WIDE], highest.strip(b"\0") and highest)
        return b"".join((told, b"\n", self._rows, self._users, self._requests, *planes, self._chances))


def pack(exposures: Iterable[Exposure]) -> bytes:
    """Write exposures as the field of one entry."""
    entry = Entry()
    for one in exposures:
        shared = (one.experiment, one.arm, one.generation, one.bucket_s, one.rung)
        ids = one.user_id.encode(), one.request_id.encode()
        entry.add(shared, one.asked_s, one.accepted_ms, *ids, one.posts, one.propensities)
    return entry.pack()


def unpack(field: bytes) -> list[Exposure]:
    """Read what was packed.

    Raises:
        ValueError: These bytes are no such field, or of a later version.
    """
    try:
        return _unpack(field)
    except (ValueError, LookupError, TypeError, struct.error) as exc:
        raise ValueError(f"{field[:24]!r} of {len(field)} bytes holds no exposures") from exc


def _unpack(field: bytes) -> list[Exposure]:
    text, _, columns = field.partition(b"\n")
    layout, n, shared = orjson.loads(text)
    if layout != _LAYOUT or any([type(part) for part in one] != [str, str, int, int, str] for one in shared):
        raise ValueError("another layout")
    rest = _Reader(columns)
    rows = list(_ROW.iter_unpack(rest.take(n * _ROW.size)))
    n_posts, n_drawn = sum(row[5] for row in rows), sum(row[6] for row in rows)
    users, requests = (_Reader(rest.take(sum(row[k] for row in rows))) for k in (3, 4))
    posts = _Reader(_join_planes(rest.take(rest.n_left - 8 * n_drawn), n_posts))
    exposures = []
    for place, asked_s, accepted_ms, n_user, n_request, n_posts, n_drawn in rows:
        experiment, arm, generation, bucket_s, rung = shared[place]
        exposures.append(
            Exposure(
                experiment=experiment,
                user_id=users.take(n_user).decode(),
                arm=arm,
                asked_s=asked_s,
                accepted_ms=accepted_ms,
                generation=generation,
                bucket_s=bucket_s,
                rung=rung,
                request_id=requests.take(n_request).decode(),
                posts=struct.unpack(f"<{n_posts}I", posts.take(_WIDE * n_posts)),
                propensities=struct.unpack(f"<{n_drawn}d", rest.take(8 * n_drawn)),
            )
        )
    if not all(0 < chance <= 1 for one in exposures for chance in one.propensities):
        raise ValueError("no chance")
    return exposures


def _join_planes(planes: bytes, n: int) -> bytes:
    """Return n numbers of four bytes each."""
    n_planes = len(planes) // n if n else 3
    if n_planes not in (3, _WIDE) or len(planes) != n_planes * n:
        raise ValueError("other numbers")
    wide = bytearray(_WIDE * n)
    for plane in range(n_planes):
        wide[plane::_WIDE] = planes[plane * n : (plane + 1) * n]
    return bytes(wide)


class _Reader:
    """Bytes, read from the first to the last."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def n_left(self) -> int:
        return len(self._raw) - self._at

    def take(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self.n_left:
            raise ValueError("too short")
        self._at += n_bytes
        return self._raw[self._at - n_bytes : self._at]


@lru_cache(maxsize=256)
def _packer_of(n_posts: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{n_posts}I").pack
