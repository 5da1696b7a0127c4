"""What users did lately, for the serving bench: everyone has a session, and asks for now."""

import time
from collections.abc import Sequence

import redis

from api.contract.keys import Keys
from tests.bench import apps
from tests.bench.load import Asked
from tests.bench.stock import TOPICS

PIECE = 1000


def begin(client: redis.Redis, users: Sequence[str | int]) -> None:
    """Give each user a session of all topics, as `accept.lua` writes it."""
    keys, now_s = Keys(), int(time.time())
    for low in range(0, len(users), PIECE):
        pipe = client.pipeline(transaction=False)
        for place, user in enumerate(users[low : low + PIECE], low):
            for k in range(TOPICS):
                told = f"{(place + k) % 3} {3 + k} {now_s}"
                pipe.hset(keys.session(user), str((place + k) % TOPICS), told)
        pipe.execute()


def check(asked: Asked, n: int = 100) -> None:
    """See that answers are moved.

    Raises:
        RuntimeError: No answer is.
    """
    moved = sum("x-almanac-overlay" in apps.get(asked, target)[0] for target in asked.targets[:n])
    if not moved:
        raise RuntimeError(f"of {n} answers the overlay moved none")
