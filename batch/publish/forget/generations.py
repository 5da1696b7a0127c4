"""One user out of every kept generation: in the store, in their folders, in folders no store knows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from api.contract.ids import Kind
from api.contract.manifest import Manifest
from batch.progress import Show
from batch.publish.folder import GenerationFolder
from batch.publish.forget.generation import forget_in_store, forget_on_disk
from batch.publish.retire import retire
from batch.publish.store import GenerationStore
from batch.store.lease import Lease

KEPT = ("sealed", "quarantined")


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What all generations held of a user.

    Attributes:
        lists: Generation in the store to hashes of lists, of those that had any.
        files: Files on disk.
        elsewhere: Generations of the store whose files are not on this disk.
    """

    lists: dict[int, int]
    files: int
    elsewhere: tuple[int, ...]


def find_kinds(store: GenerationStore, roots: Sequence[Path]) -> set[Kind]:
    """Return what users' ids are, in all kept generations; numbers where there is none."""
    manifests = [manifest for _, manifest in _kept(store)]
    manifests += [Manifest.from_json(folder.manifest.read_bytes()) for folder in _folders(roots)]
    return {manifest.user_ids for manifest in manifests} or {"numbers"}


def forget_everywhere(
    store: GenerationStore, lease: Lease, root: Path, backfilled: Path, forms: Sequence[str], show: Show
) -> Everywhere:
    """Take a user out of all generations.

    What killed runs left is cleared whole. A backfill must not be under way: its draft goes, too.

    Args:
        store: Theirs.
        lease: The right to publish.
        root: Where their folders lie.
        backfilled: Where those of backfilled ones lie.
        forms: The user's canonical ids.
        show: Told how far it is.
    """
    for number, state in store.states().items():
        if state == "building":  # whoever holds the lease builds alone: it is dead
            retire(store, lease, root, number, show)
    for draft in backfilled.glob("*.part"):
        rmtree(draft)
    kept = [number for number, _ in _kept(store)]
    found, files = {}, 0
    for place, number in enumerate(kept):
        lease.check()
        found[number] = forget_in_store(store, lease, root, number, forms)
        show("generations", place + 1, len(kept))
    for folder in _folders([root, backfilled]):
        if folder.path.parent == backfilled or int(folder.path.name) not in found:
            lease.check()
            files += forget_on_disk(folder, forms).files
    return Everywhere(
        lists={number: gone.lists for number, gone in found.items() if gone.lists},
        files=files + sum(gone.files for gone in found.values()),
        elsewhere=tuple(number for number, gone in found.items() if not gone.on_disk),
    )


def _kept(store: GenerationStore) -> Iterator[tuple[int, Manifest]]:
    for number, state in store.states().items():
        manifest = store.manifest(number) if state in KEPT else None
        if manifest is not None:
            yield number, manifest


def _folders(roots: Sequence[Path]) -> Iterator[GenerationFolder]:
    """Yield the folders of sealed generations."""
    for root in roots:
        found = (GenerationFolder(path) for path in sorted(root.glob("*")) if path.name.isdigit())
        yield from (folder for folder in found if folder.manifest.is_file())
