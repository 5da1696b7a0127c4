"""The server: uvicorn in one process, with our protocol on its connections."""

import asyncio
import errno
import gc
import math
import signal
import socket
import sys
import time
from email.utils import formatdate
from heapq import nsmallest
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from api.http.protocol import FeedHttpProtocol
from api.http.seat import Seat
from api.http.system import give_back_memory, let_nobody_connect, make_room_for_files
from api.settings import Settings

BACKLOG = 2048
READ_SIZE = 16_384  # bytes that are taken from a connection at once
# Bytes of answers that the system keeps for a client, and as many of its own. It would keep 4 MB, which for
# one that never reads is work and memory thrown away.
SEND_SIZE = 65_536
MOST_UNREAD = 24 << 20  # bytes of answers that all clients together may leave to us
KNOWN_S = 1.0  # or a crowd that only connects, fast enough, would push out those who ask
OTHER_FILES = 64  # that are open beside connections: of Python, the store's lock, the log
CROWD = 50  # connections whose end is worth giving memory back
TICKS_A_SECOND = 10  # that uvicorn makes
# How long we go on after SIGTERM, seconds: every client on a kept connection hears `connection: close` with
# its next answer instead of meeting a closed one, and whoever asks /ready sends us no more. Then connections
# without a request stay open a little longer, because one may be on its way.
# Who is not done STOP_S after that is cut off: a half-sent request must not hold up a stop. What the app is
# still at then has ABORT_S.
DRAIN_S, LINGER_S, STOP_S, ABORT_S = 0.5, 0.25, 6.0, 2


class CannotListen(OSError):
    """Nobody may listen at this address: the port is another's, or the host is not of this machine."""

    def __init__(self, host: str, port: int, why: OSError) -> None:
        wrong = "PORT" if why.errno in (errno.EADDRINUSE, errno.EACCES) else "HOST"
        super().__init__(f"cannot listen on {host}:{port}: {why.strerror}; set another ALMANAC_{wrong}")


class Life:
    """Whether the server is about to stop: then answers ask the client to come back on a new connection."""

    def __init__(self) -> None:
        """Begin alive."""
        self.ending = False


class Server(uvicorn.Server):
    """uvicorn, with a protocol of ours on its connections, stopped so that no request is lost.

    uvicorn brings socket, loop, lifespan, signals and its ten ticks a second; what of it is used here is what
    its documentation offers to subclasses and to `--http`.

    Attributes:
        app: Answers all but plain feed requests.
        state: What its lifespan opened.
        life: Whether we are about to stop.
        most: Connections that may be open.
        idle_s: How long one may wait for its next request, seconds.
        buffer: Where what comes is read to, whoever sent it.
        date: The header that says what time it is.
        connections: Those that are open.
        exchanges: Those under way; one may outlive its connection.
    """

    def __init__(self, app: ASGIApp, life: Life, settings: Settings, seat: Seat | None = None) -> None:
        """Open nothing; `seat` is that of one of several processes."""
        self.app, self.life = app, life
        self._seat = seat
        self.most, self.idle_s = settings.max_connections, settings.idle_timeout_s
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.state: dict[str, Any] = {}
        self.date = b""
        self._stop_at = 0.0
        self._crowd = 0  # most connections since memory was given back
        protocol = cast("type[asyncio.Protocol]", lambda **_: FeedHttpProtocol(self))
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                log_config=None,
                log_level="warning",
                backlog=BACKLOG,
                root_path=settings.root_path,
                timeout_graceful_shutdown=ABORT_S,
            )
        )
        self.connections = cast("set[FeedHttpProtocol]", self.server_state.connections)
        self.exchanges = self.server_state.tasks

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then let the garbage collector pass over what stays: walking it makes everyone wait."""
        self.state = self.lifespan.state
        for door in sockets or ():  # its connections inherit it
            door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_SIZE)
        await super().startup(sockets)
        try:
            for door in sockets or ():
                door.listen(BACKLOG)  # again: uvloop has not said that another process had come first
        except OSError:
            await self.lifespan.shutdown()
            raise
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)  # a request leaves no cycles behind; looking for some can wait
        if self._seat:
            self._seat.say_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - where it came makes no difference
        """Begin to drain, without delay if it is not SIGTERM; the second signal waits for nobody."""
        if self.life.ending:
            self.should_exit = self.force_exit = True
        self.life.ending = True
        self._stop_at = time.monotonic() + (DRAIN_S if sig == signal.SIGTERM else 0)

    async def on_tick(self, counter: int) -> bool:
        """Once a second keep the date, and end what has taken too long; stop when the time is over."""
        self._cut_off_unread()
        if counter % TICKS_A_SECOND == 0:
            self.date = b"date: %b" % formatdate(usegmt=True).encode()
            for connection in list(self.connections):
                connection.look(asyncio.get_running_loop().time())
            self._give_back_memory()
            if self._seat and self._seat.is_orphan and not self.life.ending:
                self.handle_exit(signal.SIGTERM, None)
        self.should_exit |= self.life.ending and time.monotonic() >= self._stop_at
        return await super().on_tick(counter)

    def join(self, newcomer: FeedHttpProtocol) -> None:
        """Take a connection; if they are too many, those longest without a whole request make room."""
        if len(self.connections) >= self.most:
            without = [one for one in self.connections if not one.has_request]
            # A few at a time: a crowd must not make us look through all of them for each that comes.
            leaving = nsmallest(1 + self.most // 100, without, key=_rank) or [newcomer]
            for one in leaving:
                one.transport.abort()
            self.connections.difference_update(leaving)
        self.connections.add(newcomer)

    def _cut_off_unread(self) -> None:
        """Where clients leave more unread than all may, cut off those who have for longest."""
        unread = {one: one.transport.get_write_buffer_size() for one in self.connections}
        too_much = sum(unread.values()) - MOST_UNREAD
        if too_much <= 0:
            return
        for one in sorted(filter(unread.get, unread), key=lambda one: one.unread_since or math.inf):
            one.transport.abort()
            too_much -= unread[one]
            if too_much <= 0:
                return

    def _give_back_memory(self) -> None:
        """Give it back when a crowd has gone: it takes milliseconds, in which nobody is answered."""
        self._crowd = max(self._crowd, len(self.connections))
        if self._crowd >= CROWD and len(self.connections) < self._crowd // 2:
            self._crowd = len(self.connections)
            give_back_memory()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who has connected already, whom a closed door would reset; let all come to an end."""
        for door in sockets or ():
            let_nobody_connect(door)
        await asyncio.sleep(LINGER_S)
        for listening in self.servers:
            listening.close()
        cut_off_at = time.monotonic() + STOP_S
        while (self.connections or self.exchanges) and not self.force_exit and time.monotonic() < cut_off_at:
            for idle in [connection for connection in self.connections if connection.is_idle]:
                idle.shutdown()
            await asyncio.sleep(0.02)
        for late in list(self.connections):
            late.transport.abort()
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # which uvicorn then leaves out: its end would be a traceback


def serve(app: ASGIApp, life: Life, settings: Settings, seat: Seat | None = None) -> None:
    """Serve until told to stop; `seat` is that of one of several processes.

    Raises:
        CannotListen: Not at this address.
        SystemExit: The app cannot start; why has been logged.
    """
    host, port = settings.host, seat.port if seat else settings.port
    door = bind(host, port, shared=seat is not None)
    server = Server(app, life, settings, seat)
    server.most = make_room_for_files(server.most, settings.pool_size + OTHER_FILES)
    try:
        server.run(sockets=[door])
    except OSError as exc:
        raise CannotListen(host, port, exc) from exc
    if not server.started:
        sys.exit(3)  # as uvicorn does


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket at an address; nobody can connect until it listens.

    Args:
        host: Of this machine.
        port: 0: any free one.
        shared: Whether others may listen there that say so, too.

    Raises:
        CannotListen: Not at this address.
    """
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        door.bind((host, port))
    except OSError as exc:
        door.close()
        raise CannotListen(host, port, exc) from exc
    return door


def _rank(connection: FeedHttpProtocol) -> float:
    """Return since when a connection has been without a whole request; one never answered counts as older."""
    return connection.since + KNOWN_S * connection.is_answered
