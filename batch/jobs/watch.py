"""A look at what is served, for whoever listens to the log: its age, its life, the store's memory."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import redis

from batch.publish.ledger.ledger import NothingServed
from batch.publish.memory.probe import see_room
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store.connection import StoreFailed, open_store

log = logging.getLogger(__name__)

EVERY_S = 60.0  # a look costs the store six commands
SAY_S = 3600.0  # what has not changed is said this often
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Served:
    """What is current under a variant, as one look found it.

    Attributes:
        generation: Its number.
        variant: Its variant.
        as_of_s: Its newest fact, epoch seconds.
        promoted_s: When it became current, epoch seconds.
        fact_age_s: Since the newest fact, seconds.
        publication_age_s: Since it became current, seconds.
        list_left_s: Life left in users' lists, seconds; 0: they are gone; None: they have no end.
        list_life_s: Life that lists are given, seconds.
        store_used_mb: What the store holds, MiB; None: it does not say so.
        store_bound_mb: What it may hold, MiB; 0: it is not bounded; None: it does not say so.
    """

    generation: int
    variant: str
    as_of_s: int
    promoted_s: int
    fact_age_s: int
    publication_age_s: int
    list_left_s: int | None
    list_life_s: int
    store_used_mb: int | None
    store_bound_mb: int | None


def look(settings: Settings, client: redis.Redis, now_s: float) -> Served:
    """Look at what is served.

    Raises:
        NothingServed: Nothing is.
        redis.RedisError: The store does not answer.
    """
    store = GenerationStore(client, settings.keys)
    manifest = store.current(settings.variant)
    promoted_s = int(
        client.hget(store.keys.current(settings.variant), "promoted_at") or manifest.created_at_s
    )
    left_s = store.list_ttl_s(manifest.generation)
    used, bound = (None if n is None else n // MIB for n in see_room(client))
    return Served(
        manifest.generation,
        settings.variant,
        manifest.as_of_s,
        promoted_s,
        max(int(now_s) - manifest.as_of_s, 0),
        max(int(now_s) - promoted_s, 0),
        None if left_s in (None, -1) else max(left_s, 0),
        settings.list_ttl_s,
        used,
        bound,
    )


class Watch:
    """One look after another; what it found goes into the log when it is new, and every hour."""

    def __init__(self, settings: Settings, url: str, now: Callable[[], float] = time.time) -> None:
        """Look at the store at `url`."""
        self._settings, self._url, self._now = settings, url, now
        self._answered = True
        self._generation, self._said_s = 0, 0.0

    def step(self) -> None:
        """Look once; a store that does not answer is no error, and is said once."""
        try:
            with open_store(self._url) as client:
                served = look(self._settings, client, self._now())
        except NothingServed:
            served = None
        except (StoreFailed, redis.RedisError) as exc:
            if self._answered:
                log.warning("store.lost", extra={"why": str(exc)})
            self._answered = False
            return
        if not self._answered:
            log.info("store.found")
        self._answered = True
        if served and (served.generation != self._generation or self._now() - self._said_s >= SAY_S):
            self._generation, self._said_s = served.generation, self._now()
            log.info("generation.watched", extra=asdict(served))


@contextmanager
def watching(settings: Settings, url: str) -> Iterator[None]:
    """Look at once and then every minute, on a thread of its own, while the block runs."""
    watch, ended = Watch(settings, url), threading.Event()

    def work() -> None:
        while True:
            watch.step()
            if ended.wait(EVERY_S):
                return

    thread = threading.Thread(target=work, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)
