"""The store's functions: loaded by the batch, so that `redis-cli` can ask what the API answers."""

import logging
from pathlib import Path

import redis

from batch.store.cluster import as_cluster
from batch.store.server import is_refused

log = logging.getLogger(__name__)

LIBRARY = "almanac.lua"
# In the wheel beside this module, in a checkout among the store's files.
_PLACES = (Path(__file__).parent / LIBRARY, Path(__file__).parents[2] / "redis" / "functions" / LIBRARY)


def load(client: redis.Redis) -> bool:
    """Load the library `almanac`, in the place of an older one; say whether it is there.

    Its function wants a user's keys and those of all in one server: a cluster does not get it.

    The API does without it, so a store that does not let us load functions is no fault.
    """
    if as_cluster(client) is not None:
        return False
    code = next(path for path in _PLACES if path.exists()).read_text(encoding="utf-8")
    try:
        client.function_load(code, replace=True)
    except redis.ResponseError as exc:
        if not is_refused(exc):
            raise
        log.warning("functions.refused", extra={"why": str(exc)})
        return False
    return True
