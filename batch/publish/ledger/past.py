"""Which generations made for the past the store holds, and since when they answer."""

from typing import cast

import redis
from redis.client import Pipeline

from api.contract.keys import Keys
from batch.store.transaction import Write, transact


def made_for_past(client: redis.Redis, keys: Keys, variant: str) -> set[int]:
    """Return their numbers."""
    return {int(number) for number in cast("list[bytes]", client.zrange(keys.past(variant), 0, -1))}


def announce(client: redis.Redis, keys: Keys, variant: str) -> None:
    """Tell the API from which second on one of them may answer; an empty text where none does."""

    def decide(pipe: Pipeline) -> Write:
        oldest = cast("list[tuple[bytes, float]]", pipe.zrange(keys.past(variant), 0, 0, withscores=True))
        first_s = str(int(oldest[0][1])) if oldest else ""
        return lambda queue: queue.hset(keys.current(variant), "past", first_s)

    transact(client, [keys.past(variant)], decide)
