"""Is there room for a run: refuse it before the first write, and say afterwards how right the plan was."""

import logging
from dataclasses import dataclass

import numpy as np
import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan, Sizes
from batch.publish.memory.probe import planned, weight
from batch.store.server import StoreUnfit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Room:
    """A plan, and what the store weighed when the run began."""

    plan: Plan
    before: int

    def counts(self, client: redis.Redis) -> dict[str, int]:
        """Return what was planned and what was taken, bytes, for the manifest."""
        found = {"bytes_planned": self.plan.adds, "bytes_taken": weight(client) - self.before}
        log.info("generation.measured", extra=found)
        return found


def reserve(
    client: redis.Redis, keys: Keys, content: GenerationContent, kept: int, newest: Manifest | None
) -> Room:
    """Measure what a run will take, and let it begin only where that fits.

    Args:
        client: The store.
        keys: Names of the keys.
        content: What will be published.
        kept: Generations that stay.
        newest: The newest sealed generation: what it had seen need not be written again.

    Raises:
        StoreUnfit: It would not fit; nothing was written.
    """
    pairs = len(content.views.post)
    held = min(newest.counts.get("seen", 0) / pairs, 1.0) if newest and pairs else 0.0
    try:
        found = planned(client, keys, Sizes.of(content), kept, np.random.default_rng(content.as_of_s), held)
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreUnfit(f"the store is full ({exc}): raise its maxmemory") from exc
    except redis.exceptions.NoPermissionError as exc:
        raise StoreUnfit(
            f"the store does not say what keys weigh: let this user run MEMORY USAGE ({exc})"
        ) from exc
    reason = found.refusal()
    if reason:
        raise StoreUnfit(reason)
    return Room(found, weight(client))
