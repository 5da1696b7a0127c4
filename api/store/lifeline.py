"""Keeps one connection to the store open; while the store is away, callers fail at once."""

import asyncio
import logging
import random
from collections.abc import Callable

from api.store.connection import Address, RespConnection, connect
from api.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

# Between two attempts, seconds. The longest is well below the second within which we must be back.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.25


class Lifeline:
    """A connection that is opened when first asked for and opened again when it is lost; for one event loop.

    The breaker: after a loss one attempt is made that callers wait for, so a connection that the server
    merely closed costs no request. When that fails, callers are refused at once, while a single task, whoever
    and however many ask, goes on trying.
    """

    def __init__(self, address: Address) -> None:
        """Open nothing yet."""
        self.connection: RespConnection | None = None
        self.on_change: Callable[[], None] = _ignore
        self._address = address
        self._trying: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._why: str | None = None
        self._closed = False

    async def connect(self) -> RespConnection:
        """Return the open connection; wait for the first attempt to open it, but for no later one.

        Raises:
            StoreUnavailable: It is not open.
        """
        if self.connection is not None:
            return self.connection
        if self._trying is None and not self._closed:
            self._start_trying()
        if self._why is None and self._first is not None:
            await asyncio.shield(self._first)
        return self._require()

    async def close(self) -> None:
        """End the connection and stop trying."""
        self._closed = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
        if self.connection is not None:
            self.connection.drop("we are stopping")

    def _require(self) -> RespConnection:
        if self.connection is None:
            raise StoreUnavailable(self._why or "the connection was closed")
        return self.connection

    def _start_trying(self) -> None:
        self._first = asyncio.get_running_loop().create_future()
        self._trying = asyncio.create_task(self._reopen(self._first))
        self._trying.add_done_callback(self._stop_trying)

    def _stop_trying(self, _: object) -> None:
        self._trying = None
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    async def _reopen(self, first: "asyncio.Future[None]") -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self.connection = await connect(self._address, lambda: self.on_change(), self._lose)
            except (OSError, ValueError) as exc:
                self._note(str(exc) or f"no connection within {self._address.connect_timeout_s:g} s")
            else:
                break
            if not first.done():
                first.set_result(None)
            # Drawn at random, so that many processes do not come back to a restarted store in step.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.on_change()
        if self._why is not None:
            self._why = None
            log.info("store.found")

    def _note(self, why: str) -> None:
        if self._why is None:
            log.warning("store.lost", extra={"why": why})
        self._why = why

    def _lose(self) -> None:
        """Take note that the open connection ended; try again at once."""
        lost, self.connection = self.connection, None
        self.on_change()
        if lost is not None and lost.overdue:
            self._note(lost.why)  # its look-ups have waited long enough: the next ones fail at once
        if lost is not None and not self._closed and self._trying is None:
            self._start_trying()


def _ignore() -> None:
    """Nobody listens yet."""
