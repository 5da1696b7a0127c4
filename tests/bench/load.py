"""Load: requests at a fixed rate, measured from when each was due to go; or as fast as answers come.

One process on one core asks thousands of times a second; what each answer says is checked elsewhere.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter
from typing import cast

import numpy as np
import uvloop

GENERATOR = "asyncio"  # figures up to 2026-11-25 are wrk's
TICK_S = 0.001
STALLED_S = 10.0  # a measurement in which no answer came for so long has failed


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked, and for what: targets in turn, each with the same bearer token."""

    port: int
    targets: Sequence[str]
    token: str

    def requests(self) -> Iterator[bytes]:
        """Yield the requests without end."""
        head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        return cycle(f"GET {target}{head}".encode() for target in self.targets)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement gave; times in milliseconds."""

    n_requests: int
    took_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def per_s(self) -> float:
        """Return requests per second."""
        return self.n_requests / self.took_s


class LoadFailed(RuntimeError):
    """Answers were missing or wrong, so that the figures would say nothing."""


def saturate(asked: Asked, connections: int, seconds: float) -> Figures:
    """Ask as fast as answers come, over `connections` kept connections.

    Raises:
        LoadFailed: An answer was not 200, or none came.
    """
    return uvloop.run(_closed(asked, connections, seconds))


def pace(asked: Asked, connections: int, seconds: float, per_s: int) -> Figures:
    """Ask `per_s` times a second whatever the answers do; a request waits where no connection is free.

    Its latency counts from when it was due, so a server that stalls is charged for all who waited.

    Raises:
        LoadFailed: An answer was not 200, or none came.
    """
    return uvloop.run(_open(asked, connections, seconds, per_s))


class _Caller(asyncio.Protocol):
    """One kept connection with at most one request under way."""

    def __init__(self, answered: "Callable[[_Caller, float], None]") -> None:
        self._answered = answered
        self._due = 0.0
        self._missing = -1  # bytes of the answer that are still to come; -1: its head is
        self._head = b""
        self.failure: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, due: float) -> None:
        self._due, self._missing, self._head = due, -1, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._head[:end].lower()
            length = re.search(rb"\r\ncontent-length: *([0-9]+)", head)
            if not head.startswith(b"http/1.1 200 ") or length is None:
                self.failure = head[:80].decode("latin-1")
            self._missing = (int(length[1]) if length else 0) - (len(self._head) - end - 4)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._answered(self, self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        self.failure = self.failure or f"the connection was closed: {exc}"

    def close(self) -> None:
        self._transport.close()


async def _callers(
    port: int, connections: int, answered: "Callable[[_Caller, float], None]"
) -> list[_Caller]:
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: _Caller(answered), "127.0.0.1", port) for _ in range(connections)
    ]
    return [caller for _, caller in opened]


async def _open(asked: Asked, connections: int, seconds: float, per_s: int) -> Figures:
    requests = asked.requests()
    took: list[float] = []
    free: deque[_Caller] = deque()  # all in turn: a connection that is never used is closed as idle
    waiting: deque[float] = deque()

    def answered(caller: _Caller, due: float) -> None:
        took.append(perf_counter() - due)
        if waiting:
            caller.ask(next(requests), waiting.popleft())
        else:
            free.append(caller)

    callers = await _callers(asked.port, connections, answered)
    free += callers
    n_due, began = 0, perf_counter()
    while (now := perf_counter()) < began + seconds:
        # What is due by now goes now; that the timer woke us late is no fault of the server.
        while n_due < (now - began) * per_s:
            n_due += 1
            if free:
                free.popleft().ask(next(requests), perf_counter())
            else:
                waiting.append(now)
        await asyncio.sleep(TICK_S)
    return await _ended(callers, took, n_due, began)


async def _closed(asked: Asked, connections: int, seconds: float) -> Figures:
    requests = asked.requests()
    took: list[float] = []
    n_asked = 0
    ends = perf_counter() + seconds

    def answered(caller: _Caller, due: float) -> None:
        nonlocal n_asked
        now = perf_counter()
        took.append(now - due)
        if now < ends:
            n_asked += 1
            caller.ask(next(requests), now)

    callers = await _callers(asked.port, connections, answered)
    began = perf_counter()
    for caller in callers:
        n_asked += 1
        caller.ask(next(requests), began)
    await asyncio.sleep(seconds)
    return await _ended(callers, took, n_asked, began)


async def _ended(callers: list[_Caller], took: list[float], n_asked: int, began: float) -> Figures:
    """Wait for the last answers, then turn what was measured into figures."""
    give_up = perf_counter() + STALLED_S
    while len(took) < n_asked and perf_counter() < give_up and not any(caller.failure for caller in callers):
        await asyncio.sleep(TICK_S)
    took_s = perf_counter() - began
    failures = [caller.failure for caller in callers if caller.failure]
    for caller in callers:
        caller.close()
    if failures or len(took) < n_asked:
        raise LoadFailed(f"{n_asked - len(took)} of {n_asked} requests were not answered: {failures[:1]}")
    p50, p99, p999 = (1000 * float(x) for x in np.percentile(took, (50, 99, 99.9)))
    return Figures(len(took), took_s, p50, p99, p999)
