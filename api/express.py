"""The express lane: uvicorn's HTTP protocol, with plain feed requests answered where their bytes arrive.

    uvicorn api.main:app --http api.express:Express

An ASGI server spends 30 µs on a request around the app: a parser's calls, a scope, a task, an event, two
sends, every header checked. A client that asks again on the same connection sends the same headers, to the
byte, and only another target. So when a request was parsed, admitted and answered the long way, what followed
its target is remembered, and the next request that ends in the same bytes needs only its target read. All
else goes the long way: another method, a body, several requests at once, other headers, a target that is not
plain, a client that does not read, and every answer that does not come whole from the user's own list.
"""

import logging
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.contract.buckets import Label
from api.feed import Choice, LookUp, Rung, answer, body
from api.lookup.ask import Ask
from api.routes.answer import label, lasting
from api.routes.hot import CHECKER, CHECKER_ROUTE, EXPRESS, checker_query

GET, VERSION, END = b"GET ", b" HTTP/1.1\r\n", b"\r\n\r\n"
LONGEST_HEAD = 4096  # bytes of headers that are worth remembering, per connection
MOST_HELD = 65_536  # bytes that may arrive while an answer is under way before we stop reading
LINGER_S = 0.25  # how long a connection without a request stays open once we are stopping
PATHS = frozenset(path.encode() for path in CHECKER)
# Headers that make a request more than its target; `connection` is judged by what the parser made of it.
MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"x-request-id"})


class Express(HttpToolsProtocol):
    """One connection. At most one request of it is in the lane, and then none goes the long way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Begin as uvicorn's own protocol does."""
        super().__init__(*args, **options)
        self._tail: bytes | None = None  # what follows the target of a request that may take the lane
        self._version = 0  # of the rights under which that was admitted
        self._arrived = b""  # the request that goes the long way, if it came alone and whole
        self._between = True  # whether the parser has seen whole requests only
        self._asking = False
        self._held = b""
        self._leaving = False
        self._idle_since = 0.0

    def data_received(self, data: bytes) -> None:
        """Take the lane or the long way."""
        if self._asking:
            self._held += data
            if len(self._held) > MOST_HELD:
                self.flow.pause_reading()
        elif self._tail is None or not self._take(data):
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

    def reply(self, found: LookUp, choice: Choice, now_s: int) -> None:
        """Write an answer in one piece."""
        if not self.transport.is_closing():
            content = body(choice, found.generation.posts)
            self.transport.write(b"".join((self._head(found, choice, now_s, len(content)), content)))
            self.server_state.total_requests += 1
            self.app_state["metrics"].answered[CHECKER_ROUTE, "200", choice.rung] += 1
            self._idle_since = self.loop.time()
            if self._leaving:
                self.transport.close()
        self._leave()

    def hand_over(self, data: bytes) -> None:
        """Let a request from the lane go the long way after all."""
        held, self._held = self._held, b""
        self._asking = False
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._go_long(data)
            if held:
                self._go_long(held)
            if self._leaving:
                super().shutdown()

    def _take(self, data: bytes) -> bool:
        """Ask for the feed that a request names, if it may take the lane."""
        end = data.find(b" ", len(GET))
        if data[end:] != self._tail or not data.startswith(GET) or self.flow.write_paused:
            return False
        path, _, query = data[len(GET) : end].partition(b"?")
        if path not in PATHS or not self.cycle.response_complete:
            return False
        asked, state = checker_query(query), self.app_state
        if asked is None or state["rights"].version != self._version or state["life"].ending or self._leaving:
            return False
        user_id, at_s, limit = asked
        now_s = int(state["clock"]())
        self._asking = True
        state["store"].ask(_Reply(self, data, user_id, now_s if at_s is None else at_s, limit, now_s))
        return True

    def _is_idle(self) -> bool:
        return self._between and (self.cycle is None or self.cycle.response_complete)

    def _close_if_idle(self) -> None:
        if not self._asking and self._is_idle():
            self.transport.close()

    def _go_long(self, data: bytes) -> None:
        """Give bytes to the parser; forget what was admitted, unless they are one whole request more."""
        whole = self._is_idle() and data.startswith(GET) and data.endswith(END) and data.count(END) == 1
        self._arrived, self._tail = data if whole else b"", self._tail if whole else None
        super().data_received(data)
        if self.cycle is not None and (self._leaving or self.app_state["life"].ending):
            self.cycle.keep_alive = False

    def _open(self) -> None:
        """Remember what followed the target of the request that has just been admitted and answered."""
        data, self._arrived = self._arrived, b""
        tail = data[data.find(b" ", len(GET)) :]
        logged = self.config.access_log and self.access_logger.isEnabledFor(logging.INFO)
        plain = self.cycle.keep_alive and not logged and MORE.isdisjoint(dict(self.headers))
        if plain and tail.startswith(VERSION) and len(tail) <= LONGEST_HEAD:
            self._tail, self._version = tail, self.app_state["rights"].version

    def _leave(self) -> None:
        """Go on with what arrived meanwhile."""
        self._asking = False
        if self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held)

    def _head(self, found: LookUp, choice: Choice, now_s: int, n_bytes: int) -> bytes:
        """Return the status line and the headers, the same as the long way's."""
        manifest, pointer = found.generation.manifest, found.pointer
        return b"%b%b%bx-almanac-age: %d\r\nx-almanac-fact-age: %d\r\n%bcontent-length: %d\r\n\r\n" % (
            b"HTTP/1.1 200 OK\r\n",
            _text(tuple(self.server_state.default_headers)),
            _shared(pointer.generation, found.bucket_s, choice.rung, label(found)),
            max(0, now_s - pointer.promoted_at_s),
            max(0, found.at_s - manifest.as_of_s),
            b"content-type: application/json\r\nconnection: close\r\n"
            if self._leaving
            else b"content-type: application/json\r\n",
            n_bytes,
        )


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
        choice = answer(found, self.limit)
        if choice.rung in ("own", "rest") and not found.degraded:
            self.express.reply(found, choice, self.now_s)
        else:
            self.express.hand_over(self.data)

    def failed(self, why: Exception) -> None:  # noqa: ARG002 - the long way finds out again and says why
        """Go the long way."""
        self.express.hand_over(self.data)


@lru_cache(maxsize=8)
def _text(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


@lru_cache(maxsize=4096)
def _shared(generation: int, bucket_s: int, rung: Rung, said: Label) -> bytes:
    return _text(tuple(lasting(generation, bucket_s, rung, said)))
