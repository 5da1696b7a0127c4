"""Backfilled generations: made for a past time, whole on disk; in the store those that somebody asks for.

A folder holds the lists with their scores, what all users share, the inputs and a manifest: Parquet, JSON and
LightGBM's text. Its bytes depend on the facts by its as_of alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from api.contract.manifest import Manifest
from batch.publish import shard
from batch.publish.content_files import as_rows, read_content, save_shared, save_users
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.score.ranked import RankedBlock

FOLDER = "backfill"  # in the state folder


@dataclass(frozen=True, slots=True)
class Backfilled:
    """A generation on disk; its manifest's number counts those of the folder."""

    folder: GenerationFolder
    manifest: Manifest


def list_backfilled(root: Path, variant: str) -> list[Backfilled]:
    """Return what a variant has on disk, oldest as_of first."""
    found = [
        Backfilled(folder, Manifest.from_json(folder.manifest.read_bytes())) for folder in _folders(root)
    ]
    return sorted(
        (made for made in found if made.manifest.variant == variant), key=lambda made: made.manifest.as_of_s
    )


def save_backfilled(
    root: Path, content: GenerationContent, blocks: Iterable[RankedBlock], inputs: Inputs, created_at_s: int
) -> Backfilled:
    """Write a generation whole or not at all, in the place of an earlier one of the same variant and as_of.

    Args:
        root: Where backfilled generations lie; each gets a folder by its number.
        content: Everything but the lists.
        blocks: Ranked lists of all users, in order.
        inputs: What the blocks are computed from.
        created_at_s: Epoch seconds, for the manifest.

    Raises:
        ValueError: The blocks do not cover the content's users.
    """
    number = _number(root, content)
    draft, folder = GenerationFolder(root / f"{number}.part"), GenerationFolder.of(root, number)
    draft.create()
    with shard.Files(draft, content) as files:
        for block in shard.cut_at_shards(shard.check_cover(blocks, content)):
            files.add(block)
    save_shared(draft, content)
    save_users(draft, content)
    checksums = {INPUTS: inputs.save(draft.inputs)}
    manifest = replace(content.draft(number, created_at_s), checksums=checksums)
    draft.manifest.write_bytes(manifest.to_json())
    folder.remove()
    draft.path.rename(folder.path)
    return Backfilled(folder, manifest)


def open_content(made: Backfilled) -> GenerationContent:
    """Read everything but the lists; seen posts are none, since the store has them from the facts.

    Raises:
        FileNotFoundError: A file is gone.
    """
    return read_content(made.folder, made.folder, made.manifest)


def open_lists(made: Backfilled, content: GenerationContent) -> Iterator[RankedBlock]:
    """Read the lists back, shard by shard; their scores stay on disk."""
    n_buckets, first = content.horizon.n_buckets, 0
    for path in made.folder.lists():
        posts = pq.read_table(path, columns=["posts"])["posts"]
        rows = as_rows(posts, content.post_ids, content.depth).reshape(-1, n_buckets, content.depth)
        yield RankedBlock(first, rows, np.where(rows < 0, np.nan, 0.0))
        first += len(rows)


def open_list(made: Backfilled) -> Callable[[int, int], list[int]]:
    """Return what reads a user's list of a bucket, by codes and bucket start; empty where there is none."""
    paths = made.folder.lists()

    def read(user: int, bucket_s: int) -> list[int]:
        wanted = [("user_id", "=", user), ("bucket", "=", bucket_s)]
        found = pq.read_table(paths, columns=["posts"], filters=wanted)["posts"].to_pylist()
        return [int(post) for post in found[0]] if found else []

    return read


def _folders(root: Path) -> list[GenerationFolder]:
    found = (GenerationFolder(path) for path in sorted(root.glob("*")) if path.name.isdigit())
    return [folder for folder in found if folder.manifest.is_file()]


def _number(root: Path, content: GenerationContent) -> int:
    for made in list_backfilled(root, content.variant):
        if made.manifest.as_of_s == content.as_of_s:
            return made.manifest.generation
    return max((int(folder.path.name) for folder in _folders(root)), default=0) + 1
