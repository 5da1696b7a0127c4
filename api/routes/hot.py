"""The feed routes as raw ASGI: what a plain request needs and no more.

FastAPI's routing, injection and response cost more than the whole look-up. A request that is not plain (an
unknown or repeated parameter, a value that cannot be read, another method) is left to the routes of
`feed.py`, which answer the same, or with 422 in FastAPI's own shape.
"""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import may_read
from api.errors import unavailable
from api.metrics import Metrics
from api.routes.answer import Headers, headers
from api.routes.feed import native_body
from api.routes.observed import NAME, id_of
from api.schemas.moment import read_time
from api.schemas.value import DEFAULT_LIMIT, read_limit, read_user_id
from api.store.store import BAD_DAY, Store

EXPRESS = "almanac.express"  # the extension of the ASGI scope by which `express.py` is let in
JSON = (b"content-type", b"application/json")
CHECKER = frozenset({"/post/recommendations/", "/post/recommendations"})
CHECKER_ROUTE, NATIVE_ROUTE = "/post/recommendations/", "/users/{user_id}/feed"  # as they are counted
NATIVE_HEAD, NATIVE_TAIL = "/users/", "/feed"

_limits = lru_cache(maxsize=256)(read_limit)
_minutes = lru_cache(maxsize=65_536)(read_time)  # six weeks of minutes
_SECONDS = {f":{second:02d}": second for second in range(60)}


class Life:
    """Whether the server is about to stop: then answers ask the client to come back on a new connection."""

    def __init__(self) -> None:
        """Begin alive."""
        self.ending = False


class Hot:
    """ASGI: answers plain feed requests, passes on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the app that answers all else."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["method"] == "GET" and _admitted(scope):
            path = scope["path"]
            if path in CHECKER:
                asked = checker_query(scope["query_string"])
                if asked is not None:
                    return await _checker(self._app, scope, receive, send, *asked)
            elif path.startswith(NATIVE_HEAD) and path.endswith(NATIVE_TAIL):
                asked = native_query(path[len(NATIVE_HEAD) : -len(NATIVE_TAIL)], scope["query_string"])
                if asked is not None:
                    return await _native(self._app, scope, receive, send, *asked)
        return await self._app(scope, receive, send)


def _admitted(scope: Scope) -> bool:
    """Say whether this may be answered here: all is open, and the request may read."""
    state = scope.get("state", {})
    return "store" in state and may_read(state["tokens"], scope["headers"])


def checker_query(query: bytes) -> tuple[int, int | None, int] | None:
    """Read user, time and limit of a plain query; None if it is not plain.

    >>> checker_query(b"id=200&time=2021-12-20T00:00:00&limit=5")
    (200, 1639958400, 5)
    >>> checker_query(b"id=200&limit=five"), checker_query(b"limit=5")
    (None, None)
    """
    return _read(query, "id", "time")


def native_query(user_id: str, query: bytes) -> tuple[int, int | None, int] | None:
    """Read user, time and limit of a plain request of our own shape; None if it is not plain.

    >>> native_query("200", b"at=2021-12-20T00:00:00")
    (200, 1639958400, 10)
    >>> native_query("200", b"cursor=1.2.3.4.5") is native_query("me", b"") is None
    True
    """
    if not user_id.isascii() or not user_id.isdigit() or len(user_id) > 18:
        return None
    return _read(b"%b&id=%b" % (query, user_id.encode()) if query else b"id=" + user_id.encode(), "id", "at")


def _read(query: bytes, user_name: str, time_name: str) -> tuple[int, int | None, int] | None:
    user_id = at_s = limit = None
    try:
        for part in query.decode("ascii").split("&"):
            name, _, text = part.partition("=")
            if "%" in text or "+" in text:
                text = unquote_plus(text)
            if name == user_name and user_id is None:
                user_id = read_user_id(text)
            elif name == time_name and at_s is None:
                at_s = _time(text)
            elif name == "limit" and limit is None:
                limit = _limits(text)
            else:
                return None
    except ValueError:
        return None
    return None if user_id is None else (user_id, at_s, DEFAULT_LIMIT if limit is None else limit)


def _time(text: str) -> int:
    """Read a time as `read_time` does; the common form from its minute, which many requests share."""
    second = _SECONDS.get(text[16:])
    return read_time(text) if second is None else _minutes(text[:16]) + second


async def _checker(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, user_id: int, at_s: int | None, limit: int
) -> None:
    store, now_s = _here(scope)
    try:
        given = await store.answer(user_id, now_s if at_s is None else at_s, limit)
    except BAD_DAY as exc:
        return await _away(CHECKER_ROUTE, exc, scope, receive, send)
    except Exception:
        return await app(scope, receive, send)  # a bug of ours: there it is answered, counted and logged
    _metrics(scope).fed(CHECKER_ROUTE, given)
    await _send(scope, send, given.body, headers(given, now_s))
    express = scope.get("extensions", {}).get(EXPRESS)
    if express is not None:
        express()
    return None


async def _native(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, user_id: int, at_s: int | None, limit: int
) -> None:
    store, now_s = _here(scope)
    try:
        given = await store.answer(user_id, now_s if at_s is None else at_s, limit, paged=True)
    except BAD_DAY as exc:
        return await _away(NATIVE_ROUTE, exc, scope, receive, send)
    except Exception:
        return await app(scope, receive, send)  # as in `_checker`
    _metrics(scope).fed(NATIVE_ROUTE, given)
    await _send(scope, send, native_body(given), headers(given, now_s))
    return None


def _here(scope: Scope) -> tuple[Store, int]:
    state = scope["state"]
    clock: Callable[[], float] = state["clock"]
    store: Store = state["store"]
    return store, int(clock())


def _metrics(scope: Scope) -> Metrics:
    metrics: Metrics = scope["state"]["metrics"]
    return metrics


async def _away(route: str, exc: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    _metrics(scope).answered[route, "503", ""] += 1
    away = unavailable(exc)
    away.headers[NAME.decode()] = id_of(scope["headers"]).decode("ascii")
    await away(scope, receive, send)


async def _send(scope: Scope, send: Send, content: bytes, said: Headers) -> None:
    said += (JSON, (b"content-length", b"%d" % len(content)), (NAME, id_of(scope["headers"])))
    await send({"type": "http.response.start", "status": 200, "headers": said})
    await send({"type": "http.response.body", "body": content})
