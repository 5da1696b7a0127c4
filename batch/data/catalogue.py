"""Posts that do not stand in one row each: rows of post, property, value; and topics that lie in a tree."""

from collections.abc import Iterator
from collections.abc import Mapping as Map
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Ints
from batch.data.columns import PARENT, POST_ID, PROPERTIES, PROPERTY, TIMESTAMP, TOPIC, TREE, VALUE
from batch.data.mapping import Mapping, TimeForm
from batch.data.rows import find_rows
from batch.data.source import Source
from batch.data.validation.entities import Entities, posts_frame
from batch.data.validation.ids import Ids
from batch.data.validation.times import parse_times
from batch.data.validation.values import is_list, plain, spell, to_numpy
from batch.data.validation.windows import find_wrong_windows
from batch.data.versions import PostVersions

Batches = Iterator[pa.RecordBatch]
_NOTHING = "\x00"  # in place of a value that was taken back
DEEPEST = 32  # levels of a tree; a deeper one runs in a circle


def read_versions(source: Source, mapping: Mapping) -> pa.RecordBatch | None:
    """Return posts as properties describe them over time, topics as paths; None where they do not."""
    if not mapping.properties or not source.has(PROPERTIES):
        return None
    versions = read_properties(source, mapping.properties, mapping.time)
    if TOPIC in mapping.properties and source.has(TREE):
        versions = next(lay_paths(source, iter([versions])))
    return versions


def read_properties(source: Source, ours: Map[str, str], form: TimeForm) -> pa.RecordBatch:
    """Return one row a post and time at which a property of it changed: its id, the time, our columns then.

    Rows are by post, then by time; where rows have no time, or the same, the last one counts. A post that has
    none of the properties is not among them.

    Args:
        source: Has the table `post_properties`.
        ours: Our column to their name of the property that it holds.
        form: How times are written; what it cannot read is ISO 8601, or was so from ever.
    """
    names = {theirs: own for own, theirs in ours.items()}
    frames = [pd.DataFrame(columns=[POST_ID, PROPERTY, VALUE, TIMESTAMP])]
    for batch in source.batches(PROPERTIES, source.columns(PROPERTIES)):
        kept = batch.filter(pc.is_in(spell(plain(batch.column(PROPERTY))), pa.array(list(names))))
        if kept.num_rows:
            frames.append(_frame(kept, form))
    rows = pd.concat(frames, ignore_index=True).drop_duplicates([POST_ID, PROPERTY, TIMESTAMP], keep="last")
    told = rows.fillna({VALUE: _NOTHING}).pivot(index=[POST_ID, TIMESTAMP], columns=PROPERTY, values=VALUE)
    table = told.groupby(level=POST_ID).ffill().reindex(columns=list(names)).replace({_NOTHING: None})
    texts = table.astype(object).where(table.notna(), None)
    columns = {own: pa.array(texts[theirs].to_list(), pa.string()) for theirs, own in names.items()}
    posts, times = (texts.index.get_level_values(level).to_list() for level in (POST_ID, TIMESTAMP))
    return pa.record_batch(
        {POST_ID: pa.array(posts, pa.string()), TIMESTAMP: pa.array(times, pa.int64()), **columns}
    )


def take_latest(versions: pa.RecordBatch) -> pa.RecordBatch:
    """Return the last row of each post, without its time."""
    posts = versions.column(POST_ID).to_pandas()
    last = pa.array(~posts.duplicated(keep="last"))
    return versions.filter(last).drop_columns(TIMESTAMP)


def lay_versions(
    versions: pa.RecordBatch, columns: list[str], ids: Ids, post_ids: Ints, form: TimeForm
) -> PostVersions:
    """Return the versions that `read_versions` found of the posts that are among `post_ids`.

    One whose window would be rejected says nothing: what was known before holds on.

    Args:
        versions: As `read_versions` returned them.
        columns: Ours that hold properties.
        ids: Those of posts, whose kind is decided.
        post_ids: int64 (posts,), ascending.
        form: How the times of windows are written.
    """
    wrong = np.logical_or.reduce(list(find_wrong_windows(versions, form).values()))
    parsed = ids.parse(versions.column(POST_ID))
    row = find_rows(post_ids, ids.codes(ids.settle(parsed.value)))
    known = np.flatnonzero(~parsed.missing & ~parsed.unreadable & (row >= 0) & ~wrong)
    each = np.arange(versions.num_rows, dtype=np.int64)
    told = posts_frame(each, Entities(each, each, [versions], each, typed=True), columns, form)
    time = np.asarray(versions.column(TIMESTAMP), np.int64)[known]
    return PostVersions(row[known], time, told.iloc[known].reset_index(drop=True))


def lay_paths(source: Source, batches: Batches) -> Batches:
    """Yield posts with each topic that stands in the table `topic_tree` as its path, from the root down."""
    parents: dict[str, str | None] = {}
    for batch in source.batches(TREE, source.columns(TREE)):
        topics, above = (spell(plain(batch.column(name))).to_pylist() for name in (TOPIC, PARENT))
        parents.update(zip(topics, above, strict=True))
    for batch in batches:
        at = batch.schema.get_field_index(TOPIC)
        if at >= 0 and not is_list(batch.column(at).type):
            paths = [_path(topic, parents) for topic in spell(plain(batch.column(at))).to_pylist()]
            batch = batch.set_column(at, TOPIC, pa.array(paths, pa.list_(pa.string())))
        yield batch


def _path(topic: str | None, parents: Map[str, str | None]) -> list[str] | None:
    """Return a topic and all above it, the uppermost first; None for none.

    >>> _path("7", {"7": "3", "3": "1", "1": None})
    ['1', '3', '7']
    """
    path: list[str] = []
    while topic and topic not in path and len(path) < DEEPEST:
        path.append(topic)
        topic = parents.get(topic)
    return path[::-1] or None


def _frame(rows: pa.RecordBatch, form: TimeForm) -> pd.DataFrame:
    """Return rows with their times in seconds, 0 where there is none."""
    told: dict[str, Any] = {name: to_numpy(spell(rows.column(name))) for name in (POST_ID, PROPERTY, VALUE)}
    told[TIMESTAMP] = np.zeros(rows.num_rows, np.int64)
    if TIMESTAMP in rows.schema.names:
        times = [parse_times(rows.column(TIMESTAMP), one) for one in (form, TimeForm(zone=form.zone))]
        for parsed in reversed(times):
            readable = ~parsed.missing & ~parsed.unreadable
            told[TIMESTAMP] = np.where(readable, parsed.value, told[TIMESTAMP])
    return pd.DataFrame(told).dropna(subset=[POST_ID])
