"""The server: uvicorn in one process, with our protocol on its connections."""

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from api.http.protocol import FeedHttpProtocol

BACKLOG = 2048
MOST_CONNECTIONS = 4096
TICKS_A_SECOND = 10  # that uvicorn makes
# How long we go on after SIGTERM, seconds: every client on a kept connection hears `connection: close` with
# its next answer instead of meeting a closed one, and whoever asks /ready sends us no more. Then connections
# without a request stay open a little longer, because one may be on its way.
DRAIN_S, LINGER_S = 0.5, 0.25


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
        date: The header that says what time it is.
        connections: Those that are open.
        exchanges: Those under way; one may outlive its connection.
    """

    def __init__(self, app: ASGIApp, life: Life, most: int = MOST_CONNECTIONS) -> None:
        """Open nothing."""
        self.app, self.life, self.most = app, life, most
        self.state: dict[str, Any] = {}
        self.date = b""
        self._stop_at = 0.0
        protocol = cast("type[asyncio.Protocol]", lambda **_: FeedHttpProtocol(self))
        super().__init__(
            uvicorn.Config(app, http=protocol, log_config=None, log_level="warning", backlog=BACKLOG)
        )
        self.connections = cast("set[FeedHttpProtocol]", self.server_state.connections)
        self.exchanges = self.server_state.tasks

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then let the garbage collector pass over what stays: walking it makes everyone wait."""
        self.state = self.lifespan.state
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)  # a request leaves no cycles behind; looking for some can wait

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - where it came makes no difference
        """Begin to drain, without delay if it is not SIGTERM; the second signal waits for nobody."""
        if self.life.ending:
            self.should_exit = self.force_exit = True
        self.life.ending = True
        self._stop_at = time.monotonic() + (DRAIN_S if sig == signal.SIGTERM else 0)

    async def on_tick(self, counter: int) -> bool:
        """Once a second keep the date, and end what has taken too long; stop when the time is over."""
        if counter % TICKS_A_SECOND == 0:
            self.date = b"date: %b" % formatdate(usegmt=True).encode()
            for connection in list(self.connections):
                connection.look(asyncio.get_running_loop().time())
        self.should_exit |= self.life.ending and time.monotonic() >= self._stop_at
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who has connected already, whom a closed door would reset; let all come to an end."""
        waiting = [connection for door in sockets or () for connection in _waiting(door)]
        for listening in self.servers:
            listening.close()
        for connection in waiting:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: FeedHttpProtocol(self), connection)
        await asyncio.sleep(LINGER_S)
        while (self.connections or self.exchanges) and not self.force_exit:
            for idle in [connection for connection in self.connections if connection.is_idle]:
                idle.shutdown()
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def serve(app: ASGIApp, life: Life, host: str, port: int) -> None:
    """Serve until told to stop.

    Raises:
        SystemExit: The port cannot be had, or the app cannot start; why has been logged.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))  # nobody can connect until the app has started
    except OSError as exc:
        sys.exit(f"{host}:{port} cannot be had: {exc.strerror}; set ALMANAC_HOST or ALMANAC_PORT")
    server = Server(app, life)
    server.run(sockets=[door])
    if not server.started:
        sys.exit(3)  # as uvicorn does


def _waiting(door: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that the system has made and nobody has taken."""
    door.settimeout(0)
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        yield connection
