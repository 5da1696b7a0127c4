"""What leaves the store and the disk: generations of killed runs, and those beyond the number kept."""

import logging
from collections.abc import Iterable
from pathlib import Path

import redis
from redis.client import Pipeline

from api.contract.manifest import Manifest
from batch.progress import Show
from batch.publish.config import PublishConfig
from batch.publish.folder import GenerationFolder
from batch.publish.ledger.ledger import read_pointer
from batch.publish.sharded.ledger import await_writers, is_awaited, read_prepared
from batch.publish.sharded.place import clear_place
from batch.publish.store import GenerationStore
from batch.store import read
from batch.store.lease import Lease
from batch.store.transaction import Write

CHUNK = 500  # keys a round trip: the server frees them beside its work, readers wait for none

log = logging.getLogger(__name__)


class StillServed(ValueError):
    """The generation to clear is current."""


def surplus(sealed: Iterable[int], current: int | None, previous: int | None, kept: int) -> list[int]:
    """Return which of a variant's sealed generations go, ascending.

    The current one always stays, then the previous one, then the newest, `kept` in all.

    >>> surplus([3, 4, 5, 6], current=5, previous=3, kept=2)
    [4, 6]
    >>> surplus([3, 4], current=None, previous=None, kept=1)
    [3]
    """
    order = sorted(sealed, key=lambda number: (number == current, number == previous, number), reverse=True)
    return sorted(number for number in order[kept:] if number != current)


def sweep(
    store: GenerationStore, lease: Lease, config: PublishConfig, variant: str, spared: int | None = None
) -> None:
    """Retire what killed runs left and what the variant has beyond the number kept.

    Whoever holds the lease builds alone, so any other generation in state building is dead, unless it waits
    for shards; one in state retired that still has keys or a folder was being cleared when its run was
    killed. A quarantined one has been there to look at since the last run. `spared` stays: what this run
    made and the gate held back.
    """
    states, current_previous = store.states(), store.read_served(variant)
    backfilled = store.read_backfilled(variant)  # they go when somebody retires them
    ours = [n for n, made in store.read_sealed().items() if made.variant == variant and n not in backfilled]
    building = [n for n, state in states.items() if state == "building"]
    gone = [n for n in building if not is_awaited(store, n, config.now)]
    gone += surplus(ours, *current_previous, config.kept)
    gone += [
        n
        for n, state in states.items()
        if state in ("retired", "quarantined") and _remains(store, config.root, n)
    ]
    for number in gone:
        if number != spared:
            retire(store, lease, config.root, number, config.progress)


def retire(store: GenerationStore, lease: Lease, root: Path, generation: int, progress: Show) -> None:
    """Remove one generation's keys and folder. Killed at any point, it can be done again.

    What is needed to clear, users, profiles and manifest, goes last. A quarantined one stays quarantined.

    Raises:
        StillServed: It is current.
    """
    client, keys, manifest = store.client, store.keys, store.manifest(generation)
    prepared = read_prepared(store, generation)
    _withdraw(store, lease, generation, manifest)
    if prepared is not None:
        await_writers(store, prepared)
    if manifest and generation in store.read_backfilled(manifest.variant):
        client.zrem(keys.past(manifest.variant), str(generation))
        store.announce_backfilled(manifest.variant)
    users = store.user_ids(generation)
    for low in range(0, len(users), CHUNK):
        lease.check()
        some = users[low : low + CHUNK]
        _unlink(client, (keys.list(user_id, generation) for user_id in some))
        if manifest and manifest.topic_depth:
            _unlink(client, (keys.topics(user_id, generation) for user_id in some))
        progress(f"clearing generation {generation}", min(low + CHUNK, len(users)), len(users))
    of_all = (keys.popular, keys.catalogue, keys.posts, keys.facets, keys.similar, keys.windows, keys.explore)
    shared = [named(generation) for named in of_all]
    shared += [keys.segment(generation, name) for name in (manifest.segments if manifest else ())]
    shared += [keys.profile(generation, name) for name in read.words(client, keys.profiles(generation))]
    _unlink(client, shared)
    GenerationFolder.of(root, generation).remove()
    if prepared is not None:
        clear_place(prepared.place, generation)
    last = (
        keys.users(generation),
        keys.profiles(generation),
        keys.manifest(generation),
        keys.shards(generation),
    )
    lease.commit(lambda pipe: pipe.unlink(*last))
    log.info("generation.retired", extra={"generation": generation, "n_users": len(users)})


def _unlink(client: redis.Redis, names: Iterable[str]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.unlink(name)
        pipe.execute()


def _withdraw(store: GenerationStore, lease: Lease, generation: int, manifest: Manifest | None) -> None:
    """Take the right to be served from a generation, unless it is served: people promote without a lease."""
    keys = store.keys
    pointer = [keys.current(manifest.variant)] if manifest else []

    def decide(pipe: Pipeline) -> Write:
        if manifest and read_pointer(pipe, keys, manifest.variant)[0] == generation:
            raise StillServed(f"generation {generation} is served: roll back or promote another one first")
        state = pipe.hget(keys.states(), str(generation))
        after = "quarantined" if state == b"quarantined" else "retired"
        return lambda queue: queue.hset(keys.states(), str(generation), after)

    lease.transact([keys.states(), *pointer], decide)


def _remains(store: GenerationStore, root: Path, generation: int) -> bool:
    has_keys = bool(store.client.exists(store.keys.users(generation)))
    return has_keys or GenerationFolder.of(root, generation).path.is_dir()
