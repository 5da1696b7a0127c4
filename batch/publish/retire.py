"""What leaves the store and the disk: generations of killed runs, and those beyond the number kept."""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.client import Pipeline

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.ledger.past import announce, made_for_past
from batch.store import read
from batch.store.lease import Lease, Progress
from batch.store.transaction import Write

CHUNK = 500  # keys an UNLINK: the server frees them beside its work, readers wait for none

log = logging.getLogger(__name__)


class StillServed(ValueError):
    """The generation to clear is current."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every generation that the store knows: its state, and the manifest of each sealed one."""

    states: Mapping[int, str]
    manifests: Mapping[int, Manifest]

    def in_state(self, *states: str) -> list[int]:
        """Return the numbers of the generations in one of these states, ascending."""
        return sorted(number for number, state in self.states.items() if state in states)


def ledger(client: redis.Redis, keys: Keys) -> Ledger:
    """Read the states of all generations and the manifests of those that are sealed."""
    states = {int(number): state.decode() for number, state in read.fields(client, keys.states()).items()}
    manifests = {}
    for number, state in states.items():
        text = read.value(client, keys.manifest(number)) if state == "sealed" else None
        if text is not None:
            manifests[number] = Manifest.from_json(text)
    return Ledger(states, manifests)


def served(client: redis.Redis, keys: Keys, variant: str) -> tuple[int | None, int | None]:
    """Return the current and the previous generation of a variant; None where there is none."""
    now, before = client.hmget(keys.current(variant), "generation", "previous")
    return (int(now) if now else None), (int(before) if before else None)


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
    client: redis.Redis,
    keys: Keys,
    lease: Lease,
    folder: Path,
    *,
    variant: str,
    kept: int,
    progress: Progress,
    spared: int | None = None,
) -> list[int]:
    """Retire what killed runs left and what the variant has beyond `kept`; return the numbers that went.

    Whoever holds the lease builds alone, so any other generation in state building is dead; one in state
    retired that still has keys or a folder was being cleared when its run was killed. A quarantined one has
    been there to look at since the last run. `spared` stays: what this run made and the gate held back.
    """
    known = ledger(client, keys)
    current, previous = served(client, keys, variant)
    aside = made_for_past(client, keys, variant)  # they go when somebody retires them
    ours = [
        n
        for n in known.in_state("sealed")
        if n in known.manifests and known.manifests[n].variant == variant and n not in aside
    ]
    gone = known.in_state("building") + surplus(ours, current, previous, kept)
    gone += [n for n in known.in_state("retired", "quarantined") if _remains(client, keys, folder, n)]
    gone = [number for number in gone if number != spared]
    for number in gone:
        retire(client, keys, lease, folder, number, progress)
    return gone


def retire(
    client: redis.Redis, keys: Keys, lease: Lease, folder: Path, generation: int, progress: Progress
) -> None:
    """Remove one generation's keys and folder. Killed at any point, it can be done again.

    What is needed to clear, users, profiles and manifest, goes last. A quarantined one stays quarantined.

    Raises:
        StillServed: It is current.
    """
    text = read.value(client, keys.manifest(generation))
    known = Manifest.from_json(text) if text else None
    _withdraw(keys, lease, generation, known)
    if known and generation in made_for_past(client, keys, known.variant):
        client.zrem(keys.past(known.variant), str(generation))
        announce(client, keys, known.variant)
    users = decode(read.value(client, keys.users(generation)))
    for low in range(0, len(users), CHUNK):
        lease.check()
        with client.pipeline(transaction=False) as pipe:
            for user_id in users[low : low + CHUNK]:
                pipe.unlink(keys.list(user_id, generation))
            pipe.execute()
        progress(f"clearing generation {generation}", min(low + CHUNK, len(users)), len(users))
    for key in (keys.popular(generation), keys.catalogue(generation), keys.posts(generation)):
        client.unlink(key)
    for name in known.segments if known else ():
        client.unlink(keys.segment(generation, name))
    with client.pipeline(transaction=False) as pipe:
        for name in read.words(client, keys.profiles(generation)):
            pipe.unlink(keys.profile(generation, name))
        pipe.execute()
    if (folder / str(generation)).is_dir():
        shutil.rmtree(folder / str(generation))
    last = keys.users(generation), keys.profiles(generation), keys.manifest(generation)
    lease.commit(lambda pipe: pipe.unlink(*last))
    log.info("generation.retired", extra={"generation": generation, "n_users": len(users)})


def _withdraw(keys: Keys, lease: Lease, generation: int, known: Manifest | None) -> None:
    """Take the right to be served from a generation, unless it is served: people promote without a lease."""
    pointer = [keys.current(known.variant)] if known else []

    def decide(pipe: Pipeline) -> Write:
        if known and served(pipe, keys, known.variant)[0] == generation:
            raise StillServed(f"generation {generation} is served: roll back or promote another one first")
        state = pipe.hget(keys.states(), str(generation))
        after = "quarantined" if state == b"quarantined" else "retired"
        return lambda queue: queue.hset(keys.states(), str(generation), after)

    lease.transact([keys.states(), *pointer], decide)


def _remains(client: redis.Redis, keys: Keys, folder: Path, generation: int) -> bool:
    return bool(client.exists(keys.users(generation))) or (folder / str(generation)).is_dir()
