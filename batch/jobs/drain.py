"""Live events and exposures out of the store every few seconds, so that a store that is lost loses little."""

import logging
from datetime import UTC, date, datetime

import redis

from batch.data.live.accepted import drain_accepted
from batch.data.tables.location import SourceError
from batch.settings import Settings

log = logging.getLogger(__name__)


class Drain:
    """Moves what was accepted into the events' database; says once that it cannot, and that it can again."""

    def __init__(self, settings: Settings, store: redis.Redis) -> None:
        """Open nothing."""
        self._settings, self._store = settings, store
        self._is_failing = False
        self._day = date.min  # of the last time that old exposures were dropped

    def __call__(self) -> None:
        """Drain once; where nothing waits, the database is left alone but for once a day."""
        keys, today = self._settings.keys, datetime.now(UTC).date()
        try:
            if self._day != today or any(map(self._store.xlen, (keys.events(), keys.exposures()))):
                drain_accepted(self._settings, self._store)
                self._day = today
        except (redis.RedisError, SourceError, OSError) as exc:
            if not self._is_failing:
                log.warning("drain.failed", extra={"why": str(exc)})
            self._is_failing = True
            return
        if self._is_failing:
            log.info("drain.resumed")
        self._is_failing = False
