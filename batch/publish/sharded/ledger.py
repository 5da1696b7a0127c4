"""What the store knows of a generation that shards write: what was prepared, and what each has left."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from batch.publish.ledger.ledger import Ledger
from batch.publish.sharded.place import Files
from batch.store import read
from batch.store.wait import wait_until

ABOUT = "about"  # the field beside those of shards
OPEN_S = 86_400  # a prepared generation that is not sealed by then is dead: nobody comes back to it
SHARD_TTL_S = 10.0  # a killed shard keeps its next attempt waiting this long


class NothingPrepared(LookupError):
    """No generation waits for shards."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A generation that shards write, as its store knows it.

    Attributes:
        generation: Its number.
        place: Where its files lie; see `place`.
        n_shards: How many parts its users are cut into.
        n_users: Users of all shards.
        begun_s: When it was prepared, epoch seconds.
        held: What the store held of seen posts and likes then; see `seen.find_held`.
        files: The files of each folder of the place.
        plan: What was planned of the store's memory; see `memory.plan`.
    """

    generation: int
    place: str
    n_shards: int
    n_users: int
    begun_s: int
    held: dict[str, int | None]
    files: dict[str, Files]
    plan: dict[str, Any] | None = None

    def span(self, shard: int) -> tuple[int, int]:
        """Return the rows of a shard's first user and of the one after its last; shards count from 1.

        >>> [Prepared(1, "", 3, 10, 0, {}, {}).span(shard) for shard in (1, 2, 3)]
        [(0, 3), (3, 6), (6, 10)]
        """
        return self.n_users * (shard - 1) // self.n_shards, self.n_users * shard // self.n_shards


@dataclass(frozen=True, slots=True)
class Written:
    """What one shard has left.

    Attributes:
        token: Of the attempt that wrote it; in the name of its folder.
        files: Of that folder.
        host: Where it ran, in process `pid`.
        pid: See `host`.
        took_s: Seconds it took.
        cpu_s: CPU seconds of its process.
    """

    token: str
    files: Files
    host: str
    pid: int
    took_s: float
    cpu_s: float


def note_prepared(prepared: Prepared) -> bytes:
    """Return the value of the field that tells of a prepared generation."""
    return orjson.dumps(asdict(prepared))


def read_prepared(ledger: Ledger, generation: int) -> Prepared | None:
    """Return what was prepared of a generation; None where shards do not write it."""
    text = ledger.client.hget(ledger.keys.shards(generation), ABOUT)
    return None if text is None else Prepared(**orjson.loads(read.narrow(text)))


def read_written(ledger: Ledger, generation: int) -> dict[int, Written]:
    """Return what shards have left so far, by shard."""
    fields = read.fields(ledger.client, ledger.keys.shards(generation))
    return {
        int(name): Written(**orjson.loads(text)) for name, text in fields.items() if name != ABOUT.encode()
    }


def find_open(ledger: Ledger, variant: str) -> list[Prepared]:
    """Return the generations of a variant that wait for shards or their seal, newest first."""
    found = []
    for number, state in ledger.states().items():
        prepared = read_prepared(ledger, number) if state == "building" else None
        manifest = ledger.manifest(number) if prepared else None
        if prepared and manifest and manifest.variant == variant:
            found.append(prepared)
    return found[::-1]


def need_open(ledger: Ledger, variant: str, generation: int | None = None) -> Prepared:
    """Return the generation of a variant that waits for shards: the newest, or the one of a number.

    Raises:
        NothingPrepared: There is none.
    """
    found = [one for one in find_open(ledger, variant) if generation in (None, one.generation)]
    if found:
        return found[0]
    which = "no generation" if generation is None else f"generation {generation} no more"
    raise NothingPrepared(f"{which} waits for shards of variant {variant}: begin with `almanac prepare`")


def is_awaited(ledger: Ledger, generation: int, now: Callable[[], int]) -> bool:
    """Say whether a generation in state building still waits for shards; `now` is asked where it may."""
    prepared = read_prepared(ledger, generation)
    return prepared is not None and now() - prepared.begun_s < OPEN_S


def await_writers(ledger: Ledger, prepared: Prepared) -> None:
    """Return once no process may write a shard any more, of a generation that is not building any more.

    None of them can renew its right, and each looks at it before it writes.
    """
    names = [ledger.keys.shard(prepared.generation, shard) for shard in range(1, prepared.n_shards + 1)]
    wait_until(lambda: not any(ledger.client.exists(name) for name in names), SHARD_TTL_S + 1)
