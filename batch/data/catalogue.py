"""Posts that do not stand in one row each: rows of post, property, value; and topics that lie in a tree."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batch.data.columns import PARENT, POST_ID, PROPERTIES, PROPERTY, TIMESTAMP, TOPIC, TREE, VALUE
from batch.data.source import Source
from batch.data.validation.values import is_list, numbers, plain, spell, to_numpy

Batches = Iterator[pa.RecordBatch]
DEEPEST = 32  # levels of a tree; a deeper one runs in a circle


def read_properties(source: Source, ours: Mapping[str, str]) -> pa.RecordBatch:
    """Return one row a post: its id and our columns, from the latest row of each of its properties.

    Where rows have no time, or the same, the last one counts. A post that has none of the properties is not
    among them.

    Args:
        source: Has the table `post_properties`.
        ours: Our column to their name of the property that it holds.
    """
    names = {theirs: own for own, theirs in ours.items()}
    frames = [pd.DataFrame(columns=[POST_ID, PROPERTY, VALUE, "number", "text"])]
    for batch in source.batches(PROPERTIES, source.columns(PROPERTIES)):
        kept = batch.filter(pc.is_in(spell(plain(batch.column(PROPERTY))), pa.array(list(names))))
        if kept.num_rows:
            frames.append(_frame(kept))
    rows = pd.concat(frames, ignore_index=True).sort_values(["number", "text"], kind="stable")
    latest = rows.drop_duplicates([POST_ID, PROPERTY], keep="last")
    table = latest.pivot(index=POST_ID, columns=PROPERTY, values=VALUE).reindex(columns=list(names))
    columns = {own: pa.array(table[theirs].to_list(), pa.string()) for theirs, own in names.items()}
    return pa.record_batch({POST_ID: pa.array(table.index.to_list(), pa.string()), **columns})


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


def _path(topic: str | None, parents: Mapping[str, str | None]) -> list[str] | None:
    """Return a topic and all above it, the uppermost first; None for none.

    >>> _path("7", {"7": "3", "3": "1", "1": None})
    ['1', '3', '7']
    """
    path: list[str] = []
    while topic and topic not in path and len(path) < DEEPEST:
        path.append(topic)
        topic = parents.get(topic)
    return path[::-1] or None


def _frame(rows: pa.RecordBatch) -> pd.DataFrame:
    """Return rows with their times as numbers, or as texts where they are none: ISO 8601 sorts as is."""
    told: dict[str, Any] = {name: to_numpy(spell(rows.column(name))) for name in (POST_ID, PROPERTY, VALUE)}
    told["number"], told["text"] = np.zeros(rows.num_rows), [""] * rows.num_rows
    if TIMESTAMP in rows.schema.names:
        times = plain(rows.column(TIMESTAMP))
        told["number"] = np.nan_to_num(numbers(times), nan=0.0)
        told["text"] = to_numpy(pc.fill_null(spell(times), ""))
        told["text"] = np.where(told["number"] == 0, told["text"], "")
    return pd.DataFrame(told).dropna(subset=[POST_ID])
