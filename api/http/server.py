"""uvicorn with the express lane, stopped so that no request is lost."""

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.http.protocol import Express
from api.routes.hot import Life

# How long we go on after SIGTERM, seconds: every client on a kept connection hears `connection: close` with
# its next answer instead of meeting a closed one, and whoever asks /ready sends us no more.
DRAIN_S = 0.5


class Server(uvicorn.Server):
    """Goes on answering for `DRAIN_S` after the first SIGTERM, then stops as uvicorn does."""

    def __init__(self, config: uvicorn.Config, life: Life) -> None:
        """Share `life` with the app."""
        super().__init__(config)
        self._life = life
        self._told_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then let the garbage collector pass over what stays: walking it makes everyone wait."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)  # a request leaves no cycles behind; looking for some can wait

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal, or another one, stops at once."""
        if sig == signal.SIGTERM and self._told_at is None:
            self._told_at = time.monotonic()
            self._life.ending = True
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Stop when the time is over; called ten times a second."""
        if self._told_at is not None and not self.should_exit and time.monotonic() >= self._told_at + DRAIN_S:
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in whoever has connected already; closing the door on them would reset them."""
        waiting = [connection for door in sockets or () for connection in _waiting(door)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return Express(self.config, self.server_state, self.lifespan.state)


def serve(app: FastAPI, life: Life, host: str, port: int) -> None:
    """Serve until told to stop; a start that fails ends the process."""
    config = uvicorn.Config(
        app, host=host, port=port, http=Express, log_config=None, log_level="warning", access_log=False
    )
    server = Server(config, life)
    server.run(sockets=[config.bind_socket()])
    if not server.started:
        sys.exit(3)  # as uvicorn does; what was wrong has been logged


def _waiting(door: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that the system has made and nobody has taken."""
    door.settimeout(0)
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        yield connection
