"""Is the server fit: a version that Almanac works on, and settings that keep lists and seen sets small."""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import MovedError

from batch.store.cluster import find_servers

log = logging.getLogger(__name__)

# Below this, seen sets of some hundred posts turn into skip lists of ten times the size.
ZSET_ENTRIES = 1024
OLDEST = {"redis": 7, "valkey": 8}
_SETTINGS = ("hash-max-listpack-value", "hash-max-listpack-entries", "zset-max-listpack-entries")
_SAYS = {  # what we do not see where a command is refused
    "INFO": "its version, and what it holds and may hold: a run that does not fit is not refused beforehand",
    "CONFIG GET": "whether its settings keep lists and seen sets small, as redis/redis.conf does",
    "MEMORY USAGE": "what keys weigh: memory is not planned",
}
_NO = re.compile(
    r"unknown (sub)?command|not (allowed|available|permitted|supported)|unsupported|disabled", re.I
)


class StoreUnfit(RuntimeError):
    """The server's version or settings would break what is published; the message says what to change."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Needs:
    """What one content asks of the server: the longest value and the most fields of a user's hash."""

    value_bytes: int
    fields: int

    @classmethod
    def of(cls, posts: list[int], depth: int, n_buckets: int, longest_segment: int) -> "Needs":
        """Return the needs of lists of `depth` of these posts: the longest numbers, joined by spaces.

        >>> Needs.of([7, 12, 345], depth=2, n_buckets=24, longest_segment=3)
        Needs(value_bytes=6, fields=25)
        """
        longest = sorted((len(str(number)) for number in posts), reverse=True)[:depth]
        text = sum(longest) + max(len(longest) - 1, 0)
        return cls(max(text, longest_segment), n_buckets + 1)


def require(client: redis.Redis, needs: Needs, key: str) -> None:
    """Return if every server of a store can hold the content of a generation, as `require_one`."""
    for server in find_servers(client):
        require_one(server, needs, key)


def require_one(client: redis.Redis, needs: Needs, key: str) -> None:
    """Return if the server can hold the content of a generation as planned, as far as it says what it is.

    One that refuses to say, as hosted ones refuse CONFIG, is warned about and used.

    Args:
        client: The server's.
        needs: Of the content.
        key: One of ours, to be weighed; it need not be there.

    Raises:
        StoreUnfit: It cannot.
    """
    refused: dict[str, str] = {}

    def ask(command: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.ResponseError as exc:
            if not is_refused(exc):
                raise
            refused[command] = str(exc)
            return None

    info = ask("INFO", lambda: client.info("server"))
    config = ask("CONFIG GET", lambda: client.config_get(*_SETTINGS))
    ask("MEMORY USAGE", lambda: _weigh(client, key))
    if refused:
        unseen = [what for command, what in _SAYS.items() if command in refused]
        log.warning("store.unseen", extra={"unseen": unseen, "why": refused})
    settings = None if config is None else {str(name): int(value or 0) for name, value in config.items()}
    reason = unfit(info, settings, needs)
    if reason:
        raise StoreUnfit(reason)


def _weigh(client: redis.Redis, key: str) -> None:
    with suppress(MovedError):  # of a cluster another one has it
        client.memory_usage(key, samples=0)


def is_refused(exc: redis.ResponseError) -> bool:
    """Say whether an error is the server's no to a command as such, by access list or its host's rules."""
    if isinstance(exc, redis.exceptions.OutOfMemoryError):  # "command not allowed when used memory > …"
        return False
    return isinstance(exc, redis.exceptions.NoPermissionError) or bool(_NO.search(str(exc)))


def unfit(info: Mapping[str, object] | None, config: Mapping[str, int] | None, needs: Needs) -> str | None:
    """Return why a server cannot hold the content of a generation, in one sentence; None if it can.

    What it does not say, `info` or `config`, is None and no reason.

    >>> unfit({"redis_version": "6.2.14"}, {}, Needs(250, 25))
    'the store is redis 6.2.14: Almanac needs redis 7 or valkey 8, or newer'
    """
    kind = "valkey" if info and "valkey_version" in info else "redis"
    version = str(info.get(f"{kind}_version", "0")) if info else str(OLDEST[kind])
    if int(version.split(".")[0]) < OLDEST[kind]:
        return f"the store is {kind} {version}: Almanac needs redis 7 or valkey 8, or newer"
    if config is None:
        return None
    wanted = zip(_SETTINGS, (needs.value_bytes, needs.fields, ZSET_ENTRIES), strict=True)
    for name, least in wanted:
        value = config.get(name, 0)
        if value < least:
            return (
                f"the store has {name} {value}, and these lists need at least {least}, or they take "
                f"several times the memory: set it in the server's configuration as redis/redis.conf does, "
                f"or `CONFIG SET {name} {least}`"
            )
    return None
