"""Is there room for a run: refuse it before the first write, and say afterwards how right the plan was."""

import logging
from dataclasses import replace

import numpy as np
import redis

from api.contract.manifest import Layout
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan, Sizes
from batch.publish.memory.probe import WeightUnseen, plan_memory, weigh
from batch.publish.store import GenerationStore
from batch.store.server import StoreUnfit

log = logging.getLogger(__name__)


def reserve(
    store: GenerationStore,
    content: GenerationContent,
    kept: int,
    held: float,
    *,
    layout: Layout = "text",
    n_more: int = 0,
) -> Plan | None:
    """Measure what a run will take, and let it begin only where that fits; None where it cannot be measured.

    Args:
        store: Where to.
        content: What will be published.
        kept: Generations that stay.
        held: Share of the seen sets that the store holds already, 0..1.
        layout: How users' own lists will stand there.
        n_more: Generations that must fit beside it.

    Raises:
        StoreUnfit: It would not fit; nothing was written.
    """
    try:
        rng = np.random.default_rng(content.as_of_s)
        plan = plan_memory(store, Sizes.of(content, layout), kept, rng, held)
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreUnfit(f"the store is full ({exc}): raise its maxmemory") from exc
    except WeightUnseen:
        return None  # `require` has warned
    refuse_unfit(replace(plan, adds=plan.adds + n_more * plan.generation))
    return plan


def refuse_unfit(plan: Plan) -> None:
    """Return if what is planned fits.

    Raises:
        StoreUnfit: It does not.
    """
    reason = plan.refusal()
    if reason:
        raise StoreUnfit(reason)


def measure_taken(plan: Plan, client: redis.Redis) -> dict[str, int]:
    """Return what was planned, and what was taken since if that can be seen, bytes, for the manifest."""
    found = {"bytes_planned": plan.adds}
    if plan.used is not None:
        found["bytes_taken"] = weigh(client) - plan.used
    log.info("generation.measured", extra=found)
    return found


def share_held(store: GenerationStore, content: GenerationContent) -> float:
    """Return which share of the seen posts the store holds already, 0..1: of the newest made of facts."""
    newest, pairs = store.newest_of_facts(), len(content.views.post)
    return min(newest.counts.get("seen", 0) / pairs, 1.0) if newest and pairs else 0.0
