"""The server: one process, one loop, stopped so that no request is lost."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from email.utils import formatdate
from types import FrameType
from typing import Any

from fastapi import FastAPI

from api.http.protocol import FeedHttpProtocol

BACKLOG = 2048
MOST_CONNECTIONS = 4096
LOOK_EVERY_S = 1.0  # how often connections are asked what they wait for
# How long we go on after SIGTERM, seconds: every client on a kept connection hears `connection: close` with
# its next answer instead of meeting a closed one, and whoever asks /ready sends us no more. Then connections
# without a request stay open a little longer, because one may be on its way.
DRAIN_S, LINGER_S = 0.5, 0.25


class Life:
    """Whether the server is about to stop: then answers ask the client to come back on a new connection."""

    def __init__(self) -> None:
        """Begin alive."""
        self.ending = False


class Server:
    """Serves an app on a listening socket until it is told to stop.

    Attributes:
        app: Answers all but plain feed requests.
        state: What its lifespan opened.
        life: Whether we are about to stop.
        most: Connections that may be open.
        date: The header that says what time it is.
        connections: Those that are open.
        exchanges: Those under way; one may outlive its connection.
    """

    def __init__(self, app: FastAPI, life: Life, most: int = MOST_CONNECTIONS) -> None:
        """Open nothing."""
        self.app, self.life, self.most = app, life, most
        self.state: dict[str, Any] = {}
        self.date = b""
        self.connections: set[FeedHttpProtocol] = set()
        self.exchanges: set[asyncio.Task[None]] = set()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def run(self, door: socket.socket, started: Callable[[], object]) -> None:
        """Serve, and say when it has started; what the app's lifespan raises passes through."""
        loop = asyncio.get_running_loop()
        async with self.app.router.lifespan_context(self.app) as state:
            self.state.update(state or {})
            listening = await loop.create_server(lambda: FeedHttpProtocol(self), sock=door, backlog=BACKLOG)
            looking = asyncio.create_task(self._look())
            try:
                started()
                await self._stop.wait()
                # Who has connected already is let in: closing the door on them would reset them.
                waiting = list(_waiting(door))
                listening.close()
                for connection in waiting:
                    await loop.connect_accepted_socket(lambda: FeedHttpProtocol(self), connection)
                await self._finish()
            finally:
                looking.cancel()

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Begin to drain, without delay if it is not SIGTERM; the second signal waits for nobody."""
        if self.life.ending:
            self._hurry.set()
        self.life.ending = True
        asyncio.get_running_loop().call_later(DRAIN_S if sig == signal.SIGTERM else 0, self._stop.set)

    async def _look(self) -> None:
        """Keep the date, and end what has taken too long."""
        loop = asyncio.get_running_loop()
        while True:
            self.date = b"date: %b" % formatdate(usegmt=True).encode()
            for connection in list(self.connections):
                connection.look(loop.time())
            await asyncio.sleep(LOOK_EVERY_S)

    async def _finish(self) -> None:
        """Let what is under way come to its end."""
        await asyncio.sleep(LINGER_S)
        while (self.connections or self.exchanges) and not self._hurry.is_set():
            for connection in list(self.connections):
                if connection.is_idle:
                    connection.transport.close()
            await asyncio.sleep(0.02)


def serve(app: FastAPI, life: Life, host: str, port: int) -> None:
    """Serve until told to stop; what the app's lifespan raises passes through.

    Raises:
        SystemExit: The port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))  # nobody can connect until the app has started
    except OSError as exc:
        sys.exit(f"{host}:{port} cannot be had: {exc.strerror}; set ALMANAC_HOST or ALMANAC_PORT")
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        loop, server = runner.get_loop(), Server(app, life)

        def told(sig: int, _: FrameType | None) -> None:
            loop.call_soon_threadsafe(server.stop, sig)

        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, told)
        runner.run(server.run(door, _settle_garbage))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _settle_garbage() -> None:
    """Let the garbage collector pass over what stays: walking it makes everyone wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # a request leaves no cycles behind; looking for some can wait


def _waiting(door: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that the system has made and nobody has taken."""
    door.settimeout(0)
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        yield connection
