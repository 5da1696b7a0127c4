"""Backfilled generations: made for a past time, whole on disk; in the store those that somebody asks for.

A folder holds the lists with their scores, what all users share, the inputs and a manifest: Parquet, JSON and
LightGBM's text. Its bytes depend on the facts by its as_of alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from api.contract.manifest import Manifest
from batch.arrays import Ints
from batch.data.seen import SeenTimes
from batch.data.windows import FROM_S, TO_S, Windows
from batch.publish import shard
from batch.publish.folder import GenerationFolder
from batch.publish.generation import GenerationContent, Rows
from batch.publish.names import load_names, save_names
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.score.caps import Caps
from batch.score.ranked import RankedBlock

FOLDER = "backfill"  # in the state folder
EVERYONE = ""  # the name of the popular lists among those of segments
PROFILE = "profile:"  # begins the name of a profile's lists; a segment's has a = in it


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
    segments = pa.array(content.segment_of, pa.string())
    _write(draft.users, {"user_id": content.user_ids, "segment": segments})
    place = np.full(len(content.post_ids), -1)
    place[content.catalogue] = np.arange(len(content.catalogue))
    shown = pa.array(content.posts, pa.binary())
    posts = {"post_id": content.post_ids, "shown": shown, "place": place}
    if content.similar is not None:
        posts["similar"] = _similar_ids(content)
    if content.windows is not None:
        posts |= {FROM_S: content.windows.from_s, TO_S: content.windows.to_s}
    _write(draft.posts, posts)
    _write(draft.shared, _shared_columns(content))
    if content.filter_by:
        having = [content.post_ids[rows] for rows in content.facets.values()]
        facets = pa.array(list(content.facets), pa.string())
        _write(draft.facets, {"facet": facets, "posts": pa.array(having, pa.list_(pa.int64()))})
    save_names(draft, content)
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
    manifest, folder = made.manifest, made.folder
    users, posts, shared = (pq.read_table(path) for path in (folder.users, folder.posts, folder.shared))
    post_ids = posts["post_id"].to_numpy()
    nothing, shown = SeenTimes.none(len(users)), posts["shown"].to_pylist()
    user_names, post_names = load_names(folder, manifest)
    lists = _lists_by_name(shared, post_ids, manifest.n_buckets)
    profiles = [name for name in lists if name.startswith(PROFILE)]
    similar = _rows(posts["similar"], post_ids, manifest.similar) if manifest.similar else None
    place = posts["place"].to_numpy()
    order = np.argsort(place)
    return GenerationContent(
        variant=manifest.variant,
        as_of_s=manifest.as_of_s,
        horizon=manifest.horizon,
        depth=manifest.depth,
        seen_policy=manifest.seen_policy,
        model=manifest.model,
        features=manifest.features,
        segment_by=manifest.segment_by,
        user_ids=users["user_id"].to_numpy(),
        post_ids=post_ids,
        posts=shown,
        popular=lists.pop(EVERYONE),
        profile=manifest.profile,
        profiles={name.removeprefix(PROFILE): lists.pop(name) for name in profiles},
        segments=lists,
        segment_of=users["segment"].to_pylist(),
        catalogue=order[place[order] >= 0].astype(np.int32),
        views=nothing,
        likes=nothing,
        user_names=user_names,
        post_names=post_names,
        metrics=manifest.metrics,
        filter_by=manifest.filter_by,
        topic_depth=manifest.topic_depth,
        facets=_open_facets(folder, post_ids) if manifest.filter_by else {},
        caps=Caps.of(manifest.max_per_topic, (orjson.loads(post)["topic"] for post in shown)),
        similar=similar,
        windows=Windows.of_table(posts),
    )


def _open_facets(folder: GenerationFolder, post_ids: Ints) -> dict[str, Rows]:
    facets = pq.read_table(folder.facets)
    having = [np.searchsorted(post_ids, posts).astype(np.int32) for posts in facets["posts"].to_pylist()]
    return dict(zip(facets["facet"].to_pylist(), having, strict=True))


def open_lists(made: Backfilled, content: GenerationContent) -> Iterator[RankedBlock]:
    """Read the lists back, shard by shard; their scores stay on disk."""
    n_buckets, first = content.horizon.n_buckets, 0
    for path in made.folder.lists():
        posts = pq.read_table(path, columns=["posts"])["posts"]
        rows = _rows(posts, content.post_ids, content.depth).reshape(-1, n_buckets, content.depth)
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


def _shared_columns(content: GenerationContent) -> dict[str, Any]:
    lists = {EVERYONE: content.popular} | {name: content.segments[name] for name in sorted(content.segments)}
    lists |= {PROFILE + name: content.profiles[name] for name in sorted(content.profiles)}
    starts = content.horizon.starts
    ids = [content.post_ids[row[row >= 0]].tolist() for rows in lists.values() for row in np.asarray(rows)]
    return {
        "name": [name for name in lists for _ in starts],
        "bucket": [start for _ in lists for start in starts],
        "posts": pa.array(ids, pa.list_(pa.int64())),
    }


def _similar_ids(content: GenerationContent) -> pa.Array:
    rows = np.empty((0, 0), np.int32) if content.similar is None else content.similar
    return pa.array([content.post_ids[row[row >= 0]].tolist() for row in rows], pa.list_(pa.int64()))


def _lists_by_name(table: pa.Table, post_ids: Ints, n_buckets: int) -> dict[str, Rows]:
    posts = table["posts"]
    depth = max((len(row) for row in posts.to_pylist()), default=0)
    rows = _rows(posts, post_ids, depth)
    names = table["name"].to_pylist()[::n_buckets]
    return {name: rows[k * n_buckets : (k + 1) * n_buckets] for k, name in enumerate(names)}


def _rows(posts: pa.ChunkedArray, post_ids: Ints, depth: int) -> Rows:
    """Return lists of post ids as row numbers, int32 (lists, depth), filled with -1."""
    ids = shard.pad(posts, depth, -1)
    return np.where(ids < 0, -1, np.searchsorted(post_ids, ids)).astype(np.int32)


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")
