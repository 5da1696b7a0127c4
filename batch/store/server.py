"""Is the server fit: a version that Almanac works on, and settings that keep lists and seen sets small."""

from collections.abc import Mapping
from dataclasses import dataclass

import redis

# Below this, seen sets of some hundred posts turn into skip lists of ten times the size.
ZSET_ENTRIES = 1024
OLDEST = {"redis": 7, "valkey": 8}
_SETTINGS = ("hash-max-listpack-value", "hash-max-listpack-entries", "zset-max-listpack-entries")


class StoreUnfit(RuntimeError):
    """The server's version or settings would break what is published; the message says what to change."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Needs:
    """What one content asks of the server: the longest value and the most fields of a user's hash."""

    value_bytes: int
    fields: int

    @classmethod
    def of(cls, post_ids: list[int], depth: int, n_buckets: int, longest_segment: int) -> "Needs":
        """Return the needs of lists of `depth` of these posts: the longest ids, joined by spaces.

        >>> Needs.of([7, 12, 345], depth=2, n_buckets=24, longest_segment=3)
        Needs(value_bytes=6, fields=25)
        """
        longest = sorted((len(str(post_id)) for post_id in post_ids), reverse=True)[:depth]
        text = sum(longest) + max(len(longest) - 1, 0)
        return cls(max(text, longest_segment), n_buckets + 1)


def require(client: redis.Redis, needs: Needs) -> None:
    """Return if the server can hold the content of a generation as planned.

    Raises:
        StoreUnfit: It cannot, or does not say.
    """
    try:
        info = client.info("server")
        config = client.config_get(*_SETTINGS)
    except redis.ResponseError as exc:
        raise StoreUnfit(
            f"the store does not say how it is set up ({exc}): "
            "let this user run INFO and CONFIG GET, as redis/users.acl does"
        ) from exc
    reason = unfit(info, {str(name): int(value or 0) for name, value in config.items()}, needs)
    if reason:
        raise StoreUnfit(reason)


def unfit(info: Mapping[str, object], config: Mapping[str, int], needs: Needs) -> str | None:
    """Return why a server cannot hold the content of a generation, in one sentence; None if it can.

    >>> unfit({"redis_version": "6.2.14"}, {}, Needs(250, 25))
    'the store is redis 6.2.14: Almanac needs redis 7 or valkey 8, or newer'
    """
    kind = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{kind}_version", "0"))
    if int(version.split(".")[0]) < OLDEST[kind]:
        return f"the store is {kind} {version}: Almanac needs redis 7 or valkey 8, or newer"
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
