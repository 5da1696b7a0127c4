"""HTTP/1.1: plain feed requests are answered where their bytes arrive, all others by the ASGI app.

Theory of operation. Bytes that cannot be used yet are held. A head is cut off at its empty line, so that what
is parsed is one request and no more; a connection's requests are answered one after another. A plain feed
request (`api/routes/hot.py`) is looked up with those of all other connections, without task, ASGI scope or
middleware. A client that asks again on its connection sends the same headers, to the byte, so headers that
were parsed and admitted once are compared instead of parsed. What the user's own list does not answer, and
every other request, is an `Exchange` with the app.

    state     begins with       bytes that come        ends with                or when it lasts
    waiting   the connection,   held until a head is   a whole head             idle_s without a byte; HEAD_S
              or an answer      whole                                           (408); MOST_HEAD bytes (431)
    looking   a plain feed      held                   the store's reply: an    (the store's own time-out)
              request                                  answer, or an exchange
    exchange  any other head,   parsed until the       a whole request and      BODY_S without a byte of the
              or such a reply   request is whole       its whole answer         body
    closing   a last answer     dropped                all bytes sent           UNREAD_S

In every state: what cannot be used yet stops reading, so no more is held than a head, or one read beside a
request; while a client leaves MUCH_UNREAD, none of its requests begins; when it leaves anything unread for
UNREAD_S, it is cut off. What all connections may cost together is the server's to say.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools
from starlette.types import Scope

from api.auth import may_read
from api.feed import Answer
from api.http.exchange import Exchange
from api.routes.answer import head
from api.routes.hot import FeedLookup, read_plain
from api.routes.observed import NAME, id_of

if TYPE_CHECKING:
    from api.http.server import Server

GET, VERSION, END = b"GET ", b" HTTP/1.1", b"\r\n\r\n"
MOST_HEAD, MOST_LINES = 32_768, 100  # bytes, and lines: 8,000 empty headers took 15 ms to parse, 2026-11-29
MUCH_UNREAD = 16_384  # bytes of answers, beside those that the system keeps
HEAD_S, BODY_S, UNREAD_S = 10.0, 30.0, 30.0


class FeedHttpProtocol(asyncio.BufferedProtocol):
    """One connection. A `BufferedProtocol`, because an event loop gives others as much at once as it likes.

    Attributes:
        server: Whose it is.
        transport: Its other side.
        since: When it connected, or when its last answer came to its end; loop's clock.
        is_answered: Whether it has ever had an answer.
        unread_since: Since when its client has left anything unread, at least.
    """

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        """Begin with nothing."""
        self.server = server
        self._loop = asyncio.get_running_loop()
        self.since = self._heard = self._loop.time()  # `_heard`: a head's begin, or a body's last part
        self.is_answered = False
        self._is_unread = False  # whether the client has left much unread
        self.unread_since: float | None = None  # since when it has left anything unread, at least
        self._is_deaf = False  # whether reading is stopped
        self._held = bytearray()
        self._lookup: FeedLookup | None = None
        self._head = b""  # of the request that is looked up
        self._exchange: Exchange | None = None
        self._admitted: tuple[bytes, int] | None = None  # headers that may read; of which tokens
        self._keep_alive = True  # what those headers say of the connection
        self._ids: list[tuple[bytes, bytes]] = []  # and the header that names the request
        self._of_origin = b""  # what their answers say of origins: whole headers

    @property
    def is_waiting(self) -> bool:
        """Tell whether no request is under way."""
        return self._lookup is None and self._exchange is None

    @property
    def is_idle(self) -> bool:
        """Tell whether no byte of a request is here."""
        return self.is_waiting and not self._held

    @property
    def has_request(self) -> bool:
        """Tell whether a whole request is here that has not been answered."""
        return self._lookup is not None or (self._exchange is not None and self._exchange.is_whole)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the others."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own does not derive from it
        self.transport.set_write_buffer_limits(high=MUCH_UNREAD)
        self.server.join(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - we read as much as we hold
        """Return where the next bytes go: one place for all connections, emptied at once."""
        return self.server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that have come."""
        self.data_received(bytes(self.server.buffer[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why makes no difference
        """Forget what nobody will read; tell the app."""
        self.server.connections.discard(self)
        self._held.clear()
        if self._exchange is not None:
            self._exchange.end()

    def shutdown(self) -> None:
        """Close, once what is written has been read."""
        self.transport.close()

    def pause_writing(self) -> None:
        """Begin no request: much is unread."""
        self._is_unread = True
        if self.unread_since is None:
            self.unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """Go on: most has been read."""
        self._is_unread = False
        self.unread_since = None
        self.advance()

    def data_received(self, data: bytes) -> None:
        """Begin a request that comes alone and whole; hold all else."""
        is_head = data.endswith(END) and data.find(END) + len(END) == len(data) <= MOST_HEAD
        if is_head and self.is_idle and not self._is_unread:
            self._begin(data)
        else:
            if self.is_idle:
                self._heard = self._loop.time()
            self._held += data
            self.advance()

    def advance(self) -> None:
        """Go from state to state as far as the bytes held lead."""
        self._leave_exchange()
        while self._held and not self._is_unread and not self.transport.is_closing():
            if self._exchange is not None and self._exchange.awaits_body:
                self._feed(self._exchange)
            elif not self.is_waiting:
                break
            elif (end := self._held.find(END, 0, MOST_HEAD)) >= 0:
                whole = bytes(self._held[: end + len(END)])
                del self._held[: len(whole)]
                self._begin(whole)
            elif len(self._held) >= MOST_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            else:
                break
            self._leave_exchange()
        if self.transport.is_closing():
            return
        if (bool(self._held) and (self._is_unread or not self.is_waiting)) != self._is_deaf:
            self._is_deaf = not self._is_deaf
            (self.transport.pause_reading if self._is_deaf else self.transport.resume_reading)()

    def look(self, now: float) -> None:
        """End what has taken too long; called about once a second."""
        if not self.transport.get_write_buffer_size():
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        elif now - self.unread_since > UNREAD_S:
            self.transport.abort()
        if self.transport.is_closing():
            return
        silent_s = now - self._heard
        if self.is_idle and now - self.since > self.server.idle_s:
            self.transport.close()
        elif self.is_waiting and self._held and silent_s > HEAD_S and not self._is_unread:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._exchange is not None and self._exchange.awaits_body and silent_s > BODY_S:
            self.transport.abort()

    def _reply(self, lookup: FeedLookup, given: Answer, content: bytes) -> None:
        """Answer a plain feed request in one piece."""
        self._lookup, server = None, self.server
        if self.transport.is_closing():
            return
        closing = server.life.ending or not self._keep_alive
        state = server.state
        state["metrics"].count(lookup.asked.route, "200", given.rung)
        request_id = id_of(self._ids)
        if given.placed is not None:
            state["store"].exposures.note(given, request_id, state["clock"])
        date = server.date + self._of_origin if self._of_origin else server.date
        said = head(given, lookup.now_s, len(content), date, request_id, closing=closing)
        self.transport.write(said + content)
        self._await_next()
        if closing:
            self.transport.close()
        elif self._held:
            self.advance()

    def _hand_over(self, lookup: FeedLookup) -> None:
        """Let the app answer a plain feed request after all, unless it has been answered."""
        if self._lookup is lookup:
            self._lookup = None
            if not self.transport.is_closing():
                self._open_exchange(Exchange(self, self._head))

    def _begin(self, request: bytes) -> None:
        """Look up what a plain feed request asks for; let the app answer any other."""
        line, _, headers = request.partition(b"\r\n")
        plain = line.startswith(GET) and line.endswith(VERSION)
        asked = read_plain(line[len(GET) : -len(VERSION)]) if plain else None
        state = self.server.state
        if asked is None or (headers, state["tokens"].version) != self._admitted:
            if request.count(b"\n") > MOST_LINES:
                return self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            try:
                exchange = Exchange(self, request)
            except httptools.HttpParserError:
                return self._refuse(HTTPStatus.BAD_REQUEST)
            if asked is None or not self._admit(headers, exchange):
                return self._open_exchange(exchange)
        self._head = request
        store, now_s = state["store"], int(state["clock"]())
        self._lookup = FeedLookup(asked, now_s, store.see_all, self._reply, self._hand_over)
        store.add(self._lookup)
        return None

    def _admit(self, headers: bytes, exchange: Exchange) -> bool:
        """Tell whether a plain feed request may be answered here; if so remember its headers."""
        tokens = self.server.state["tokens"]
        if not exchange.is_whole or not may_read(tokens, exchange.headers):
            return False
        self._admitted, self._keep_alive = (headers, tokens.version), exchange.keep_alive
        self._ids = [header for header in exchange.headers if header[0] == NAME]
        origins = self.server.state["origins"]
        said = origins.headers(exchange.headers) if origins else ()
        self._of_origin = b"".join(b"\r\n%b: %b" % header for header in said)
        return True

    def _open_exchange(self, exchange: Exchange) -> None:
        self._exchange, self._heard = exchange, self._loop.time()
        get, server = self.transport.get_extra_info, self.server
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": get("sockname")[:2],
            "client": (get("peername") or ("", 0))[:2],  # nothing when it has gone already
            "root_path": server.config.root_path,
            "state": dict(server.state),
        }
        task = self._loop.create_task(exchange.run(server.app, scope))
        server.exchanges.add(task)
        task.add_done_callback(server.exchanges.discard)

    def _await_next(self) -> None:
        """Begin to wait for the next request."""
        self.since = self._heard = self._loop.time()
        self.is_answered = True

    def _leave_exchange(self) -> None:
        """Wait for the next request if this one is read and answered to its end."""
        exchange = self._exchange
        if exchange is not None and exchange.is_over and (exchange.is_whole or not exchange.keep_alive):
            self._exchange = None
            self._await_next()
            if not exchange.keep_alive:
                self.transport.close()

    def _feed(self, exchange: Exchange) -> None:
        try:
            del self._held[: exchange.take_body(self._held)]
        except httptools.HttpParserError:
            exchange.end()
            self._refuse(HTTPStatus.BAD_REQUEST)
        self._heard = self._loop.time()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer that this cannot be answered, and read no more."""
        line = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
        self.transport.write(line + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
