"""Whole keys at once: `RESTORE` commands of many users, built from arrays as bytes on the wire."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import redis

from batch.arrays import Bytes, Ints
from batch.store import rdb
from batch.store.wire import bulk, put_number

_AROUND = rdb.AROUND + 1 + 19 + 2 + 2  # most bytes of an argument that is a payload beside its entries

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Texts one after the other.

    Attributes:
        data: uint8 (bytes,).
        end: int64 (texts + 1,). Text `i` is `data[end[i]:end[i + 1]]`.
    """

    data: Bytes
    end: Ints

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Parts":
        """Join texts."""
        parts = list(texts)
        end = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), end)


def is_taken(client: redis.Redis, key: str) -> bool:
    """Say whether the store takes our payloads; if not, log it as `restore.refused`.

    Nothing is written: what is restored has expired long ago.

    Args:
        client: The store's.
        key: One that is not there.
    """
    one = np.ones(1, np.int64)
    command = sorted_sets(Parts.of([b""]), np.array([0, 1]), one, one).tobytes()
    payload = command.partition(b"\r\n")[2][:-2]
    try:
        client.execute_command("RESTORE", key, 1, payload, "ABSTTL")  # type: ignore[no-untyped-call]
    except redis.ResponseError as exc:
        log.warning("restore.refused", extra={"why": str(exc)})
        return False
    return True


def head(key: str, ttl_ms: int = 0) -> bytes:
    r"""Write what stands in a command before its payload; 0: the key's life has no end.

    >>> head("a", 7)
    b'*4\r\n$7\r\nRESTORE\r\n$1\r\na\r\n$1\r\n7\r\n'
    """
    return b"*4\r\n$7\r\nRESTORE\r\n" + bulk(key.encode()) + bulk(b"%d" % ttl_ms)


def sorted_sets(heads: Parts, start: Ints, score: Ints, member: Ints) -> Bytes:
    """Write a command for each sorted set; none may be empty.

    Args:
        heads: Of the commands.
        start: int64 (sets + 1,). Where each set's pairs begin.
        score: int64 (pairs,), of a size below `rdb.LARGEST`.
        member: int64 (pairs,). Within a set by score, then by the bytes of its decimal text.
    """
    return np.asarray(_sorted_sets(heads.data, heads.end, start, score, member), np.uint8)


def hashes(heads: Parts, fields: Parts, values: Parts, tails: Parts) -> Bytes:
    """Write a command for each hash.

    Args:
        heads: Of the commands.
        fields: What all have, an entry of a listpack each.
        values: The values of these fields, one hash after the other; each ends with a byte that is left out.
        tails: A field and its value, as entries, that a hash has behind these; or nothing.
    """
    found = _hashes(
        heads.data, heads.end, fields.data, fields.end, values.data, values.end, tails.data, tails.end
    )
    return np.asarray(found, np.uint8)


@numba.njit(cache=True)
def _put_command(out: Any, at: Any, head: Any, kind: Any, entries: Any, n_bytes: Any, n_entries: Any) -> Any:
    """Write a command, whose payload is one listpack; return the place after it."""
    at = rdb.put_bytes(out, at, head)
    out[at] = 36  # dollar
    at = put_number(out, at + 1, rdb.payload_size(n_bytes))
    out[at], out[at + 1] = 13, 10
    at = rdb.put_payload(out, at + 2, kind, entries, n_bytes, n_entries)
    out[at], out[at + 1] = 13, 10
    return at + 2


@numba.njit(cache=True)
def _sorted_sets(head: Any, head_end: Any, start: Any, score: Any, member: Any) -> Any:
    n_sets, longest = len(start) - 1, 0
    for i in range(n_sets):
        longest = max(longest, start[i + 1] - start[i])
    entries = np.empty(2 * longest * rdb.NUMBER, np.uint8)
    out = np.empty(len(head) + n_sets * _AROUND + 2 * len(score) * rdb.NUMBER, np.uint8)
    at = 0
    for i in range(n_sets):
        size = 0
        for pair in range(start[i], start[i + 1]):
            size = rdb.put_integer(entries, size, member[pair])
            size = rdb.put_integer(entries, size, score[pair])
        n = 2 * (start[i + 1] - start[i])
        at = _put_command(out, at, head[head_end[i] : head_end[i + 1]], rdb.ZSET, entries, size, n)
    return out[:at]


@numba.njit(cache=True)
def _hashes(
    head: Any, head_end: Any, field: Any, field_end: Any, value: Any, value_end: Any, tail: Any, tail_end: Any
) -> Any:
    n_hashes, n_fields = len(head_end) - 1, len(field_end) - 1
    longest = 0
    for i in range(n_hashes):
        size = value_end[(i + 1) * n_fields] - value_end[i * n_fields] + tail_end[i + 1] - tail_end[i]
        longest = max(longest, size + len(field) + n_fields * rdb.NUMBER)
    entries = np.empty(longest, np.uint8)
    out = np.empty(len(head) + n_hashes * (_AROUND + longest), np.uint8)
    at = 0
    for i in range(n_hashes):
        size, n = 0, 2 * n_fields
        for k in range(n_fields):
            size = rdb.put_bytes(entries, size, field[field_end[k] : field_end[k + 1]])
            v = i * n_fields + k
            size = rdb.put_text(entries, size, value[value_end[v] : value_end[v + 1] - 1])
        if tail_end[i + 1] > tail_end[i]:
            size = rdb.put_bytes(entries, size, tail[tail_end[i] : tail_end[i + 1]])
            n += 2
        at = _put_command(out, at, head[head_end[i] : head_end[i + 1]], rdb.HASH, entries, size, n)
    return out[:at]
