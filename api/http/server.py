"""The server: one process, one loop, stopped so that no request is lost."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from types import FrameType

from fastapi import FastAPI

from api.http.protocol import FeedHttpProtocol
from api.http.shared import Life, Shared

BACKLOG = 2048
MOST_CONNECTIONS = 4096
LOOK_EVERY_S = 1.0  # how often connections are asked what they wait for
# How long we go on after SIGTERM, seconds: every client on a kept connection hears `connection: close` with
# its next answer instead of meeting a closed one, and whoever asks /ready sends us no more. Then connections
# without a request stay open a little longer, because one may be on its way.
DRAIN_S, LINGER_S = 0.5, 0.25


class Server:
    """Serves an app on a listening socket until it is told to stop."""

    def __init__(self, app: FastAPI, life: Life, most: int = MOST_CONNECTIONS) -> None:
        """Open nothing. `life` is shared with the app; no more than `most` connections are open."""
        self._app, self._life, self._most = app, life, most
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    async def run(self, door: socket.socket, started: Callable[[], object]) -> None:
        """Serve, and say when it has started; what the app's lifespan raises passes through."""
        loop = asyncio.get_running_loop()
        async with self._app.router.lifespan_context(self._app) as state:
            shared = Shared(self._app, dict(state or {}), self._life, self._most)
            listening = await loop.create_server(lambda: FeedHttpProtocol(shared), sock=door, backlog=BACKLOG)
            looking = asyncio.create_task(_look(shared))
            try:
                started()
                await self._stop.wait()
                # Who has connected already is let in: closing the door on them would reset them.
                waiting = list(_waiting(door))
                listening.close()
                for connection in waiting:
                    await loop.connect_accepted_socket(lambda: FeedHttpProtocol(shared), connection)
                await self._finish(shared)
            finally:
                looking.cancel()

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Begin to drain, without delay if it is not SIGTERM; the second signal waits for nobody."""
        if self._life.ending:
            self._hurry.set()
        self._life.ending = True
        asyncio.get_running_loop().call_later(DRAIN_S if sig == signal.SIGTERM else 0, self._stop.set)

    async def _finish(self, shared: Shared) -> None:
        """Let what is under way come to its end."""
        await asyncio.sleep(LINGER_S)
        while (shared.connections or shared.exchanges) and not self._hurry.is_set():
            for connection in list(shared.connections):
                if connection.is_idle:
                    connection.transport.close()
            await asyncio.sleep(0.02)


def serve(app: FastAPI, life: Life, host: str, port: int) -> None:
    """Serve until told to stop.

    Raises:
        OSError: The port cannot be had.
        Exception: The app's lifespan could not begin.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind((host, port))  # nobody can connect until the app has started
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


async def _look(shared: Shared) -> None:
    """Keep the date, and end what has taken too long."""
    loop = asyncio.get_running_loop()
    while True:
        shared.date = b"date: %b" % formatdate(usegmt=True).encode()
        for connection in list(shared.connections):
            connection.look(loop.time())
        await asyncio.sleep(LOOK_EVERY_S)


def _waiting(door: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that the system has made and nobody has taken."""
    door.settimeout(0)
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        yield connection
