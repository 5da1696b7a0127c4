"""One user out of a kept generation: their lists, their rows, and what its manifest says of all users."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from redis.client import Pipeline

from api.contract.ids import quote
from api.contract.manifest import Manifest
from batch.publish import shard
from batch.publish.folder import GenerationFolder
from batch.publish.forget.folder import Redacted, close_folder, redact_folder
from batch.publish.proof.checksums import digest_users, shard_names
from batch.publish.proof.inputs import INPUTS
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, digest_topics, spell_sum
from batch.publish.user_digests import UserDigests
from batch.store.lease import Lease


@dataclass(frozen=True, slots=True)
class Gone:
    """What a generation held of a user: hashes of lists and files; whether its files lie on this disk."""

    lists: int
    files: int
    on_disk: bool


def forget_in_store(
    store: GenerationStore, lease: Lease, root: Path, generation: int, forms: Sequence[str]
) -> Gone:
    """Take a user out of a generation in the store and on disk; all that others have stays byte for byte.

    Lists, names of users and manifest change in one transaction, after the files; in a cluster lists go right
    after the others. One that was not what was
    sealed before stays so: `verify` says it still.

    Args:
        store: Holds the generation, sealed or quarantined.
        lease: The right to publish.
        root: Where generations lie on disk.
        generation: Its number.
        forms: The user's canonical ids.

    Raises:
        LookupError: The store has no such manifest.
    """
    manifest, folder = store.need_manifest(generation), GenerationFolder.of(root, generation)
    users = store.user_ids(generation)
    rows = [row for row, user_id in enumerate(users) if user_id in set(forms)]
    redacted = redact_folder(folder, manifest, forms) if folder.path.is_dir() else None
    if not rows and not (redacted and redacted.n_files):
        close_folder(folder, None)
        _drop_lists(store, generation, forms)
        return Gone(0, 0, folder.path.is_dir())
    shards = _digest_again(store, manifest, users, rows, redacted.digests if redacted else None)
    after = amend(_without_topics(store, manifest, forms), len(rows), redacted, shards)
    if folder.path.is_dir():
        close_folder(folder, after)
    stay = [user_id for user_id in users if user_id not in set(forms)]
    keys = store.keys

    def write(pipe: Pipeline) -> None:
        if not keys.in_cluster:
            pipe.unlink(*_list_keys(store, generation, forms))
        pipe.set(keys.users(generation), " ".join(map(quote, stay)))
        pipe.set(keys.manifest(generation), after.to_json())

    lease.commit(write)
    _drop_lists(store, generation, forms)
    return Gone(len(rows), redacted.n_files if redacted else 0, folder.path.is_dir())


def _drop_lists(store: GenerationStore, generation: int, forms: Sequence[str]) -> None:
    """Remove a user's lists where they lie in another slot than the generation's manifest, so after it.

    Whoever is killed in between finds no name of the user when it is done again, and so nothing else to do.
    """
    if store.keys.in_cluster:
        store.client.unlink(*_list_keys(store, generation, forms))


def _list_keys(store: GenerationStore, generation: int, forms: Sequence[str]) -> list[str]:
    return [key(form, generation) for key in (store.keys.list, store.keys.topics) for form in forms]


def forget_on_disk(folder: GenerationFolder, forms: Sequence[str]) -> Gone:
    """Take a user out of a folder that no store knows: a backfilled one, or of a store that is no more.

    Raises:
        ValueError: Its manifest cannot be read.
    """
    manifest = Manifest.from_json(folder.manifest.read_bytes())
    redacted = redact_folder(folder, manifest, forms)
    shards = shard.checksums(redacted.digests.lists) if redacted.digests else None
    after = amend(manifest, 1, redacted, shards) if redacted.n_files else None
    close_folder(folder, after)
    return Gone(0, redacted.n_files, on_disk=True)


def amend(
    manifest: Manifest, n_gone: int, redacted: Redacted | None, shards: dict[str, str] | None
) -> Manifest:
    """Return the manifest of a generation without some of its users.

    Args:
        manifest: As it was sealed.
        n_gone: How many have gone.
        redacted: What follows from its files; None where they are not on this disk.
        shards: Checksums of the shards of the others' lists; None where they were wrong before, and stay.
    """
    old = manifest.checksums
    lists = set(shard_names(old)) if shards is not None else set()
    checksums = {name: text for name, text in old.items() if name not in lists} | (shards or {})
    counts = dict(manifest.counts)
    counts["users"] -= n_gone
    counts["lists"] -= n_gone * manifest.n_buckets
    model = manifest.model
    if redacted is not None:
        if redacted.inputs is not None and redacted.model is not None:
            checksums[INPUTS], model = redacted.inputs, redacted.model
        if redacted.digests is not None and shards is not None:
            marks = redacted.digests.checksums()
            checksums |= {name: marks[name] for name in ("seen", "likes") if name in old}
            counts |= {name: n for name, n in redacted.digests.counts().items() if name in counts}
    return replace(
        manifest,
        checksums=checksums,
        root=shard.root(checksums) if manifest.root else "",
        counts=counts,
        model=model,
        redacted=manifest.redacted + n_gone,
    )


def _without_topics(store: GenerationStore, manifest: Manifest, forms: Sequence[str]) -> Manifest:
    """Return the manifest with a user taken out of the sum over all users' lists of topics."""
    sealed = manifest.checksums.get(CHECKSUM)
    if sealed is None:
        return manifest
    own = sum(digest_topics(form, fields) for form, fields in store.topics(manifest.generation, forms))
    return replace(manifest, checksums={**manifest.checksums, CHECKSUM: spell_sum(int(sealed, 16) - own)})


def _digest_again(
    store: GenerationStore, manifest: Manifest, users: list[str], rows: list[int], digests: UserDigests | None
) -> dict[str, str] | None:
    """Return the checksums of shards without some users; None where the lists are not what was sealed.

    By the digests on disk where they, with the users' own lists in the store, give what was sealed; else all
    lists are read.
    """
    sealed = {name: manifest.checksums[name] for name in shard_names(manifest.checksums)}
    if digests is not None and len(digests.lists) + len(rows) == len(users):
        own = shard.as_rows(digest_users(store, manifest, [users[row] for row in rows]))
        whole = np.insert(digests.lists, np.array(rows) - np.arange(len(rows)), own, axis=0)
        if shard.checksums(whole) == sealed:
            return shard.checksums(digests.lists)
    every: npt.NDArray[np.uint8] = shard.as_rows(digest_users(store, manifest, users))
    if shard.checksums(every) != sealed:
        return None
    return shard.checksums(np.delete(every, rows, axis=0))
