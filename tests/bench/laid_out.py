"""Packed lists for the serving bench: those of the first generation, under a variant of their own."""

import redis

from api.contract.keys import Keys
from tests.bench.stock import serve_as

GENERATION, VARIANT = 4, "packed"


def begin(client: redis.Redis) -> None:
    """Serve the packed generation under its variant."""
    serve_as(client, Keys(), GENERATION, VARIANT)
