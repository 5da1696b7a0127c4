"""What every request and answer must be, before any page: our own host, and headers that keep others out."""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PORT = re.compile(r":\d{1,5}$")


class Guard:
    """Refuses requests by another name than ours, as pages elsewhere send them that point a name at us."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """Guard an app; `hosts` are the names that browsers may call it by, without ports."""
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app if self._is_ours(Headers(scope=scope).getlist("host")) else _MISDIRECTED
        await app(scope, receive, send_guarded)

    def _is_ours(self, hosts: list[str]) -> bool:
        return len(hosts) == 1 and _PORT.sub("", hosts[0].lower()) in self._hosts


_MISDIRECTED = PlainTextResponse("this name is not ours: give it by --name", 421)
