"""What the API opens when it starts and closes when it stops: the store, and the watch over its tokens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import Any, cast

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.address import is_cluster, is_watched, options_of, read_nodes
from api.log import configure
from api.settings import Settings
from api.store.cache import Shelf
from api.store.connection import Address
from api.store.errors import DEGRADABLE_ERRORS
from api.store.store import Store
from api.store.texts import SharedTexts
from api.tokens import FILE, make_first_tokens
from api.variables import find_unknown

log = logging.getLogger(__name__)

KEEP_EVERY_S = 1.0  # what `/metrics` of another process may be behind

State = dict[str, Any]  # what a request finds in `request.state`
OpenState = Callable[[], AbstractAsyncContextManager[State]]


class StoreMissing(LookupError):
    """No URL is set, and no embedded store runs."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"no store: ALMANAC_REDIS_URL is empty and none runs in {state_dir}; "
            "set ALMANAC_REDIS_URL or run `almanac store`"
        )


class LazyLifespan:
    """ASGI: opens the state for a request that no lifespan opened it for; a failed start is one sentence.

    FastAPI's TestClient runs the lifespan only inside `with`; outside, each request has an event loop of its
    own, so that no connection can outlive it.
    """

    def __init__(self, app: ASGIApp, open_state: OpenState) -> None:
        self._app = app
        self._open_state = open_state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] == "lifespan":
            await self._start(scope, receive, send)
        elif "store" in scope.setdefault("state", {}):
            await self._app(scope, receive, send)
        else:
            async with self._open_state() as state:
                scope["state"].update(state)
                await self._app(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop; Starlette's message of a failed start is a traceback, ours the error's sentence."""
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
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


@asynccontextmanager
async def run_lifespan(settings: Settings, open_state: OpenState) -> AsyncIterator[State]:
    """Open the state, load what is current, and follow the file of tokens until the API stops."""
    if not logging.getLogger().handlers:
        configure()
    for name, nearest in find_unknown().items():
        log.warning("setting.unknown", extra={"variable": name, "nearest": nearest})
    make_first_tokens(settings.state_dir / FILE)
    async with open_state() as state:
        tokens = state["tokens"]
        watching = [asyncio.create_task(tokens.watch()), asyncio.create_task(_keep_counts(state))]
        try:
            if tokens.open_to_read:
                log.info("reads.opened", extra={"why": "no token of scope read: whoever asks may read"})
            log.info("api.started", extra={**await _warm_up(state["store"]), **tokens.summary()})
            yield state
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            state["metrics"].keep(state["store"])
    log.info("api.stopped")


@contextmanager
def find_store(settings: Settings) -> Iterator[str]:
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
async def connect_store(
    settings: Settings, url: str, shelf: Shelf, folder: Path | None = None
) -> AsyncIterator[Store]:
    """Open the store at `url` for the running event loop; nothing is read yet.

    Every wait is bounded: for a free connection, to connect, for a reply. `folder` is what the processes of
    an address share.
    """
    address = Address(url, settings.connect_timeout_s, settings.read_timeout_s)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_make_client(settings, url, stack))
        keys, wait_s = settings.keys, settings.read_timeout_s
        store = Store(
            client,
            address,
            keys,
            settings.variant,
            shelf,
            wait_s,
            experiments=settings.experiments == "on",
            exposures_mb=settings.exposures_waiting_mb,
            overlay_places=settings.overlay_places if settings.overlay == "on" else 0,
            texts=SharedTexts(folder) if folder else None,
            n_copies=settings.events_wait,
        )
        try:
            yield store
        finally:
            await store.aclose()


async def _keep_counts(state: State) -> None:
    """Write down what has been counted, once a second, where others of the address may ask for it."""
    while state["metrics"].shared:
        state["metrics"].keep(state["store"])
        await asyncio.sleep(KEEP_EVERY_S)


def _make_client(settings: Settings, url: str, stack: AsyncExitStack) -> Redis:
    """Return redis-py's client for what is not hot, unconnected; `stack` ends what else it opens."""
    waits = {
        "socket_connect_timeout": settings.connect_timeout_s,
        "socket_timeout": settings.read_timeout_s,
        "retry": Retry(NoBackoff(), 1),  # once: a restarted store leaves dead connections in the pool
        "decode_responses": False,
    }
    if is_cluster(url):
        nodes = read_nodes(url)
        startup = [ClusterNode(host, port) for host, port in nodes.places]
        waits |= {"startup_nodes": startup, "max_connections": settings.pool_size}
        return cast("Redis", RedisCluster.from_url(nodes.url_of(nodes.places[0]), **waits))
    if is_watched(url):
        nodes = read_nodes(url)
        brief = {name: waits[name] for name in ("socket_connect_timeout", "socket_timeout")}
        watchers = Sentinel(list(nodes.places), **brief)  # type: ignore[no-untyped-call]
        for one in watchers.sentinels:
            stack.push_async_callback(one.aclose)
        options = {**options_of(nodes), **waits, "max_connections": settings.pool_size}
        return cast("Redis", watchers.master_for(nodes.service, **options))
    pool = BlockingConnectionPool.from_url(
        url, max_connections=settings.pool_size, timeout=settings.read_timeout_s, **waits
    )
    return Redis.from_pool(pool)


async def _warm_up(store: Store) -> dict[str, object]:
    """Load the current generation and warm up; where there is none yet, the first request tries again."""
    try:
        manifest = (await store.read_current(patient=True)).manifest
        n_warmed = await store.warm_up()
    except DEGRADABLE_ERRORS as exc:
        log.warning("generation.missing", extra={"why": str(exc)})
        return {"generation": None}
    return {"variant": manifest.variant, "generation": manifest.generation, "n_warmed": n_warmed}
