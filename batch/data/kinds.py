"""Kinds of what people do with posts, from seeing to buying, as a feed's rows tell them by a mapping.

Facts know views and likes alone; a cart and a purchase are both likes there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Ints, Ints8
from batch.data.columns import ACTION, CLOCK, FEED, LIKE, POST_ID, TARGET, TIMESTAMP, USER_ID
from batch.data.mapping import Mapping
from batch.data.source import Source, open_tables
from batch.data.validation.cells import take_apart
from batch.data.validation.times import join_clock, parse_times
from batch.data.validation.values import normal_names, targets
from batch.progress import Advance

KINDS = ("view", "like", "cart", "purchase")
# What shops and our own API call them; any other name is a view or a like, as the mapping says.
SHOP_KINDS = {"addtocart": "cart", "cart": "cart", "transaction": "purchase", "purchase": "purchase"}
NO_KIND = -1
_VIEW, _LIKE = KINDS.index("view"), KINDS.index("like")


class ActRows(NamedTuple):
    """Some rows of acts; those whose kind is `NO_KIND` are none.

    Attributes:
        user: Ids as the table has them.
        post: The same.
        time: int64 (rows,). Epoch seconds.
        kind: int8 (rows,). Place in KINDS.
    """

    user: pa.Array
    post: pa.Array
    time: Ints
    kind: Ints8


def read_feed_acts(location: str, mapping: Mapping, stall_s: float, advance: Advance) -> Iterator[ActRows]:
    """Yield the rows of a feed, and a like beside each view whose target says that it was liked.

    Args:
        location: Of the facts.
        mapping: Of the facts.
        stall_s: Longest silence of a PostgreSQL, seconds.
        advance: Called with the number of rows read since its last call.

    Raises:
        SourceError: The feed cannot be read.
    """
    with open_tables(location, stall_s, mapping) as tables:
        source = Source(tables, mapping, advance)
        source.has(FEED)
        for batch in source.batches(FEED, source.columns(FEED)):
            for rows in take_apart(batch, mapping.events):
                time = rows.column(TIMESTAMP)
                if CLOCK in rows.schema.names:
                    time = join_clock(time, rows.column(CLOCK))
                parsed, kind = parse_times(time, mapping.time), _find_kinds(rows, mapping)
                kind[parsed.missing | parsed.unreadable] = NO_KIND
                user, post = rows.column(USER_ID), rows.column(POST_ID)
                yield ActRows(user, post, parsed.value, kind)
                liked = _is_liked(rows, mapping) & (kind == _VIEW)
                if liked.any():
                    chosen = pa.array(liked)
                    likes = np.full(int(liked.sum()), _LIKE, np.int8)
                    yield ActRows(user.filter(chosen), post.filter(chosen), parsed.value[liked], likes)


def kinds_of(mapping: Mapping) -> Ints8:
    """Return the kind of each event that the mapping names, in its order."""
    named = mapping.events.names.items()
    kinds = [SHOP_KINDS.get(name, "like") if action == LIKE else "view" for name, action in named]
    return np.array([KINDS.index(kind) for kind in kinds], np.int8)


def _find_kinds(rows: pa.RecordBatch, mapping: Mapping) -> Ints8:
    """Return the kind of each row; a view where nothing says it."""
    if ACTION not in rows.schema.names or not mapping.events.names:
        return np.full(rows.num_rows, _VIEW, np.int8)
    names = pa.array(mapping.events.names, pa.string())
    place = pc.fill_null(pc.index_in(normal_names(rows.column(ACTION)), value_set=names), len(names))
    kinds: Ints8 = np.append(kinds_of(mapping), np.int8(NO_KIND))[np.asarray(place)]
    return kinds


def _is_liked(rows: pa.RecordBatch, mapping: Mapping) -> Bools:
    """Return which rows are likes by their target, where no row is one by its name."""
    by_name = ACTION in rows.schema.names and LIKE in mapping.events.names.values()
    if by_name or TARGET not in rows.schema.names:
        return np.zeros(rows.num_rows, np.bool_)
    return np.asarray(targets(rows.column(TARGET), mapping.events.target)[0] == 1, np.bool_)
