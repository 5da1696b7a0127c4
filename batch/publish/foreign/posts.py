"""The posts of somebody else's lists: which are known, what they are called, what is answered. Pure."""

from dataclasses import dataclass

import numpy as np
import orjson
import pandas as pd

from api.contract.ids import Kind
from batch.arrays import Floats, Ints, Ints32
from batch.data.columns import POST_ID, TEXT, TOPIC
from batch.data.ids import IdNames
from batch.data.rows import find_rows
from batch.data.validation.ids import Ids, Places
from batch.data.windows import Windows
from batch.publish.foreign.known import BasePosts
from batch.publish.generation import post_json


@dataclass(frozen=True, slots=True)
class Posts:
    """The posts of a generation of somebody else's lists.

    Attributes:
        codes: int64 (posts,), ascending.
        names: What the codes stand for.
        shown: Each post as the API answers it, JSON.
        turn: int64 (posts,). In which order posts come that no list holds.
        windows: When they may be shown; None: at any time.
        row: int32 (places,). The row of each post that was read in a list; `~place` where it is not known.
    """

    codes: Ints
    names: IdNames
    shown: list[bytes]
    turn: Ints
    row: Ints32
    windows: Windows | None = None


def unite_posts(
    ids: Ids,
    found: Places,
    base: BasePosts | None,
    items: tuple[Ints, pd.DataFrame] | None,
    base_kind: Kind | None,
) -> Posts:
    """Return the posts: all items, else all of what is current, else all that lists hold.

    With a table of items those of what is current are known too, and are among the posts where a list holds
    them. Texts and windows are the table's, else what is current has them.

    Args:
        ids: Those of posts; their kind is decided here if it is not yet.
        found: What the lists hold.
        base: What is current.
        items: Marks and rows of the table of items.
        base_kind: Of ids in what is current.
    """
    before = np.empty(0, np.int64) if base is None else base.marks
    if ids.kind is None:
        ids.decide(np.concatenate([found.marks, before]))
    in_lists, before = ids.settle(found.marks), ids.settle(before)
    if items is not None:
        marks = np.union1d(items[0], np.intersect1d(before, in_lists))
    else:
        marks = np.unique(in_lists if base is None else before)
    codes, read, earlier = (ids.codes(of) for of in (marks, in_lists, before))
    codes = np.sort(codes)
    names = ids.names(codes)
    row = find_rows(codes, read)
    shown = post_json(pd.DataFrame({POST_ID: codes, TEXT: None, TOPIC: None}), names)
    at = find_rows(codes, earlier)
    if base is not None:
        for place in np.flatnonzero(at >= 0).tolist():
            shown[at[place]] = _renamed(base.shown[place], shown[at[place]], same=base_kind == names.kind)
    if items is not None:
        for place, text in zip(
            find_rows(codes, items[1][POST_ID].to_numpy()), post_json(items[1], names), strict=True
        ):
            shown[place] = text
    windows = Windows.none(len(codes))
    if base is not None:
        windows = windows.put(at[at >= 0], base.windows.of_posts(at >= 0))
    if items is not None:
        own = Windows.of(items[1]) or Windows.none(len(items[1]))
        windows = windows.put(find_rows(codes, items[1][POST_ID].to_numpy()), own)
    turn = len(earlier) + np.arange(len(codes))
    turn[at[at >= 0]] = np.flatnonzero(at >= 0)
    row = np.where(row < 0, ~np.arange(len(row), dtype=np.int32), row)
    return Posts(codes, names, shown, turn, row, windows if windows.given.any() else None)


def _renamed(text: bytes, bare: bytes, *, same: bool) -> bytes:
    """Return a post with the id that it has by now."""
    return text if same else orjson.dumps({**orjson.loads(text), "id": orjson.loads(bare)["id"]})


def rank_posts(gain: Floats, turn: Ints, depth: int) -> Ints32:
    """Return int32 (depth,): the posts that lists hold most often and furthest up, best first, -1 fills.

    >>> rank_posts(np.array([0.0, 2.0, 1.0]), np.arange(3), 4).tolist()
    [1, 2, -1, -1]
    """
    order = np.lexsort((turn, -gain))[:depth]
    best = order[gain[order] > 0]
    return np.pad(best, (0, depth - len(best)), constant_values=-1).astype(np.int32)
