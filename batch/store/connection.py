"""The store that the settings name: a server by URL, or the embedded one, kept alive while it is used."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from api.address import hide_password, is_cluster, is_watched, options_of, read_nodes
from batch.progress import SILENT, Progress
from batch.settings import Settings
from batch.store.cluster import ERRORS, connect_cluster
from batch.store.embedded.attach import attach
from batch.store.wait import wait_until

FACTS_FILE = "facts.db"
EVENTS_FILE = "events.db"
CONNECT_S = 5.0
REPLY_S = 60.0  # a store that waits for its disk, or forks, is late and not lost
LOADING_S = 600.0  # some 0.1 GB a second: of a store far beyond one machine's lists
_RETRIES = 6  # with the waits between them 3 s: a supervisor has restarted a small store by then


LOST = (
    "is it running, and is ALMANAC_REDIS_URL right? (where that is empty, it is the embedded store of "
    "ALMANAC_STATE_DIR)"
)
# Of a pipeline redis-py tells the command, whose key names a user: nobody's id belongs into logs and notices.
_COMMAND = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_OTHER_USER = "put the name and the password of one of its users into ALMANAC_REDIS_URL"
REMEDIES = {
    redis.AuthenticationError: _OTHER_USER,
    redis.exceptions.AuthorizationError: _OTHER_USER,
    redis.exceptions.NoPermissionError: "give that user the rights that redis/users.acl gives to `batch`",
    redis.OutOfMemoryError: "it is full: raise its maxmemory, or keep fewer lists (ALMANAC_GENERATIONS_KEPT)",
    redis.ReadOnlyError: "it takes no writes: ALMANAC_REDIS_URL should name the primary, not a replica",
}


class StoreFailed(RuntimeError):
    """The store does not answer, or refuses; the message names it and what to look at."""

    exit_code = 4

    def __init__(self, url: str, why: object) -> None:
        """Name the store without its password."""
        remedies = (remedy for kind, remedy in REMEDIES.items() if isinstance(why, kind))
        said = _COMMAND.sub("", str(why))
        super().__init__(
            f"the store at {hide_password(url)} does not work for us: {said}; {next(remedies, LOST)}"
        )


@contextmanager
def connect_store(settings: Settings, progress: Progress = SILENT) -> Iterator[redis.Redis]:
    """Give a client of the store; replies are bytes.

    Raises:
        StoreFailed: It does not answer, or stops answering before the context ends.
    """
    with store_url(settings, progress) as url, open_store(url, progress) as client:
        yield client


@contextmanager
def store_url(settings: Settings, progress: Progress = SILENT) -> Iterator[str]:
    """Give the store's URL; without `ALMANAC_REDIS_URL` start or join the embedded store for as long.

    Raises:
        StoreNotStarted, ServerMissing: The embedded store cannot be had; StoreFailed: it does not get ready.
    """
    if settings.redis_url.get_secret_value():
        yield settings.redis_url.get_secret_value()
        return
    with attach(settings.state_dir) as embedded:
        with open_store(embedded.url, progress):
            pass
        yield embedded.url


@contextmanager
def open_store(url: str, progress: Progress = SILENT) -> Iterator[redis.Redis]:
    """Give a client of the store at `url` once it has its data in memory; replies are bytes.

    Commands are tried again where the connection broke, so a store may restart; one that was sent and has no
    reply within REPLY_S is not.

    Raises:
        StoreFailed: As `connect_store`.
    """
    try:
        with connect(url, REPLY_S) as probe:
            _await_data(probe, progress)
        with connect(url, REPLY_S, _RETRIES) as client:
            yield client
    except ERRORS as exc:
        raise StoreFailed(url, exc) from exc


def connect(url: str, reply_s: float, retries: int = 0) -> redis.Redis:
    """Return a client, unconnected, that waits so long for a reply, and tries lost connections again."""
    again = Retry(ExponentialBackoff(cap=1.0, base=0.05), retries, (redis.ConnectionError,))
    if is_cluster(url):
        return connect_cluster(url, socket_connect_timeout=CONNECT_S, socket_timeout=reply_s, retry=again)
    if is_watched(url):
        nodes = read_nodes(url)
        waits = {"socket_connect_timeout": CONNECT_S, "socket_timeout": reply_s}
        watchers = Sentinel(list(nodes.places), **{**waits, "socket_timeout": CONNECT_S})  # type: ignore[no-untyped-call]
        options = {**options_of(nodes), **waits, "retry": again}
        found: redis.Redis = watchers.master_for(nodes.service, **options)  # type: ignore[no-untyped-call]
        return found
    return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_S, socket_timeout=reply_s, retry=again)


def _await_data(client: redis.Redis, progress: Progress) -> None:
    """Return once the store has its data in memory: after a start it reads them from its log first.

    Raises:
        redis.RedisError: It does not answer, or is still reading after LOADING_S.
    """
    if _has_data(client):
        return
    with progress.phases("store") as show:

        def is_loaded() -> bool:
            show("store loads", _loaded_percent(client), 100)
            return _has_data(client)

        if not wait_until(is_loaded, LOADING_S):
            raise redis.BusyLoadingError(f"it has not read its data within {LOADING_S:.0f} s")


def _has_data(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False


def _loaded_percent(client: redis.Redis) -> int:
    with suppress(redis.ResponseError):  # a store that does not say
        return int(client.info("persistence").get("loading_loaded_perc", 100))
    return 0


def facts_location(settings: Settings) -> str:
    """Return where the facts lie: `ALMANAC_DATABASE_URL`, or an SQLite file in the state folder."""
    return settings.database_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, FACTS_FILE)}"


def events_location(settings: Settings) -> str:
    """Return where live events are kept: `ALMANAC_EVENTS_URL`, or an SQLite file in the state folder."""
    return settings.events_url.get_secret_value() or f"sqlite:///{Path(settings.state_dir, EVENTS_FILE)}"
