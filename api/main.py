"""The API: `app` for any ASGI server, `create_app` for whoever has settings, `main` for a process of its own.

Nothing is opened at import; the lifespan opens and closes.
"""

import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from api.counts import SharedCounts
from api.errors import register
from api.http.seat import Seat
from api.http.server import CannotListen, Life, serve
from api.http.workers import supervise
from api.lifespan import LazyLifespan, State, StoreMissing, connect_store, find_store, run_lifespan
from api.log import configure
from api.metrics import Metrics
from api.routes import admin, compat, events, feed, health, marketplace, pipelines, similar
from api.routes.head import HeadAsGet
from api.routes.observed import Observed
from api.routes.origins import CrossOrigin, Origins
from api.settings import Settings
from api.store.cache import Shelf
from api.tokens import FILE, TokenRegistry


def create_app(
    settings: Settings | None = None,
    clock: Callable[[], float] = time.time,
    life: Life | None = None,
    folder: Path | None = None,
) -> FastAPI:
    """Make the app; without settings they are read from the environment when it starts.

    Args:
        settings: Where the store is, what is served.
        clock: Epoch seconds; it says what `now` is to a request without a time.
        life: Says when the server is about to stop, where it says so.
        folder: What the processes of one address share; None: this is the only one.
    """
    shelf: Shelf = {}
    counts = Metrics(SharedCounts(folder) if folder else None)

    @asynccontextmanager
    async def open_state() -> AsyncIterator[State]:
        chosen = settings or Settings()
        with find_store(chosen) as url:
            async with connect_store(chosen, url, shelf, folder) as store:
                yield {
                    "store": store,
                    "clock": clock,
                    "tokens": TokenRegistry(chosen.state_dir / FILE, chosen.tokens.get_secret_value()),
                    "metrics": counts,
                    "life": life or Life(),
                    "origins": Origins(chosen.cors_origins) if chosen.cors_origins else None,
                }

    app = FastAPI(
        title="Almanac",
        description="Every user's feed, computed ahead of time and served from Redis.",
        lifespan=lambda _: run_lifespan(settings or Settings(), open_state),
        generate_unique_id_function=lambda route: route.name,
    )
    app.add_middleware(CrossOrigin)
    app.add_middleware(Observed)
    app.add_middleware(LazyLifespan, open_state=open_state)
    app.add_middleware(HeadAsGet)
    for router in (
        feed.router,
        similar.router,
        events.router,
        admin.router,
        pipelines.router,
        marketplace.router,
        compat.router,
        compat.course,
        health.router,
    ):
        app.include_router(router)
    register(app)
    return app


def run(seat: Seat | None = None) -> None:
    """Serve until told to stop; a start that fails ends with one sentence.

    Args:
        seat: What this process is told as one of several; None: it is asked how many there should be.

    Raises:
        SystemExit: 0 once stopped; 2 for a bad setting, an address that cannot be had among them; 4 where
            there is no store.
    """
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, lambda *_: sys.exit(0))  # until the server hears them, there is nothing to stop
    configure()
    try:
        settings = Settings()
        with find_store(settings) as url:
            if settings.workers > 1 and seat is None:
                sys.exit(supervise(settings))
            life = Life()
            app = create_app(settings.replace(redis_url=url), life=life, folder=seat.folder if seat else None)
            serve(app, life, settings, seat)
    except (ValueError, CannotListen, StoreMissing) as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(4 if isinstance(exc, StoreMissing) else 2)


def main() -> None:
    """Serve, by as many processes as the settings say."""
    run()


app = create_app()

if __name__ == "__main__":
    main()
