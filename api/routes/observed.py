"""Around every route but the hottest: a request has an id, and its answer is counted.

The hottest give and count for themselves; the ids are the same.
"""

import itertools
import logging
import secrets
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.log import request_id
from api.metrics import Metrics

log = logging.getLogger(__name__)

NAME = b"x-request-id"
LONGEST = 128
MADE = b"%016x"  # how an id that we make is written

# Counting from a number drawn at random costs a tenth of drawing each, and is as unlikely to meet another's.
number = itertools.count(secrets.randbits(60)).__next__


class Observed:
    """ASGI: gives each request its id and counts its answer by route, status and rung."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app that answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = id_of(scope["headers"])
        said = request_id.set(own.decode("ascii"))

        async def observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (NAME, own)]
                _count(scope, str(message["status"]), message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, observe)
        except Exception:
            _count(scope, "500", ())
            log.exception("request.failed", extra={"route": _route(scope)})
            raise
        finally:
            request_id.reset(said)


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the id that a client gave its request, if it may stand in a log; else one of our own.

    >>> id_of([(b"x-request-id", b"a-1")])
    b'a-1'
    >>> len(id_of([(b"x-request-id", b"two words")])), id_of([]) == id_of([])
    (16, False)
    """
    for name, value in headers:
        if name == NAME and 0 < len(value) <= LONGEST and all(0x21 <= byte <= 0x7E for byte in value):
            return value
    return MADE % number()


def _count(scope: Scope, status: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    metrics: Metrics | None = scope.get("state", {}).get("metrics")
    if metrics is None:
        return
    said = {name: value.decode("latin-1") for name, value in headers}
    told = (said.get(name, "") for name in (b"x-almanac-rung", b"x-almanac-degraded", b"x-almanac-underfill"))
    route = _route(scope)
    metrics.count(route, status, *told)
    log.debug("request.done", extra={"route": route, "status": status})


def _route(scope: Scope) -> str:
    """Return the path as it stands in OpenAPI; a path that is none of ours has no name of its own."""
    return str(getattr(scope.get("route"), "path_format", "none"))
