"""Generations made for a past time into the store, beside those that are served."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import redis
from redis.client import Pipeline

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish import past, shard
from batch.publish.fill import Work, write_lists, write_shared
from batch.publish.generation import GenerationContent
from batch.publish.ledger.past import announce
from batch.publish.memory.plan import Sizes
from batch.publish.memory.probe import planned
from batch.publish.past import Made
from batch.publish.proof.inputs import INPUTS
from batch.publish.release import take_number
from batch.publish.retire import retire, served
from batch.store.lease import LeaseLost, Progress, hold
from batch.store.server import Needs, StoreUnfit, require
from batch.store.wire import PipelinedWriter


class NothingServed(LookupError):
    """Nothing is current, so there are no seen sets and nobody answers."""


def recall(
    client: redis.Redis,
    keys: Keys,
    made: Made,
    folder: Path,
    *,
    now: Callable[[], int],
    ttl_s: int,
    kept: int,
    rng: np.random.Generator,
    progress: Progress,
) -> int:
    """Write a generation made for the past into the store, sealed and never current; return its number there.

    From then on it answers the times from its as_of to that of the next one, as far as nothing was served
    then. One that the store already has is not written again.

    Args:
        client: The store; replies must be bytes.
        keys: Names of the keys.
        made: The generation on disk.
        folder: Where the store's generations have their folders.
        now: The clock, epoch seconds.
        ttl_s: Life of the users' lists.
        kept: Served generations that stay: what it must leave room for.
        rng: For the probe of the memory plan.
        progress: Told what is being written, how far, of how much.

    Raises:
        StoreUnfit: The store's settings would break the lists, or its memory would not hold them beside the
            next run's.
        NothingServed: Nothing is current.
        LeaseTaken: A run is publishing.
        LeaseLost: This process stalled and lost its turn.
    """
    variant, as_of_s = made.manifest.variant, made.manifest.as_of_s
    there = cast("list[bytes]", client.zrange(keys.past(variant), as_of_s, as_of_s, byscore=True))
    if there:
        announce(client, keys, variant)  # whoever wrote it may have been killed before he could
        return int(there[0])
    if served(client, keys, variant)[0] is None:
        raise NothingServed(f"nothing is served under variant {variant!r} yet: run `almanac run` first")
    content = past.open_content(made)
    longest = max((len(name.encode()) for name in content.segments), default=0)
    require(client, Needs.of(content.post_ids.tolist(), content.depth, content.horizon.n_buckets, longest))
    with hold(client, keys.lease(), now(), progress) as lease:
        _refuse_unfit(client, keys, content, kept, rng)
        work = Work(client, keys, lease, content, folder, progress)
        draft = take_number(work, now())
        try:
            return _seal(work, made, _fill(work, made, draft, ttl_s))
        except LeaseLost:
            raise  # the next holder clears; we may no longer write
        except BaseException:
            with suppress(redis.RedisError, LeaseLost):
                retire(client, keys, lease, folder, draft.generation, progress)
            raise


def _refuse_unfit(
    client: redis.Redis, keys: Keys, content: GenerationContent, kept: int, rng: np.random.Generator
) -> None:
    """Make sure that the next run still fits beside it.

    Raises:
        StoreUnfit: It would not.
    """
    try:
        found = planned(client, keys, Sizes.of(content), kept, rng, held=1.0)
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreUnfit(f"the store is full ({exc}): raise its maxmemory") from exc
    reason = replace(found, adds=found.adds + found.generation).refusal()
    if reason:
        raise StoreUnfit(reason)


def _fill(work: Work, made: Made, draft: Manifest, ttl_s: int) -> Manifest:
    """Write all of it; return the whole manifest."""
    content, number, checksums = work.content, draft.generation, dict(made.manifest.checksums)
    past.link_inputs(made, work.folder / str(number))
    digests: list[bytes] = []
    with PipelinedWriter(work.client) as wire:
        for block in shard.pieces(past.open_lists(made, content)):
            digests += write_lists(work, wire, number, block, ttl_s)
            work.progress("lists", len(digests), len(content.user_ids))
        checksums["shared"] = write_shared(work, wire, number)
    for low in range(0, len(digests), shard.USERS):
        part = digests[low : low + shard.USERS]
        checksums[shard.names(low, len(part))] = shard.checksum(b"".join(part))
    whole = replace(draft, checksums=checksums, root=shard.root(checksums), metrics=made.manifest.metrics)
    (work.folder / str(number) / past.MANIFEST).write_bytes(whole.to_json())
    assert INPUTS in checksums
    return whole


def _seal(work: Work, made: Made, manifest: Manifest) -> int:
    """Seal it and let it answer from its as_of on, in one transaction."""
    keys, number, variant = work.keys, manifest.generation, manifest.variant

    def seal(pipe: Pipeline) -> None:
        pipe.set(keys.manifest(number), manifest.to_json())
        pipe.hset(keys.states(), str(number), "sealed")
        pipe.zadd(keys.past(variant), {str(number): made.manifest.as_of_s})

    work.lease.commit(seal)
    announce(work.client, keys, variant)
    return number
