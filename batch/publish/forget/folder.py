"""One user out of a generation's folder: rows of lists, inputs, digests and names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from api.contract.manifest import Manifest
from batch.publish import shard
from batch.publish.folder import GenerationFolder
from batch.publish.forget.rows import Open, drop_rows, open_plain
from batch.publish.names import load_names
from batch.publish.proof.inputs import INPUTS, digest, model_of, open_side
from batch.publish.user_digests import UserDigests

NOTE = "redacting"  # in a folder, while a user is taken out of it


@dataclass(frozen=True, slots=True)
class Redacted:
    """What follows from a folder's files without a user.

    Attributes:
        n_files: Files that held the user.
        inputs: Digest of the inputs; None where they are not here, or were not what was sealed before.
        model: Fingerprint of the model that lies among them; None where those are.
        digests: Of the other users; None where they are not here.
    """

    n_files: int
    inputs: str | None
    model: str | None
    digests: UserDigests | None


def redact_folder(folder: GenerationFolder, manifest: Manifest, forms: Sequence[str]) -> Redacted:
    """Take a user's rows out of all files of a folder. Killed at any point, it can be done again.

    Names go last: by them the user is found. A note says that the inputs were what was sealed before they
    were touched, until `close_folder` ends it all.

    Args:
        folder: Of a generation, served or backfilled.
        manifest: As it was sealed.
        forms: The user's canonical ids.
    """
    names, _ = load_names(folder, manifest)
    codes = np.array(sorted({names.code_of(form) for form in forms} - {-1}), np.int64)
    note = folder.path / NOTE
    was_sealed = note.is_file() or _is_sealed(folder, manifest)
    if was_sealed:
        note.touch()
    n_files = sum(
        drop_rows(path, "user_id", codes, _opener(folder, path))
        for path in sorted(folder.path.rglob("*.parquet"))
    )
    if folder.user_names.is_file():
        n_files += drop_rows(folder.user_names, "code", codes)
    digests = UserDigests.load(folder.user_digests) if folder.user_digests.is_file() else None
    inputs = digest(folder.inputs) if was_sealed else None
    return Redacted(n_files, inputs, model_of(folder.inputs) if was_sealed else None, digests)


def close_folder(folder: GenerationFolder, manifest: Manifest | None) -> None:
    """Write a folder's manifest anew, whole or not at all, if it is another one; nothing without a folder."""
    if manifest is not None and folder.path.is_dir():
        part = folder.manifest.with_suffix(".part")
        part.write_bytes(manifest.to_json())
        part.replace(folder.manifest)
    (folder.path / NOTE).unlink(missing_ok=True)


def _is_sealed(folder: GenerationFolder, manifest: Manifest) -> bool:
    """Say whether inputs and model are those of the manifest."""
    sealed, users = manifest.checksums.get(INPUTS), folder.inputs / "users.parquet"
    if sealed is None or not users.is_file():
        return False
    return (digest(folder.inputs), model_of(folder.inputs)) == (sealed, manifest.model)


def _opener(folder: GenerationFolder, path: Path) -> Open:
    """Return what opens a file as the one at a path was opened when it was written."""
    if path in folder.lists():
        return lambda part, _schema: shard.open_parquet(part)
    return open_side if path.parent == folder.inputs else open_plain
