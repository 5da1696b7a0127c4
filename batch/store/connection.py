"""The store that the settings name: a server by URL, or the embedded one, kept alive while it is used."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from batch.settings import Settings
from batch.store.embedded.attach import attach

FACTS_FILE = "facts.db"
EVENTS_FILE = "events.db"
LOADING_S = 60.0  # some 0.1 GB a second: a full store of 4 GB is read in 40


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """Give the store's URL; without `ALMANAC_REDIS_URL` start or join the embedded store for as long."""
    if settings.redis_url:
        yield settings.redis_url.get_secret_value()
        return
    with attach(settings.state_dir) as embedded:
        yield embedded.url


@contextmanager
def connect_store(settings: Settings) -> Iterator[redis.Redis]:
    """Give a client of the store; replies are bytes."""
    with store_url(settings) as url, redis.Redis.from_url(url, socket_connect_timeout=5) as client:
        _await_data(client)
        yield client


def _await_data(client: redis.Redis) -> None:
    """Return once the store has its data in memory: after a start it reads them from its log first.

    Raises:
        redis.RedisError: It does not answer, or is still reading after LOADING_S.
    """
    give_up = time.monotonic() + LOADING_S
    while True:
        try:
            client.ping()
        except redis.BusyLoadingError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def facts_location(settings: Settings) -> str:
    """Return where the facts lie: `ALMANAC_DATABASE_URL`, or an SQLite file in the state folder."""
    return settings.database_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, FACTS_FILE)}"


def events_location(settings: Settings) -> str:
    """Return where live events are kept: `ALMANAC_EVENTS_URL`, or an SQLite file in the state folder."""
    return settings.events_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, EVENTS_FILE)}"
