"""The store that the settings name: a server by URL, or the embedded one, kept alive while it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from batch.embedded.attach import attach
from batch.settings import Settings

FACTS_FILE = "facts.db"
EVENTS_FILE = "events.db"


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """Give the store's URL; without `ALMANAC_REDIS_URL` start or join the embedded store for as long."""
    if settings.redis_url:
        yield settings.redis_url
        return
    with attach(settings.state_dir) as embedded:
        yield embedded.url


@contextmanager
def connected(settings: Settings) -> Iterator[redis.Redis]:
    """Give a client of the store; replies are bytes."""
    with store_url(settings) as url, redis.Redis.from_url(url, socket_connect_timeout=5) as client:
        client.ping()
        yield client


def facts_location(settings: Settings) -> str:
    """Return where the facts lie: `ALMANAC_DATABASE_URL`, or an SQLite file in the state folder."""
    return settings.database_url or f"sqlite:///{Path(settings.state_dir, FACTS_FILE)}"


def events_location(settings: Settings) -> str:
    """Return where live events are kept: `ALMANAC_EVENTS_URL`, or an SQLite file in the state folder."""
    return settings.events_url or f"sqlite:///{Path(settings.state_dir, EVENTS_FILE)}"
