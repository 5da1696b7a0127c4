"""The store that the settings name: a server by URL, or the embedded one, kept alive while it is used."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from batch.settings import Settings
from batch.store.embedded.attach import attach
from batch.store.wait import wait_until

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


def hide_password(url: str) -> str:
    """Return the store's URL as it may be printed and logged.

    >>> hide_password("redis://ann:secret@db:6379/0"), hide_password("redis://127.0.0.1:6379/0")
    ('redis://ann:***@db:6379/0', 'redis://127.0.0.1:6379/0')
    """
    return re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url)


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
    if not wait_until(partial(_has_data, client), LOADING_S):
        raise redis.BusyLoadingError(f"the store has not read its data within {LOADING_S:.0f} s")


def _has_data(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False


def facts_location(settings: Settings) -> str:
    """Return where the facts lie: `ALMANAC_DATABASE_URL`, or an SQLite file in the state folder."""
    return settings.database_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, FACTS_FILE)}"


def events_location(settings: Settings) -> str:
    """Return where live events are kept: `ALMANAC_EVENTS_URL`, or an SQLite file in the state folder."""
    return settings.events_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, EVENTS_FILE)}"
