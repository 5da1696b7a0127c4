"""A generation's content as files, all but its lists and seen posts: Parquet, whose codes are ids.

What is a user's lies apart from what all users share, so that a part of the users can be read alone.
"""

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
from batch.publish.names import load_post_names, load_user_names, save_post_names, save_user_names
from batch.score.caps import Caps

EVERYONE = ""  # the name of the popular lists among those of segments
PROFILE = "profile:"  # begins the name of a profile's lists; a segment's has a = in it


def save_users(folder: GenerationFolder, content: GenerationContent) -> None:
    """Write users and their segments."""
    segments = pa.array(content.segment_of, pa.string())
    _write(folder.users, {"user_id": content.user_ids, "segment": segments})
    save_user_names(folder, content)


def save_shared(folder: GenerationFolder, content: GenerationContent) -> None:
    """Write posts, facets and the lists that are not a user's; the manifest is the caller's."""
    place = np.full(len(content.post_ids), -1)
    place[content.catalogue] = np.arange(len(content.catalogue))
    shown = pa.array(content.posts, pa.binary())
    posts = {"post_id": content.post_ids, "shown": shown, "place": place}
    if content.similar is not None:
        posts["similar"] = _similar_ids(content)
    if content.windows is not None:
        posts |= {FROM_S: content.windows.from_s, TO_S: content.windows.to_s}
    _write(folder.posts, posts)
    _write(folder.shared, _shared_columns(content))
    if content.filter_by:
        having = [content.post_ids[rows] for rows in content.facets.values()]
        facets = pa.array(list(content.facets), pa.string())
        _write(folder.facets, {"facet": facets, "posts": pa.array(having, pa.list_(pa.int64()))})
    save_post_names(folder, content)


def read_content(folder: GenerationFolder, people: GenerationFolder, manifest: Manifest) -> GenerationContent:
    """Read a content; its users have seen nothing.

    Args:
        folder: Where `save_shared` wrote.
        people: Where `save_users` wrote.
        manifest: The generation's.

    Raises:
        FileNotFoundError: A file is gone.
    """
    paths = people.users, folder.posts, folder.shared
    users, posts, shared = (pq.read_table(path) for path in paths)
    post_ids = posts["post_id"].to_numpy()
    nothing, shown = SeenTimes.none(len(users)), posts["shown"].to_pylist()
    user_names, post_names = load_user_names(people, manifest), load_post_names(folder, manifest)
    lists = _lists_by_name(shared, post_ids, manifest.n_buckets)
    profiles = [name for name in lists if name.startswith(PROFILE)]
    similar = as_rows(posts["similar"], post_ids, manifest.similar) if manifest.similar else None
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
    there = rows >= 0  # each row's are its first ones
    ends = np.concatenate([[0], np.count_nonzero(there, axis=1).cumsum()])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), content.post_ids[rows[there]])


def _lists_by_name(table: pa.Table, post_ids: Ints, n_buckets: int) -> dict[str, Rows]:
    posts = table["posts"]
    depth = max((len(row) for row in posts.to_pylist()), default=0)
    rows = as_rows(posts, post_ids, depth)
    names = table["name"].to_pylist()[::n_buckets]
    return {name: rows[k * n_buckets : (k + 1) * n_buckets] for k, name in enumerate(names)}


def as_rows(posts: pa.ChunkedArray, post_ids: Ints, depth: int) -> Rows:
    """Return lists of post ids as row numbers, int32 (lists, depth), filled with -1."""
    ids = shard.pad(posts, depth, -1)
    return np.where(ids < 0, -1, np.searchsorted(post_ids, ids)).astype(np.int32)


def _write(path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")
