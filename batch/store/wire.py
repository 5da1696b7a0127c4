"""Bytes on the wire: numbers as Redis reads them, and batches of packed commands with one under way.

redis-py packs argument by argument; a generation has some hundred million numbers.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numba
import redis

BATCH_BYTES = 256 * 1024  # enough to hide the round trip, little enough that readers get their turn

FRAME = 7  # most bytes around a number as an argument: a dollar, two digits of its length, two line ends

Busy = Callable[[int], object]
Expected = tuple[int, Busy | None]  # of one message: how many replies, and who is told that a key is there

MULTI, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"


def bulk(value: bytes | memoryview) -> bytes:
    r"""Write one argument of a command.

    >>> bulk(b"17 2331")
    b'$7\r\n17 2331\r\n'
    """
    return b"".join((b"$%d\r\n" % len(value), value, b"\r\n"))


def pack(*arguments: bytes) -> bytes:
    r"""Write one command.

    >>> pack(b"GET", b"a")
    b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n'
    """
    return b"*%d\r\n%b" % (len(arguments), b"".join(map(bulk, arguments)))


@numba.njit(cache=True)
def n_digits(value: Any) -> Any:
    """Return the length of a whole number as decimal text, its sign included."""
    n = 1 if value >= 0 else 2
    rest = abs(value) // 10
    while rest:
        n += 1
        rest //= 10
    return n


@numba.njit(cache=True)
def put_number(out: Any, at: Any, value: Any) -> Any:
    """Write a whole number as decimal text into `out` uint8 from place `at`; return the place after it."""
    end = at + n_digits(value)
    if value < 0:
        out[at] = 45  # minus
    place, rest = end, abs(value)
    while True:
        place -= 1
        out[place] = 48 + rest % 10
        rest //= 10
        if not rest:
            return end


@numba.njit(cache=True)
def put_bulk(out: Any, at: Any, value: Any) -> Any:
    """Write a whole number as one argument of a command; return the place after it."""
    out[at] = 36  # dollar
    at = put_number(out, at + 1, n_digits(value))
    out[at], out[at + 1] = 13, 10
    at = put_number(out, at + 2, value)
    out[at], out[at + 1] = 13, 10
    return at + 2


class PipelinedWriter:
    """Sends packed commands in batches on one connection; while the server works, the next is packed.

    Commands may be held back until `BATCH_BYTES` are together: leave the context, or call `flush`, to be
    sure that the server has carried them out.

    Attributes:
        n_zeros: Replies so far that were the number 0, by which some commands say that they did nothing.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Take a connection from the client's pool when the context is entered."""
        self._pool = client.connection_pool
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._expected: list[Expected] = []
        self._under_way: list[Expected] = []
        self._unread = False
        self.n_zeros = 0

    def __enter__(self) -> "PipelinedWriter":
        """Connect."""
        self._connection = self._pool.get_connection()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was sent; after an error drop the connection, whose replies nobody will read."""
        try:
            if kind is None:
                self.flush()
        finally:
            if self._unread or kind is not None:
                self._connection.disconnect()  # type: ignore[no-untyped-call]
            self._pool.release(self._connection)

    def send(self, packed: bytes | memoryview, n_replies: int, busy: Busy | None = None) -> None:
        """Send packed commands, now or with the next ones; `packed` must not change any more.

        Args:
            packed: The commands.
            n_replies: How many replies they get.
            busy: Called with the place of each reply, from 0, that says that the key is there already, once
                it is read; None: that is an error like any other.

        Raises:
            redis.RedisError: An earlier command failed, or the connection did.
        """
        self._parts.append(packed)
        self._size += len(packed)
        self._expected.append((n_replies, busy))
        if self._size >= BATCH_BYTES:
            self._turn()

    def flush(self) -> None:
        """Return once the server has carried out everything sent so far."""
        self._turn()
        self._turn()

    def _turn(self) -> None:
        """Send the collected batch, then read the replies of the one before it."""
        due, self._under_way, self._expected = self._under_way, self._expected, []
        self._unread = True
        if self._parts:
            self._connection.send_packed_command(self._parts)  # type: ignore[no-untyped-call]
            self._parts, self._size = [], 0
        for n_replies, busy in due:
            for place in range(n_replies):
                self._read(place, busy)
        self._unread = bool(self._under_way)

    def _read(self, place: int, busy: Busy | None) -> None:
        try:
            reply = self._connection.read_response()
        except redis.ResponseError as exc:
            if busy is None or not str(exc).startswith("BUSYKEY"):
                raise
            busy(place)
            return
        raise_nested(reply)
        self.n_zeros += reply == 0


def raise_nested(reply: Any) -> None:
    """Raise the first error among the replies of one transaction."""
    if isinstance(reply, list):
        for item in reply:
            if isinstance(item, Exception):
                raise item
