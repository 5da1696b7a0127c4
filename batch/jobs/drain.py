"""Live events out of the store every few seconds, so that a store that is lost loses little."""

import logging

import redis

from api.contract.keys import Keys
from batch.data.live.events import drain
from batch.data.tables.location import SourceError
from batch.settings import Settings
from batch.store.connection import events_location

log = logging.getLogger(__name__)


class Drain:
    """Moves what was accepted into the events' database; says once that it cannot, and that it can again."""

    def __init__(self, settings: Settings, store: redis.Redis) -> None:
        """Open nothing."""
        self._settings, self._store = settings, store
        self._is_failing = False

    def __call__(self) -> None:
        """Drain once; where nothing waits, the database is left alone."""
        keys = Keys(self._settings.prefix)
        try:
            if self._store.xlen(keys.events()):
                self._settings.state_dir.mkdir(parents=True, exist_ok=True)
                drain(self._store, keys, events_location(self._settings), self._settings.database_stall_s)
        except (redis.RedisError, SourceError, OSError) as exc:
            if not self._is_failing:
                log.warning("drain.failed", extra={"why": str(exc)})
            self._is_failing = True
            return
        if self._is_failing:
            log.info("drain.resumed")
        self._is_failing = False
