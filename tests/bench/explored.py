"""Exploration places for the serving bench: one of five, so that each answer of five posts has one."""

import redis

from api.contract.explore import EVERYBODY, encode_weights
from api.contract.keys import Keys
from api.contract.manifest import EXPLORE, EXPLORE_NEW, EXPLORE_PLACES
from tests.bench import apps
from tests.bench.load import Asked
from tests.bench.stock import SEGMENT, Stock, serve_as

GENERATION, VARIANT = 3, "explored"
N_PLACES, N_NEW = 5, 100


def begin(client: redis.Redis, sizes: Stock) -> None:
    """Let the third generation have exploration places, and serve it under a variant of its own."""
    keys, posts = Keys(), range(max(1, sizes.n_posts - N_NEW), sizes.n_posts)
    weights = encode_weights(posts, [1 / post for post in posts])
    client.hset(keys.explore(GENERATION), mapping={EVERYBODY: weights, SEGMENT: weights})
    counts = {EXPLORE_PLACES: N_PLACES, EXPLORE_NEW: len(posts)}
    serve_as(client, keys, GENERATION, VARIANT, counts=counts, needs=(EXPLORE,))


def check(asked: Asked, n: int = 100) -> None:
    """See that posts are drawn.

    Raises:
        RuntimeError: None is.
    """
    if not any("x-almanac-explored" in apps.get(asked, target)[0] for target in asked.targets[:n]):
        raise RuntimeError(f"of {n} answers none has a post that was drawn")
