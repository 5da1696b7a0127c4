"""What the API accepted, live events and exposures, out of the store to where settings say."""

from datetime import UTC, datetime

import redis

from batch.data.live.drain import Drained
from batch.data.live.events import drain
from batch.data.live.exposures import drain_exposures
from batch.settings import Settings
from batch.store.connection import events_location


def drain_accepted(settings: Settings, store: redis.Redis) -> Drained:
    """Move what both streams hold into the events' database; return what that was of events.

    Raises:
        SourceError: It cannot be opened or written; the streams keep what is not in it.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    keys, url, stall_s = settings.keys, events_location(settings), settings.database_stall_s
    drained = drain(store, keys, url, stall_s)
    drain_exposures(store, keys, url, settings.exposures_days, datetime.now(UTC).date(), stall_s)
    return drained
