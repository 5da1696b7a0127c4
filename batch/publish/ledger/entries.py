"""The ledger as people read it: what each generation is, where it stands, when it was served."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.ledger.history import Promotion, promotions
from batch.publish.retire import retire, served
from batch.store import read
from batch.store.lease import Progress, hold


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation. What only a manifest tells is None once that has gone."""

    generation: int
    state: str  # building, sealed, current, previous, retired or quarantined
    manifest: Manifest | None
    served: tuple[Promotion, ...]

    def row(self) -> dict[str, Any]:
        """Return a line of the list: times as ISO 8601, the gate's outcome, intervals in words."""
        known = self.manifest
        return {
            "generation": self.generation,
            "state": self.state,
            "variant": known.variant if known else None,
            "as_of": moment(known.as_of_s).isoformat() if known else None,
            "created_at": moment(known.created_at_s).isoformat() if known else None,
            "users": known.counts.get("users") if known else None,
            "lists": known.counts.get("lists") if known else None,
            "gate": (known.gate or {}).get("outcome") if known else None,
            "root": known.root if known else None,
            "served": [_interval(promotion) for promotion in self.served],
        }


def entries(client: redis.Redis, keys: Keys, variants: Iterable[str] = ()) -> list[Entry]:
    """Return every generation that the store has ever numbered, ascending.

    Args:
        client: The store.
        keys: Names of the keys.
        variants: Variants to ask about beside those of the manifests.
    """
    states = {int(number): state.decode() for number, state in read.fields(client, keys.states()).items()}
    numbers = sorted(states)
    texts = [read.value(client, keys.manifest(number)) for number in numbers]
    known = {n: Manifest.from_json(text) for n, text in zip(numbers, texts, strict=True) if text is not None}
    names = {manifest.variant for manifest in known.values()} | set(variants)
    for name in names:
        for number, role in zip(served(client, keys, name), ("current", "previous"), strict=True):
            if number is not None and states.get(number) == "sealed":
                states[number] = role
    history = [promotion for name in sorted(names) for promotion in promotions(client, keys, name)]
    return [
        Entry(number, states[number], known.get(number), tuple(p for p in history if p.generation == number))
        for number in numbers
    ]


def entry(client: redis.Redis, keys: Keys, generation: int, variants: Iterable[str] = ()) -> Entry:
    """Return one generation.

    Raises:
        LookupError: The store has never numbered it.
    """
    for known in entries(client, keys, variants):
        if known.generation == generation:
            return known
    raise LookupError(f"generation {generation} is unknown: `almanac generations list` shows those that are")


def show(
    client: redis.Redis, keys: Keys, generation: int, folder: Path, variants: Iterable[str] = ()
) -> dict[str, Any]:
    """Return one generation's line, its whole manifest, the life left in its lists, and its bytes on disk.

    Raises:
        LookupError: The store has never numbered it.
    """
    known = entry(client, keys, generation, variants)
    home = folder / str(generation)
    users = decode((read.value(client, keys.users(generation)) or b"").partition(b" ")[0])
    left_s = int(client.ttl(keys.list(users[0], generation))) if users else -2
    return {
        **known.row(),
        "manifest": asdict(known.manifest) if known.manifest else None,
        "list_ttl_s": left_s if left_s >= 0 else None,
        "disk_bytes": sum(path.stat().st_size for path in home.rglob("*") if path.is_file()),
    }


def retire_one(
    client: redis.Redis, keys: Keys, folder: Path, generation: int, now_s: int, progress: Progress
) -> None:
    """Clear one generation's keys and folder in small steps, while nobody publishes.

    Raises:
        LookupError: The store has never numbered it.
        StillServed: It is current.
        LeaseTaken: A run is publishing; it clears what is beyond the number kept by itself.
    """
    entry(client, keys, generation)
    with hold(client, keys.lease(), now_s, progress) as lease:
        retire(client, keys, lease, folder, generation, progress)


def _interval(promotion: Promotion) -> str:
    until = "now" if promotion.until_s is None else moment(promotion.until_s).isoformat()
    return f"{moment(promotion.from_s).isoformat()} to {until} ({promotion.why})"
