"""Cells that hold several posts, taken apart into a row a post: lists, or texts such as `N1-0 N2-1`. Pure."""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.data.columns import POST_ID, TARGET
from batch.data.event_form import EventForm
from batch.data.validation.values import as_text, plain


def take_apart(batch: pa.RecordBatch, form: EventForm) -> Iterator[pa.RecordBatch]:
    """Yield rows of one post each; where a cell holds one, the batch as it is.

    A target that is a list, too, holds those of the cell's posts that were clicked. A row whose cell is empty
    comes as one without a post.

    Args:
        batch: Rows of the feed, columns by our names.
        form: What stands between posts, and between a post and its target.
    """
    cells = _split(batch.column(POST_ID), form.split)
    if not _is_list(cells):
        yield batch
        return
    empty = pc.fill_null(pc.equal(pc.list_value_length(cells), 0), fill_value=True)
    row, post = pc.list_parent_indices(cells), pc.list_flatten(cells)
    apart = batch.take(row)
    if form.mark:
        post, target = _take_marks(as_text(post), form.mark)
        apart = _put(apart, TARGET, target)
    elif TARGET in batch.schema.names:
        clicked = _split(batch.column(TARGET), form.split)
        if _is_list(clicked):
            apart = _put(apart, TARGET, _find_clicked(row, post, clicked))
    yield _put(apart, POST_ID, post)
    if pc.any(empty).as_py():
        rest = batch.filter(empty)
        for name in {POST_ID, TARGET} & set(batch.schema.names):
            rest = _put(rest, name, pa.nulls(rest.num_rows, pa.string()))
        yield rest


def _split(column: pa.Array, separator: str) -> Any:
    """Return a column of text as lists; any other, or without a separator, as it is."""
    column = plain(column)
    if not separator or not pt.is_string(column.type):
        return column
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    return pc.utf8_split_whitespace(text) if separator == " " else pc.split_pattern(text, separator)


def _is_list(column: Any) -> bool:
    return bool(
        pt.is_list(column.type) or pt.is_large_list(column.type) or pt.is_fixed_size_list(column.type)
    )


def _take_marks(cells: pa.Array, mark: str) -> tuple[pa.Array, pa.Array]:
    """Return what stands before and after the last mark of each text; without one the target is 0."""
    pattern = f"(?s)^(.*){re.escape(mark)}(.*)$"
    post, target = (pc.replace_substring_regex(cells, pattern, part) for part in (r"\1", r"\2"))
    return post, pc.if_else(pc.match_substring(cells, mark), target, "0")


def _find_clicked(row: pa.Array, post: pa.Array, clicked: Any) -> pa.Array:
    """Return 1 where a row's list of what was clicked holds the post, else 0."""
    theirs = pc.list_parent_indices(clicked), pc.list_flatten(clicked)
    pairs, found = (
        pc.binary_join_element_wise(at.cast(pa.string()), as_text(value), " ")
        for at, value in ((row, post), theirs)
    )
    return pc.is_in(pairs, value_set=found).cast(pa.int8())


def _put(batch: pa.RecordBatch, name: str, column: Any) -> pa.RecordBatch:
    """Return the batch with a column in its place, or as its last one."""
    if name in batch.schema.names:
        return batch.set_column(batch.schema.get_field_index(name), name, column)
    return batch.append_column(name, column)
