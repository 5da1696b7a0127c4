"""The ledger as people read it: what each generation is, where it stands, when it was served."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from batch.progress import Show
from batch.publish.folder import GenerationFolder
from batch.publish.ledger.ledger import Promotion
from batch.publish.retire import retire
from batch.publish.store import GenerationStore
from batch.store.lease import hold


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation. What only a manifest tells is None once that has gone."""

    generation: int
    state: str  # building, sealed, current, previous, retired or quarantined
    manifest: Manifest | None
    served: tuple[Promotion, ...]

    def row(self) -> dict[str, Any]:
        """Return a line of the list: times as ISO 8601, the gate's outcome, intervals in words."""
        manifest = self.manifest
        return {
            "generation": self.generation,
            "state": self.state,
            "variant": manifest.variant if manifest else None,
            "as_of": moment(manifest.as_of_s).isoformat() if manifest else None,
            "created_at": moment(manifest.created_at_s).isoformat() if manifest else None,
            "users": manifest.counts.get("users") if manifest else None,
            "lists": manifest.counts.get("lists") if manifest else None,
            "gate": (manifest.gate or {}).get("outcome") if manifest else None,
            "root": manifest.root if manifest else None,
            "served": [_interval(promotion) for promotion in self.served],
        }


def entries(store: GenerationStore, variants: Iterable[str] = ()) -> list[Entry]:
    """Return every generation that the store has ever numbered, ascending.

    Args:
        store: Whose.
        variants: Variants to ask about beside those of the manifests.
    """
    states = store.states()
    manifests = {number: store.manifest(number) for number in states}
    names = {manifest.variant for manifest in manifests.values() if manifest} | set(variants)
    for name in names:
        for number, role in zip(store.read_served(name), ("current", "previous"), strict=True):
            if number is not None and states.get(number) == "sealed":
                states[number] = role
    history = [promotion for name in sorted(names) for promotion in store.promotions(name)]
    return [
        Entry(number, state, manifests[number], tuple(p for p in history if p.generation == number))
        for number, state in states.items()
    ]


def entry(store: GenerationStore, generation: int, variants: Iterable[str] = ()) -> Entry:
    """Return one generation.

    Raises:
        LookupError: The store has never numbered it.
    """
    for found in entries(store, variants):
        if found.generation == generation:
            return found
    raise LookupError(f"generation {generation} is unknown: `almanac generations list` shows those that are")


def show(store: GenerationStore, generation: int, root: Path, variants: Iterable[str] = ()) -> dict[str, Any]:
    """Return one generation's line, its whole manifest, the life left in its lists, and its bytes on disk.

    Raises:
        LookupError: The store has never numbered it.
    """
    found = entry(store, generation, variants)
    left_s = store.list_ttl_s(generation)
    return {
        **found.row(),
        "manifest": asdict(found.manifest) if found.manifest else None,
        "list_ttl_s": left_s if left_s is not None and left_s >= 0 else None,
        "disk_bytes": GenerationFolder.of(root, generation).n_bytes,
    }


def retire_one(store: GenerationStore, root: Path, generation: int, now_s: int, progress: Show) -> None:
    """Clear one generation's keys and folder in small steps, while nobody publishes.

    Raises:
        LookupError: The store has never numbered it.
        StillServed: It is current.
        LeaseTaken: A run is publishing; it clears what is beyond the number kept by itself.
    """
    entry(store, generation)
    with hold(store.client, store.keys.lease(), now_s, progress) as lease:
        retire(store, lease, root, generation, progress)


def _interval(promotion: Promotion) -> str:
    until = "now" if promotion.until_s is None else moment(promotion.until_s).isoformat()
    by = f" by {promotion.who}" if promotion.who else ""
    return f"{moment(promotion.from_s).isoformat()} to {until} ({promotion.why}{by})"
