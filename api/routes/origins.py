"""Pages of other origins: which may read our answers, as the browser that shows them is told.

Nothing here admits anybody: tokens do. Starlette answers a browser's question beforehand; what an answer says
is ours, because the HTTP protocol says it too.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.routes.answer import DESCRIBED
from api.routes.observed import NAME

EXPOSED = ", ".join((*DESCRIBED, NAME.decode(), "Retry-After")).encode()


class Origins:
    """The origins of ALMANAC_CORS_ORIGINS; `*` stands for any."""

    def __init__(self, text: str) -> None:
        """Read the setting, which is not empty."""
        self._origins = frozenset(text.replace(",", " ").split())
        self._beforehand = CORSMiddleware(
            _nothing,
            allow_origins=tuple(self._origins),
            allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "X-API-Key", NAME.decode()),
        )

    def headers(self, asked: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return what the answer to a request with these headers says of origins.

        >>> Origins("https://a.example").headers([(b"origin", b"https://b.example")])
        [(b'vary', b'Origin')]
        """
        origin, is_any = dict(asked).get(b"origin"), "*" in self._origins
        said = [] if is_any else [(b"vary", b"Origin")]
        if origin is not None and (is_any or origin.decode("latin-1") in self._origins):
            said.append((b"access-control-allow-origin", b"*" if is_any else origin))
            said.append((b"access-control-expose-headers", EXPOSED))
        return said

    def answer_beforehand(self, asked: Headers) -> Response | None:
        """Return the answer to a browser that asks whether it may send a request; None for any other."""
        if "origin" in asked and "access-control-request-method" in asked:
            return self._beforehand.preflight_response(asked)
        return None


class CrossOrigin:
    """ASGI: tells browsers which origins may read an answer, by `origins` of the state, if any."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app that answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        origins: Origins | None = scope["state"]["origins"] if scope["type"] == "http" else None
        if origins is None:
            return await self._app(scope, receive, send)
        if scope["method"] == "OPTIONS" and (answer := origins.answer_beforehand(Headers(scope=scope))):
            return await answer(scope, receive, send)
        said = origins.headers(scope["headers"])

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *said]
            await send(message)

        return await self._app(scope, receive, tell)


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand where Starlette wants an app."""
