"""One request that the ASGI app answers: HTTP on the side of the connection, ASGI messages on the app's.

Each exchange has a parser of its own, which sees the bytes of no other request. An answer is written when it
is complete: our routes answer a few KB at once.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Message, Scope

if TYPE_CHECKING:
    from api.http.protocol import FeedHttpProtocol

log = logging.getLogger(__name__)

MOST_BODY = 65_536  # bytes of a body that may wait for the app, or be thrown away behind an early answer
LOOPBACK = ("127.0.0.1", "::1")  # a proxy on this machine may name the scheme that its client used


class Exchange:
    """A request as far as it has come, and what the app has answered so far.

    Attributes:
        headers: Names in lower case, in order.
        keep_alive: Whether another request may follow on the connection.
        is_whole: Whether the request has come to its end.
        is_over: Whether nothing more will be sent: it is answered, or the client has gone.
    """

    def __init__(self, connection: "FeedHttpProtocol", head: bytes) -> None:
        """Parse a whole head.

        Raises:
            httptools.HttpParserError: This is no HTTP.
        """
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = self.is_whole = self.is_over = False
        self._connection = connection
        self._method = self._version = ""
        self._url = self._body = b""
        self._left: int | None = None  # bytes of the body still to come; None where it comes in chunks
        self._is_read = False  # whether the app has been given the end of the request
        self._awaits_continue = False
        self._news = asyncio.Event()
        self._answer: tuple[int, list[tuple[bytes, bytes]]] = (500, [])
        self._content = b""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._feed(head)
        self._target = httptools.parse_url(self._url)
        # Only the parser knows where chunks end, and it must not see another request.
        self.keep_alive &= self.is_whole or self._left is not None

    @property
    def awaits_body(self) -> bool:
        """Tell whether a part of the body is missing, and there is room for it."""
        return not self.is_whole and len(self._body) <= MOST_BODY

    def take_body(self, data: bytearray) -> int:
        """Parse a part of the body; return how many bytes of `data` it was. A body in chunks takes all.

        Raises:
            httptools.HttpParserError: This is no HTTP.
        """
        part = bytes(data[: self._left])
        if self._left is not None:
            self._left -= len(part)
        self._feed(part)
        self._news.set()
        return len(part)

    def end(self) -> None:
        """Send nothing more."""
        self.is_over = True
        self._news.set()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer; where it comes to no end the answer is 500."""
        try:
            await app({**scope, **self._scope(scope["client"])}, self._receive, self._send)
        except Exception:
            if not self.is_over:
                log.exception("request.failed", extra={"route": "none"})
        if not self.is_over:
            self._answer, self._content, self.keep_alive = (500, []), b"", False
            self._finish()

    def on_message_begin(self) -> None:
        """Begin; what follows the last chunk is not read."""
        if self.is_whole:
            raise httptools.HttpParserError

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self._left = int(value)
        elif name == b"expect":
            self._awaits_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Take what the head says. Who asks for another protocol is answered in this one, then let go."""
        parser = self._parser
        self._method, self._version = parser.get_method().decode(), parser.get_http_version()
        keep_alive = parser.should_keep_alive() and not parser.should_upgrade()
        self.keep_alive = keep_alive and self._version == "1.1"

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, unless nobody will read it."""
        if not self.is_over:
            self._body += body

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self.is_whole = True

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            if not self.is_whole:
                raise
        if self.is_whole:
            self._parser = None  # the two know each other: else only the garbage collector would end them

    def _scope(self, client: tuple[str, int]) -> Scope:
        path = self._target.path or b"*"
        named = dict(self.headers).get(b"x-forwarded-proto") if client[0] in LOOPBACK else None
        return {
            "http_version": self._version,
            "method": self._method,
            "scheme": "https" if named == b"https" else "http",
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": self._target.query or b"",
            "headers": self.headers,
        }

    async def _receive(self) -> Message:
        if self._awaits_continue and not self.is_whole:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._awaits_continue = False
        while not (self.is_over or self._body or self.is_whole > self._is_read):
            self._news.clear()
            await self._news.wait()
        if self.is_over:
            return {"type": "http.disconnect"}
        body, self._body, self._is_read = self._body, b"", self.is_whole
        message: Message = {"type": "http.request", "body": body, "more_body": not self._is_read}
        self._connection.advance()  # it stopped reading if the body was long
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answer = (message["status"], list(message.get("headers", ())))
        else:
            self._content += message.get("body", b"")
            if not self.is_over and not message.get("more_body", False):
                self._finish()

    def _finish(self) -> None:
        """Write the answer."""
        (status, headers), server = self._answer, self._connection.server
        self.keep_alive &= not server.life.ending and (self._left or 0) <= MOST_BODY
        lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()), server.date]
        lines += [b"%b: %b" % header for header in headers]
        if b"content-length" not in dict(headers) and status not in (204, 304):
            lines.append(b"content-length: %d" % len(self._content))
        if not self.keep_alive:
            lines.append(b"connection: close")
        content = b"" if self._method == "HEAD" else self._content
        self._connection.transport.write(b"\r\n".join((*lines, b"", content)))
        self.end()
        self._connection.advance()
