"""What users did lately, for the serving bench: everyone has a session, and asks for now."""

import time
from collections.abc import Sequence

import orjson
import redis

from api.contract.keys import SESSION_FIELD, Keys
from api.session import weigh
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
            counts = {str((place + k) % TOPICS): ((place + k) % 3, 3 + k) for k in range(TOPICS)}
            told = {SESSION_FIELD: orjson.dumps((now_s, weigh(counts))).decode()}
            told |= {topic: f"{likes} {shown} {now_s}" for topic, (likes, shown) in counts.items()}
            pipe.hset(keys.session(user), items=[part for pair in told.items() for part in pair])
        pipe.execute()


def check(asked: Asked, n: int = 100) -> None:
    """See that answers are moved.

    Raises:
        RuntimeError: No answer is.
    """
    moved = sum("x-almanac-overlay" in apps.get(asked, target)[0] for target in asked.targets[:n])
    if not moved:
        raise RuntimeError(f"of {n} answers the overlay moved none")
