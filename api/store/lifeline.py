"""Keeps one connection to the store open; while the store is away, callers fail at once."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from api.store.connection import Address, Command, ConnectionLost, Replies, RespConnection, connect
from api.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

# Between two attempts, seconds. The longest is well below the second within which we must be back.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.25


class Line(Protocol):
    """How the store is asked: over one connection, or over those to a cluster's primaries (`nodes.py`)."""

    @property
    def connection(self) -> RespConnection | None:
        """Return the open connection to who tells what is current; None where there is none right now."""

    async def connect(self) -> RespConnection:
        """Return the same, opened where it can be."""

    async def call(self, *commands: Command) -> Replies:
        """Send commands and return their replies, in order."""

    async def call_then(self, last: Command, *commands: Command) -> Replies:
        """Send commands and one that is carried out after them; its reply comes last."""

    def is_elsewhere(self, reply: object) -> bool:
        """Say whether a reply is that a cluster's slot moves: nothing was carried out, so send it again."""

    async def aclose(self) -> None:
        """End what is open."""


class Lifeline:
    """A connection that is opened when first asked for and opened again when it is lost; for one event loop.

    The breaker: after a loss one attempt is made that callers wait for, so a connection that the server
    merely closed costs no request. When that fails, callers are refused at once, while a single task, whoever
    and however many ask, goes on trying.
    """

    def __init__(self, address: Address, on_change: Callable[[], None]) -> None:
        """Open nothing yet; call `on_change` when a tracked key may have changed."""
        self.connection: RespConnection | None = None
        self._address = address
        self._on_change = on_change
        self._trying: asyncio.Task[None] | None = None
        self._has_tried = asyncio.Event()
        self._why: str | None = None  # the store is away
        self._is_closed = False
        self._is_warned = False  # that the store does not say what has changed

    @property
    def is_away(self) -> bool:
        """Say whether there is no connection though we try to open one."""
        return self.connection is None and self._trying is not None

    async def connect(self) -> RespConnection:
        """Return the open connection; wait for the first attempt to open it, but for no later one.

        Raises:
            StoreUnavailable: It is not open.
        """
        if self.connection is None and not self._is_closed:
            self._try_again()
            if self._why is None:
                await self._has_tried.wait()
        if self.connection is None:
            raise StoreUnavailable(self._why or "the connection was closed")
        return self.connection

    async def call(self, *commands: Command) -> Replies:
        """Send commands and return their replies; send them once more if the connection was lost.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        with suppress(ConnectionLost):
            return await (await self.connect()).call(*commands)
        try:
            return await (await self.connect()).call(*commands)
        except ConnectionLost as exc:
            raise StoreUnavailable(exc) from exc

    async def call_then(self, last: Command, *commands: Command) -> Replies:
        """Send commands and the last one, which the server carries out after the others; raises as `call`."""
        return await self.call(*commands, last)

    def is_elsewhere(self, reply: object) -> bool:  # noqa: ARG002 - nothing moves
        """Say that what was sent is nowhere else."""
        return False

    async def aclose(self) -> None:
        """End the connection and stop trying."""
        self._is_closed = True
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
        if self.connection is not None:
            self.connection.drop("we are stopping")

    def _try_again(self) -> None:
        """Begin to try, unless that is under way."""
        if self._trying is None:
            self._has_tried.clear()
            self._trying = asyncio.create_task(self._reopen())
            self._trying.add_done_callback(self._stop_trying)

    def _stop_trying(self, _: object) -> None:
        self._trying = None
        self._has_tried.set()

    async def _reopen(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self.connection is None:
            try:
                self.connection = await connect(self._address, self._on_change, self._lose)
            except (OSError, ValueError) as exc:
                self._note(str(exc) or type(exc).__name__)
                self._has_tried.set()
                # Drawn at random, so that many processes do not come back to a restarted store in step.
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - not for secrets
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._on_change()
        if not (self.connection.tracks or self._is_warned):
            self._is_warned = True
            log.warning("store.untracked", extra={"why": self.connection.why_untracked})
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
        self._on_change()
        if lost is not None and lost.overdue:
            self._note(lost.why)  # its look-ups have waited long enough: the next ones fail at once
        if lost is not None and not self._is_closed:
            self._try_again()
