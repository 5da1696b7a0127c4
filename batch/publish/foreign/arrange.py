"""Rows on disk → lists on disk, range by range of users, and what all of them tell together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from api.contract.buckets import Horizon
from batch.arrays import Floats, Ints, Ints32
from batch.publish.foreign.faults import Fault, Faults
from batch.publish.foreign.reading import NO_TIME_S
from batch.publish.foreign.sort import sort_lists
from batch.publish.foreign.spill import PART_ROWS, Spill, Table, cut
from batch.score.ranked import RankedBlock

CELLS = 1 << 22  # places of lists laid out at a time: 50 MB


@dataclass(frozen=True, slots=True)
class Arranged:
    """Lists on disk, and what they tell.

    Attributes:
        parts: The lists of a range of users each, `order` being the place from 0.
        ends: Where each range ends.
        gain: float64 (posts,). How often and how far up each post stands: the sum of 1 / log2(place + 2).
        of_segment: float64 (segments, posts). The same over each segment's users.
        n_lists: How many lists there are.
        n_cut: Rows deeper than the depth.
        depth: Posts in the longest list, at most what was wanted.
    """

    parts: list[Spill]
    ends: list[int]
    gain: Floats
    of_segment: Floats
    n_lists: int
    n_cut: int
    depth: int


def arrange(
    spill: Spill,
    users: Ints32,
    posts: Ints32,
    segment: Ints,
    sizes: tuple[int, int, int],
    faults: Faults,
    name: Callable[[int, int | None], str],
    *,
    ranked: bool,
) -> Arranged:
    """Sort all lists and count what is wrong with them.

    Args:
        spill: The rows, users and posts by places.
        users: int32 (places,). Rows of users, those of a place each.
        posts: int32 (places,). Rows of posts, `~place` where a post is not known.
        segment: int64 (users,). Each user's segment, -1: none.
        sizes: How many posts and segments there are, and how deep a list may be.
        faults: Takes what is wrong.
        name: Names a user, by row, and a post, by row or `~place`, for examples.
        ranked: Whether ranks order the lists.
    """
    n_posts, n_segments, most = sizes
    n_users, n_parts = len(segment), max(1, ceil(spill.n_rows / PART_ROWS))
    ends = [n_users * (k + 1) // n_parts for k in range(n_parts)]
    parts = cut(spill, ends, users, posts)
    gain, of_segment = np.zeros(n_posts), np.zeros(n_segments * n_posts)
    size, owner, n_cut = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for k, part in enumerate(parts):
        found = sort_lists(part.read(), n_posts, most, ranked=ranked)
        counts: dict[Fault, tuple[int, Table | None]] = {
            "unknown_item": found.unknown,
            "duplicate": found.repeated,
            "broken_ranks": found.broken,
        }
        for fault, (n, row) in counts.items():
            if row is not None:
                faults.add(fault, n, _example(fault, row, name))
        worth = 1 / np.log2(found.place + 2.0)
        post, of = found.rows["post"], segment[found.rows["user"]]
        gain += np.bincount(post, worth, n_posts)
        inside = of >= 0
        of_segment += np.bincount(of[inside] * n_posts + post[inside], worth[inside], n_segments * n_posts)
        size.append(found.size)
        owner.append(found.owner)
        n_cut += found.n_cut
        rows = found.rows.copy()
        rows["order"] = found.place
        parts[k] = _rewrite(part, rows)
    sizes_found, owners = np.concatenate(size), np.concatenate(owner)
    depth = min(most, int(sizes_found.max(initial=0)))
    short = np.flatnonzero(2 * sizes_found < depth)
    if len(short):
        says = f"that of user {name(int(owners[short[0]]), None)}, {sizes_found[short[0]]} of {depth} items"
        faults.add("short_list", len(short), says)
    return Arranged(
        parts, ends, gain, of_segment.reshape(n_segments, n_posts), len(sizes_found), n_cut, depth
    )


def _example(fault: Fault, row: Table, name: Callable[[int, int | None], str]) -> str:
    user = name(int(row["user"]), None)
    if fault == "broken_ranks":
        return f"rank {row['order']:g} of user {user}"
    return f"item {name(-1, int(row['post']))} of user {user}"


def _rewrite(part: Spill, rows: Table) -> Spill:
    fresh = Spill(part.path)
    fresh.add(rows)
    return fresh


def lay_out(arranged: Arranged, horizon: Horizon) -> Iterator[RankedBlock]:
    """Yield the lists of all users, in order; a list holds until its user's next one begins."""
    begin, step = 0, max(1, CELLS // max(1, horizon.n_buckets * arranged.depth))
    for part, end in zip(arranged.parts, arranged.ends, strict=True):
        rows = part.read()
        for first in range(begin, end, step):
            last = min(first + step, end)
            low, high = np.searchsorted(rows["user"], (first, last))
            yield _block(rows[low:high], first, (last - first, horizon.n_buckets, arranged.depth), horizon)
        begin = end


def _block(rows: Table, first: int, shape: Sequence[int], horizon: Horizon) -> RankedBlock:
    n_users, n_buckets, _ = shape
    posts, scores = np.full(shape, -1, np.int32), np.full(shape, np.nan)
    from_s = np.where(rows["from_s"] == NO_TIME_S, horizon.start_s, rows["from_s"])
    bucket = (from_s - horizon.start_s) // horizon.width_s
    at = rows["user"] - first, bucket, rows["order"].astype(np.int64)
    posts[at], scores[at] = rows["post"], rows["score"]
    begins = np.zeros((n_users, n_buckets), np.bool_)
    begins[at[0], at[1]] = True
    latest = np.maximum.accumulate(np.where(begins, np.arange(n_buckets), 0), axis=1)
    own = np.arange(n_users)[:, None]
    return RankedBlock(first, posts[own, latest], scores[own, latest])
