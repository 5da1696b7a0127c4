"""The API: `app` for any ASGI server, `create_app` for whoever has settings, `main` for a process of its own.

Nothing is opened at import; the lifespan opens and closes.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract.keys import Keys
from api.errors import register
from api.http.server import Life, serve
from api.log import configure
from api.metrics import Metrics
from api.routes import admin, compat, events, feed, health, metrics
from api.routes.observed import Observed
from api.settings import Settings
from api.store.connection import Address
from api.store.lifeline import Lifeline
from api.store.store import DEGRADABLE_ERRORS, Shelf, Store
from api.tokens import FILE, TokenRegistry, make_first_tokens

log = logging.getLogger(__name__)

State = dict[str, Any]  # what a request finds in `request.state`


class StoreMissing(LookupError):
    """No URL is set, and no embedded store runs."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"no store: ALMANAC_REDIS_URL is empty and none runs in {state_dir}; "
            "set ALMANAC_REDIS_URL or run `almanac store`"
        )


def create_app(
    settings: Settings | None = None, clock: Callable[[], float] = time.time, life: Life | None = None
) -> FastAPI:
    """Make the app; without settings they are read from the environment when it starts.

    Args:
        settings: Where the store is, what is served.
        clock: Epoch seconds; it says what `now` is to a request without a time.
        life: Says when the server is about to stop, where it says so.
    """
    shelf: Shelf = {}
    counted = Metrics()

    @asynccontextmanager
    async def opened() -> AsyncIterator[State]:
        chosen = settings or Settings()
        with located(chosen) as url:
            async with connected(chosen, url, shelf) as store:
                yield {
                    "store": store,
                    "clock": clock,
                    "tokens": TokenRegistry(chosen.state_dir / FILE, chosen.tokens),
                    "metrics": counted,
                    "life": life or Life(),
                }

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        if not logging.getLogger().handlers:
            configure()
        make_first_tokens((settings or Settings()).state_dir / FILE)
        async with opened() as state, watch_tokens(state["tokens"]):
            if state["tokens"].open_to_read:
                log.info("reads.opened", extra={"why": "no token of scope read: whoever asks may read"})
            log.info("api.started", extra={**await _served(state["store"]), **state["tokens"].summary()})
            yield state
        log.info("api.stopped")

    app = FastAPI(
        title="Almanac",
        description="Every user's feed, computed ahead of time and served from Redis.",
        lifespan=lifespan,
    )
    app.add_middleware(Observed)
    app.add_middleware(Doorway, opened=opened)
    for router in (feed.router, events.router, admin.router, compat.router, compat.course, health.router):
        app.include_router(router)
    app.include_router(metrics.router)
    register(app)
    return app


class Doorway:
    """ASGI: opens for a request that no lifespan opened for, and says in one sentence why a start failed.

    FastAPI's TestClient runs the lifespan only inside `with`; outside, each request has an event loop of its
    own, so that no connection can outlive it.
    """

    def __init__(self, app: ASGIApp, opened: Callable[[], AbstractAsyncContextManager[State]]) -> None:
        self._app = app
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] == "lifespan":
            await self._start(scope, receive, send)
        elif "store" in scope.setdefault("state", {}):
            await self._app(scope, receive, send)
        else:
            async with self._opened() as state:
                scope["state"].update(state)
                await self._app(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)  # its text is a traceback
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold)
        except (ValueError, StoreMissing) as exc:
            failed = [{**message, "message": str(exc)} for message in failed]
            raise
        finally:
            for message in failed:
                await send(message)


@contextmanager
def located(settings: Settings) -> Iterator[str]:
    """Give the store's URL; an embedded store does not end while this is held.

    Raises:
        StoreMissing: There is no URL, and no embedded store.
    """
    if settings.redis_url:
        yield settings.redis_url.get_secret_value()
        return
    import fcntl  # here, because only the embedded store needs it and not every system has it

    with ExitStack() as stack:
        try:
            lock = stack.enter_context((settings.state_dir / "store.lock").open("rb"))
            # The store ends when nobody holds its lock any more: first take it, then look whether it runs.
            fcntl.flock(lock, fcntl.LOCK_SH)
            url = str(orjson.loads((settings.state_dir / "store.json").read_bytes())["url"])
        except (FileNotFoundError, KeyError, TypeError, orjson.JSONDecodeError) as exc:
            raise StoreMissing(settings.state_dir) from exc
        yield url


@asynccontextmanager
async def connected(settings: Settings, url: str, shelf: Shelf) -> AsyncIterator[Store]:
    """Open the store at `url` for the running event loop; nothing is read yet.

    Every wait is bounded: for a free connection, to connect, for a reply.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=settings.pool_size,
        timeout=settings.read_timeout_s,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_timeout=settings.read_timeout_s,
        retry=Retry(NoBackoff(), 1),  # once: a restarted store leaves dead connections in the pool
        decode_responses=False,
    )
    address = Address.of(url, settings.connect_timeout_s, settings.read_timeout_s)
    async with Redis.from_pool(pool) as client:
        store = Store(
            client,
            Lifeline(address),
            Keys(settings.prefix),
            settings.variant,
            shelf,
            settings.read_timeout_s,
        )
        try:
            yield store
        finally:
            await store.aclose()


@asynccontextmanager
async def watch_tokens(tokens: TokenRegistry) -> AsyncIterator[None]:
    """Follow the file of tokens for as long."""
    watch = asyncio.create_task(tokens.watch())
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _served(store: Store) -> dict[str, object]:
    """Load the current generation and warm up; where there is none yet, the first request tries again."""
    try:
        generation = await store.read_current(patient=True)
        n_warmed = await store.warm_up()
    except DEGRADABLE_ERRORS as exc:
        log.warning("generation.missing", extra={"why": str(exc)})
        return {"generation": None}
    manifest = generation.manifest
    return {"variant": manifest.variant, "generation": manifest.generation, "n_warmed": n_warmed}


def main() -> None:
    """Serve until told to stop; a start that fails ends with one sentence and exit code 1."""
    configure()
    try:
        settings = Settings()
        with located(settings) as url:
            life = Life()
            serve(create_app(settings.replace(redis_url=url), life=life), life, settings.host, settings.port)
    except (ValueError, StoreMissing) as exc:
        sys.exit(str(exc))


app = create_app()

if __name__ == "__main__":
    main()
