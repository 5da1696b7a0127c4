"""The express lane: uvicorn's HTTP protocol, with plain feed requests answered where their bytes arrive.

    uvicorn api.main:app --http api.http.protocol:Express

An ASGI server spends 30 µs on a request around the app: a parser's calls, a scope, a task, an event, two
sends, every header checked. A client that asks again on the same connection sends the same headers, to the
byte, and only another target. So when a request was parsed, admitted and answered the long way, what followed
its target is remembered, and the next request that ends in the same bytes needs only its target read. All
else goes the long way: another method, a body, several requests at once, other headers, a target that is not
plain, a client that does not read, and every answer that does not come whole from the user's own list.

What a client sends before it has its answers is held as it came, a little of it parsed at a time, and beyond
MOST_HELD reading stops: however much it sends and however little it reads, its memory is bounded.
"""

import logging
from asyncio import Transport
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.feed import Answer, LookUp, answer
from api.routes.answer import head
from api.routes.hot import CHECKER, CHECKER_ROUTE, EXPRESS, checker_query
from api.store.pending import Ask

GET, VERSION, END = b"GET ", b" HTTP/1.1\r\n", b"\r\n\r\n"
LONGEST_HEAD = 4096  # bytes of headers that are worth remembering, per connection
MOST_HELD = 65_536  # bytes that may wait to be parsed before we stop reading
SLICE = 4096  # bytes parsed at a time: at most 228 requests, each of 4 KB until it is answered
LINGER_S = 0.25  # how long a connection without a request stays open once we are stopping
PATHS = frozenset(path.encode() for path in CHECKER)
# Headers that make a request more than its target; `connection` is judged by what the parser made of it.
MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"x-request-id"})


class Tap(FlowControl):
    """Reading from a connection; while it is shut, nobody turns it on."""

    shut = False

    def resume_reading(self) -> None:
        """Read on, unless enough is held."""
        if not self.shut:
            super().resume_reading()


class Express(HttpToolsProtocol):
    """One connection. At most one request of it is in the lane, and then none goes the long way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin as uvicorn's own protocol does."""
        super().__init__(*args, **options)
        self._tail: bytes | None = None  # what follows the target of a request that may take the lane
        self._version = 0  # of the tokens under which that was admitted
        self._arrived = b""  # the request that goes the long way, if it came alone and whole
        self._between = True  # whether the parser has seen whole requests only
        self._asking = False
        self._held = b""
        self._running: RequestResponseCycle | None = None  # whose turn it is; the parser may be ahead
        self._leaving = False
        self._idle_since = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, with a tap of our own."""
        super().connection_made(transport)
        self.flow = self._tap = Tap(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what nobody will read, and tell whose turn it is: uvicorn tells the last one parsed only."""
        self._held = b""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the lane or the long way, each after what came before."""
        if self._asking:
            self._hold(data)
        elif self._tail is not None and self._take(data):
            return
        elif self._held or self.pipeline:
            self._hold(data)
        else:
            self._go_long(data)

    def on_message_begin(self) -> None:
        """Let the app open the lane for what it has admitted."""
        super().on_message_begin()
        self._between = False
        self.scope["extensions"] = {EXPRESS: self._open}  # type: ignore[dict-item]  # ours is a call

    def on_message_complete(self) -> None:
        """Take note that the parser is between two requests."""
        super().on_message_complete()
        self._between = True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with what is held once no request waits for its turn."""
        super().on_response_complete()
        if self._held and not self.pipeline:
            self._go_on()

    def timeout_keep_alive_handler(self) -> None:
        """Close when idle for long enough; the lane does not touch the timer for each request."""
        idle_s = self.loop.time() - self._idle_since
        if self._asking or idle_s < self.timeout_keep_alive:
            self.timeout_keep_alive_task = self.loop.call_later(
                max(self.timeout_keep_alive - idle_s, 0.1), self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Stop, but not before what was asked is answered; a request may be on its way just now, too."""
        self._leaving = True
        if not self._asking and self._is_idle():
            self.loop.call_later(LINGER_S, self._close_if_idle)
        elif not self._asking:
            super().shutdown()

    def reply(self, given: Answer, now_s: int) -> None:
        """Write an answer in one piece."""
        if not self.transport.is_closing():
            content = given.body
            more = tuple(self.server_state.default_headers)
            said = head(given, now_s, len(content), more, closing=self._leaving)
            self.transport.write(b"".join((said, content)))
            self._asking = False
            self.server_state.total_requests += 1
            self.app_state["metrics"].answered[CHECKER_ROUTE, "200", given.rung] += 1
            self._idle_since = self.loop.time()
            if self._leaving:
                self.transport.close()
        self._asking = False
        if self._held:
            self._go_on()

    def hand_over(self, data: bytes) -> None:
        """Let a request from the lane go the long way after all, if it was not answered."""
        if self._asking and not self.transport.is_closing():
            self._asking = False
            held, self._held = self._held, b""
            self._go_long(data)
            self._held = held
            if held:
                self._go_on()
            if self._leaving:
                super().shutdown()
        self._asking = False

    def _take(self, data: bytes) -> bool:
        """Ask for the feed that a request names, if it may take the lane."""
        end = data.find(b" ", len(GET))
        if data[end:] != self._tail or not data.startswith(GET) or self.flow.write_paused:
            return False
        path, _, query = data[len(GET) : end].partition(b"?")
        if path not in PATHS or not self.cycle.response_complete:
            return False
        asked, state = checker_query(query), self.app_state
        if asked is None or state["tokens"].version != self._version or state["life"].ending or self._leaving:
            return False
        user_id, at_s, limit = asked
        now_s = int(state["clock"]())
        self._asking = True
        state["store"].ask(_Reply(self, data, user_id, now_s if at_s is None else at_s, limit, now_s))
        return True

    def _is_idle(self) -> bool:
        return self._between and not self._held and (self.cycle is None or self.cycle.response_complete)

    def _close_if_idle(self) -> None:
        if not self._asking and self._is_idle():
            self.transport.close()

    def _go_long(self, data: bytes) -> None:
        """Give bytes to the parser; forget what was admitted, unless they are one whole request more."""
        whole = self._is_idle() and data.startswith(GET) and data.endswith(END) and data.count(END) == 1
        self._arrived, self._tail = data if whole else b"", self._tail if whole else None
        for start in range(0, len(data), SLICE):
            super().data_received(data[start : start + SLICE])
            if self.pipeline:
                self._hold(data[start + SLICE :])
            if self.pipeline or self.transport.is_closing():
                break
        if self.cycle is not None and (self._leaving or self.app_state["life"].ending):
            self.cycle.keep_alive = False

    def _open(self) -> None:
        """Remember what followed the target of the request that has just been admitted and answered."""
        data, self._arrived = self._arrived, b""
        tail = data[data.find(b" ", len(GET)) :]
        logged = self.config.access_log and self.access_logger.isEnabledFor(logging.INFO)
        plain = self.cycle.keep_alive and not logged and MORE.isdisjoint(dict(self.headers))
        if plain and tail.startswith(VERSION) and len(tail) <= LONGEST_HEAD:
            self._tail, self._version = tail, self.app_state["tokens"].version

    def _hold(self, data: bytes) -> None:
        """Keep what cannot be parsed yet; read no more when it is much."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self._tap.shut = True
            self._tap.pause_reading()

    def _go_on(self) -> None:
        """Go on with what is held, which may be more than can be parsed at once."""
        held, self._held = self._held, b""
        if not self.transport.is_closing():
            self.data_received(held)
            if self._tap.shut and len(self._held) <= MOST_HELD:
                self._tap.shut = False
                self._tap.resume_reading()


class _Reply(Ask):
    """A look-up whose answer is written to a connection."""

    __slots__ = ("data", "express", "limit", "now_s")

    def __init__(
        self, express: Express, data: bytes, user_id: int, at_s: int, limit: int, now_s: int
    ) -> None:
        super().__init__(user_id, at_s)
        self.express = express
        self.data = data
        self.limit = limit
        self.now_s = now_s

    def found(self, found: LookUp) -> None:
        """Answer, if all posts come from the user's own list."""
        given = answer(found, self.limit)
        if given.rung in ("own", "rest") and not found.degraded:
            self.express.reply(given, self.now_s)
        else:
            self.express.hand_over(self.data)

    def failed(self, why: Exception) -> None:  # noqa: ARG002 - the long way finds out again and says why
        """Go the long way."""
        self.express.hand_over(self.data)
