"""One connection to the store: commands are packed by the caller, replies come in order, waits are bounded.

redis-py costs some 60 µs a command in locks, pools and retries; this costs one write and one parse for all
commands of a loop turn. It speaks RESP3, so that the server can say what has changed (client tracking).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis import RedisError
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.asyncio.sentinel import Sentinel

from api.address import connection_of, is_watched, read_nodes, tls_of

Command = tuple[str | bytes | int, ...]
Replies = list[Any]  # bytes, int, None, a list of these, or a Refusal in the place of one reply
Done = Callable[[Replies | None], None]  # called with None when the connection was lost before the last reply
Packet = tuple[bytes, int, Done]  # packed commands, how many replies they have, and who waits for these

SECOND_LOOK_S = 0.01
_NOTHING = object()


class Refusal(Exception):
    """The server's error reply to one command, such as WRONGTYPE."""


class ConnectionLost(ConnectionError):
    """The connection ended, or the server was silent for too long."""


@dataclass(frozen=True, slots=True)
class Address:
    """The store's redis://, rediss:// or unix:// URL, and how long to wait where it does not say, seconds."""

    url: str = field(repr=False)
    connect_timeout_s: float
    read_timeout_s: float


def pack(*command: str | bytes | int) -> bytes:
    r"""Write a command as the server reads it.

    >>> pack("HGET", "a", 1)
    b'*3\r\n$4\r\nHGET\r\n$1\r\na\r\n$1\r\n1\r\n'
    """
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows one argument only
    return packed


@dataclass(slots=True)
class _Expected:
    """Replies that belong together, until the last has come."""

    missing: int
    done: Done
    deadline: float
    replies: Replies = field(default_factory=list)


class RespConnection(asyncio.Protocol):
    """An open connection.

    Attributes:
        tracks: Whether the server says what has changed.
        why_untracked: Why it does not, once greeted.
        overdue: Whether it ended because the server was silent for too long.
        why: Why it ended, for people.
    """

    def __init__(self, timeout_s: float, changed: Callable[[], None], lost: Callable[[], None]) -> None:
        """Call `changed` when a tracked key has, and `lost` once when the connection ends."""
        self.tracks = False
        self.why_untracked = ""
        self.overdue = False
        self.why = "the connection was closed"
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._changed = changed
        self._lost = lost
        self._reader = hiredis.Reader(replyError=Refusal, notEnoughData=_NOTHING)
        self._expected: deque[_Expected] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, *packets: Packet) -> None:
        """Send packets in one write; who waits for one gets its replies, in order, once all are there."""
        if self._transport is None:
            for _, _, done in packets:
                done(None)
            return
        deadline = self._loop.time() + self._timeout_s
        self._transport.write(packets[0][0] if len(packets) == 1 else b"".join([one[0] for one in packets]))
        for _, n_replies, done in packets:
            self._expected.append(_Expected(n_replies, done, deadline))
        if self._watch is None:
            self._watch = self._loop.call_at(deadline, self._check)

    async def call(self, *commands: Command) -> Replies:
        """Send commands and return their replies.

        Raises:
            ConnectionLost: The connection ended first.
        """
        answered: asyncio.Future[Replies | None] = self._loop.create_future()

        def done(replies: Replies | None) -> None:
            if not answered.done():
                answered.set_result(replies)

        self.send((b"".join(pack(*command) for command in commands), len(commands), done))
        replies = await answered
        if replies is None:
            raise ConnectionLost(self.why)
        return replies

    def drop(self, why: str) -> None:
        """End the connection now; what is still expected is lost."""
        self.why = why
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, and have it write at once: uvloop would wait for the end of the loop's turn."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Hand out replies in order; a change is announced before the replies that came after it."""
        reader, expected = self._reader, self._expected
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                if type(reply) is hiredis.PushNotification:
                    self._changed()
                    continue
                if not expected:
                    return self.drop(f"what it says is no reply: {reply!r:.60} was not asked for")
                first = expected[0]
                first.replies.append(reply)
                first.missing -= 1
                if not first.missing:
                    expected.popleft().done(first.replies)
        except hiredis.ProtocolError as exc:
            self.drop(f"what it says is no reply: {exc!r}")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is still expected, once."""
        if self._transport is None:
            return
        self._transport = None
        if exc is not None:
            self.why = str(exc)
        if self._watch is not None:
            self._watch.cancel()
        self._lost()
        while self._expected:
            self._expected.popleft().done(None)

    def _check(self, doubted: _Expected | None = None) -> None:
        """Drop the connection if the oldest reply is overdue; else look again when the next would be.

        uvloop runs timers before it reads: where the process itself was held up, a reply may wait unread.
        So an overdue one is doubted first, and given up when it is still missing after the loop has read.
        """
        self._watch = None
        if not self._expected:
            return
        oldest = self._expected[0]
        if self._loop.time() < oldest.deadline:
            self._watch = self._loop.call_at(oldest.deadline, self._check)
        elif oldest is not doubted:
            self._watch = self._loop.call_later(SECOND_LOOK_S, self._check, oldest)
        else:
            self.overdue = True
            self.drop(f"no reply within {self._timeout_s:g} s")


async def connect(address: Address, changed: Callable[[], None], lost: Callable[[], None]) -> RespConnection:
    """Open a connection that is ready for commands; what the URL says means what it means to redis-py.

    Raises:
        OSError: There is no server, it did not answer in time, or it refused us.
        ValueError: The address is none that redis-py reads.
    """
    loop = asyncio.get_running_loop()
    url = await find_primary(address) if is_watched(address.url) else address.url
    try:
        to = connection_of(
            url,
            socket_connect_timeout=address.connect_timeout_s,
            socket_timeout=address.read_timeout_s,
            protocol=3,
        )
    except (TypeError, RedisError) as exc:
        raise ValueError(str(exc)) from exc

    def make() -> RespConnection:
        return RespConnection(to.socket_timeout or address.read_timeout_s, changed, lost)

    try:
        async with asyncio.timeout(to.socket_connect_timeout):
            if isinstance(to, UnixDomainSocketConnection):
                _, link = await loop.create_unix_connection(make, to.path)
            else:
                _, link = await loop.create_connection(make, to.host, to.port, ssl=tls_of(to))
    except TimeoutError as exc:
        raise TimeoutError(f"no connection within {to.socket_connect_timeout:g} s") from exc
    try:
        await _greet(link, to)
    except BaseException:
        link.drop("the connection was not ready")
        raise
    return link


async def find_primary(address: Address) -> str:
    """Return the URL of the primary that the Sentinels of a URL name now.

    Raises:
        OSError: None of them names one.
    """
    nodes, wait_s = read_nodes(address.url), address.connect_timeout_s
    brief = {"socket_connect_timeout": wait_s, "socket_timeout": wait_s}
    watchers = Sentinel(list(nodes.places), **brief)  # type: ignore[no-untyped-call]
    try:
        host, port = await watchers.discover_master(nodes.service)
    except RedisError as exc:
        raise ConnectionRefusedError(str(exc)) from exc
    finally:
        for one in watchers.sentinels:
            await one.aclose()
    return nodes.url_of((str(host), int(port)))


async def _greet(link: RespConnection, to: Connection) -> None:
    """Log in, choose the database, turn on client tracking, and see that the data is loaded.

    Over RESP2, which `protocol=2` asks for, the server cannot say what has changed.
    """
    speaks_resp3 = to.protocol == 3
    user = (to.username or "default", to.password or "") if to.username or to.password else ()
    first: list[Command] = []
    if speaks_resp3:
        first.append(("HELLO", "3", "AUTH", *user) if user else ("HELLO", "3"))
    elif user:
        first.append(("AUTH", *user))
    first += [("SELECT", int(to.db or 0)), ("PING",)]
    more: list[Command] = [("CLIENT", "TRACKING", "ON", "OPTIN")] if speaks_resp3 else []
    if to.client_name:
        more.append(("CLIENT", "SETNAME", to.client_name))
    replies = await link.call(*first, *more)
    for reply in replies[: len(first)]:
        if isinstance(reply, Refusal):
            raise ConnectionRefusedError(str(reply))
    if not speaks_resp3:
        link.why_untracked = "the URL says protocol=2"
    elif isinstance(replies[len(first)], Refusal):
        link.why_untracked = str(replies[len(first)])
    link.tracks = not link.why_untracked
