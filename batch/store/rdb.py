"""Values as `DUMP` writes them, in RDB version 10: small sorted sets and hashes as listpacks.

Redis 7.0 writes this version itself; Valkey 9.1 takes it. A server that keeps such a value otherwise, for its
settings say so, turns it on `RESTORE` into what it keeps. It does not look at the order of a sorted set's
pairs: out of order, range reads find nothing.

Source: `listpack.c`, `rdb.c`, `crc64.c` of Redis 7.0.
"""

from typing import Any

import numba
import numpy as np

from batch.arrays import Words

HASH, ZSET = 16, 17  # RDB_TYPE_HASH_LISTPACK, RDB_TYPE_ZSET_LISTPACK
VERSION = 10
FRAME = 6 + 1  # of a listpack: bytes of all of it, number of entries; its end
AROUND = 1 + 5 + FRAME + 10  # most bytes of a payload beside the entries: type, length, frame, version, CRC
NUMBER = 10  # most bytes of a number's entry
LARGEST = 2**52  # from here on servers do not write whole scores alike
_POLYNOMIAL = 0x95AC9329AC4BC9B5  # Jones, reflected


def entry(text: bytes) -> bytes:
    r"""Write one entry of a listpack.

    >>> entry(b"17"), entry(b"017")
    (b'\x11\x01', b'\x83017\x04')
    """
    out = np.empty(len(text) + 10, np.uint8)
    return out[: put_text(out, 0, np.frombuffer(text, np.uint8))].tobytes()


def _table() -> Words:
    """Return the CRCs of each byte followed by 0 to 7 zero bytes, uint64 (8, 256)."""
    table = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table[0, byte] = crc
    for k in range(1, 8):
        before = table[k - 1]
        table[k] = table[0, (before & np.uint64(255)).astype(np.int64)] ^ before >> np.uint64(8)
    return table


_CRC = _table()


@numba.njit(cache=True)
def crc64(data: Any, low: Any, high: Any) -> Any:
    """Return the CRC-64 of Redis of `data[low:high]` uint8, eight bytes at a time."""
    crc, at, byte = np.uint64(0), low, np.uint64(255)
    while high - at >= 8:
        for k in range(8):
            crc ^= np.uint64(data[at + k]) << np.uint64(8 * k)
        found = np.uint64(0)
        for k in range(8):
            found ^= _CRC[7 - k, crc >> np.uint64(8 * k) & byte]
        crc = found
        at += 8
    for k in range(at, high):
        crc = _CRC[0, (crc ^ np.uint64(data[k])) & byte] ^ crc >> np.uint64(8)
    return crc


@numba.njit(cache=True)
def put_word(out: Any, at: Any, value: Any, n_bytes: Any) -> Any:
    """Write the lowest bytes of a number, lowest first; return the place after them."""
    for k in range(n_bytes):
        out[at + k] = value >> 8 * k & 255
    return at + n_bytes


@numba.njit(cache=True)
def _put_back(out: Any, at: Any, size: Any) -> Any:
    """Write an entry's size behind it, seven bits a byte, so that it can be read backwards."""
    n = 1
    while n < 5 and size >= (1 << 7 * n) - (n > 1):  # listpack.c: below 128, 16383, 2097151, 268435455
        n += 1
    for k in range(n):
        part = size >> 7 * (n - 1 - k) & 127
        out[at + k] = part | 128 if k else part
    return at + n


@numba.njit(cache=True)
def put_integer(out: Any, at: Any, value: Any) -> Any:
    """Write a number as an entry; return the place after it. At least NUMBER bytes must be left."""
    if 0 <= value < 128:
        return _put_entry(out, at, value | 1 << 8, 2)
    if -4096 <= value < 4096:
        return _put_entry(out, at, 0xC0 | (value & 0x1FFF) >> 8 | (value & 0xFF) << 8 | 2 << 16, 3)
    if -(1 << 15) <= value < 1 << 15:
        return _put_entry(out, at, 0xF1 | (value & 0xFFFF) << 8 | 3 << 24, 4)
    if -(1 << 23) <= value < 1 << 23:
        return _put_entry(out, at, 0xF2 | (value & 0xFFFFFF) << 8 | 4 << 32, 5)
    if -(1 << 31) <= value < 1 << 31:
        return _put_entry(out, at, 0xF3 | (value & 0xFFFFFFFF) << 8 | 5 << 40, 6)
    out[at] = 0xF4
    out[put_word(out, at + 1, value, 8)] = 9
    return at + 10


@numba.njit(cache=True)
def _put_entry(out: Any, at: Any, word: Any, size: Any) -> Any:
    """Write an entry of up to eight bytes, which are one word's; the next entry comes over what is too much.

    Spelled out, for then it is one instruction.
    """
    out[at] = word & 255
    out[at + 1] = word >> 8 & 255
    out[at + 2] = word >> 16 & 255
    out[at + 3] = word >> 24 & 255
    out[at + 4] = word >> 32 & 255
    out[at + 5] = word >> 40 & 255
    out[at + 6] = word >> 48 & 255
    out[at + 7] = word >> 56 & 255
    return at + size


@numba.njit(cache=True)
def put_bytes(out: Any, at: Any, text: Any) -> Any:
    """Write bytes, uint8; return the place after them.

    A loop over two slices is copied as a whole; one slice set to the other takes ten times as long, and
    compiles for seconds.
    """
    to = out[at : at + len(text)]
    for k in range(len(text)):
        to[k] = text[k]
    return at + len(text)


@numba.njit(cache=True)
def put_text(out: Any, at: Any, text: Any) -> Any:
    """Write a text, uint8, as an entry, and as a number where it is one's; return the place after it."""
    is_number, value = _parse(text)
    if is_number:
        return put_integer(out, at, value)
    begin = at
    if len(text) < 64:
        out[at] = 0x80 | len(text)
        at += 1
    elif len(text) < 4096:
        out[at] = 0xE0 | len(text) >> 8
        out[at + 1] = len(text) & 255
        at += 2
    else:
        out[at] = 0xF0
        at = put_word(out, at + 1, len(text), 4)
    at = put_bytes(out, at, text)
    return _put_back(out, at, at - begin)


@numba.njit(cache=True)
def _parse(text: Any) -> Any:
    """Say whether a text is a number of 64 bits as Redis writes it, and which: no plus, no zeros before."""
    first = 1 if len(text) > 1 and text[0] == 45 else 0
    n_digits = len(text) - first
    if n_digits < 1 or n_digits > 19 or (text[first] == 48 and len(text) > 1):
        return False, 0
    size = np.uint64(0)
    for digit in text[first:]:
        if digit < 48 or digit > 57:
            return False, 0
        size = size * np.uint64(10) + np.uint64(digit - 48)  # 19 digits fit
    value = np.int64(np.uint64(0) - size if first else size)
    return (value < 0) == (first == 1), value


@numba.njit(cache=True)
def payload_size(n_bytes: Any) -> Any:
    """Return the bytes of a payload whose entries take `n_bytes`."""
    size = n_bytes + FRAME
    return 1 + (1 if size < 64 else 2 if size < 16384 else 5) + size + 10


@numba.njit(cache=True)
def put_payload(out: Any, at: Any, kind: Any, entries: Any, n_bytes: Any, n_entries: Any) -> Any:
    """Write a value of the listpack `entries[:n_bytes]` uint8; return the place after it."""
    begin, size = at, n_bytes + FRAME
    out[at] = kind
    if size < 64:
        out[at + 1] = size
        at += 2
    elif size < 16384:
        out[at + 1] = 0x40 | size >> 8
        out[at + 2] = size & 255
        at += 3
    else:
        out[at + 1] = 0x80
        for k in range(4):
            out[at + 2 + k] = size >> 8 * (3 - k) & 255
        at += 6
    at = put_word(out, at, size, 4)
    at = put_word(out, at, min(n_entries, 65535), 2)  # 65535: count them
    at = put_bytes(out, at, entries[:n_bytes])
    out[at] = 255
    at = put_word(out, at + 1, VERSION, 2)
    return put_word(out, at, crc64(out, begin, at), 8)
