"""Who is carried over, who is scored, and how a few new posts come into everyone's lists."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from batch.arrays import AnyInts, Bools, Floats, Ints
from batch.data.rows import find_rows
from batch.jobs.assemble import score_lists
from batch.jobs.refresh.plan import RefreshPlan
from batch.jobs.refresh.start import Base
from batch.jobs.refresh.stored import read_stored
from batch.publish.asleep import find_empty
from batch.publish.proof.inputs import Inputs
from batch.score.caps import Caps
from batch.score.ranked import RankedBlock
from batch.settings import Settings

Lists = tuple[AnyInts, Floats]
Kind = Literal["carried", "merged", "scored"]


@dataclass(frozen=True, slots=True)
class Step:
    """Some users of a generation and where their lists come from; together the steps hold every user once.

    Attributes:
        kind: `carried` over from the base as they were, `merged` with new posts, `scored` against all posts.
        users: int64 (n,). Rows of users, ascending.
        lists: Posts and scores, row by row; posts are rows of the content's. None: those of the base.
    """

    kind: Kind
    users: Ints
    lists: RankedBlock | None = None


def make_steps(settings: Settings, base: Base, plan: RefreshPlan) -> Iterator[Step]:
    """Yield the steps of a refresh: whoever did not move meets new posts alone, all others are scored."""
    others, moved = np.flatnonzero(~plan.moved), np.flatnonzero(plan.moved)
    if len(plan.posts):
        unsure = yield from _merge_new(settings, base, plan, others)
        yield from _score(settings, plan, unsure)
    else:
        yield Step("carried", others)
    yield from _score(settings, plan, moved)


def _score(settings: Settings, plan: RefreshPlan, users: Ints) -> Iterator[Step]:
    """Score users against all posts."""
    if not len(users):
        return
    every = np.arange(len(plan.inputs.sides.starts))
    for block in score_lists(settings, plan.inputs.part(users, every), plan.content.depth):
        yield Step("scored", users[block.first : block.first + len(block.posts)], block)


def _merge_new(settings: Settings, base: Base, plan: RefreshPlan, users: Ints) -> Generator[Step, None, Ints]:
    """Score new and edited posts, and put them into the lists of users who did not move.

    Returns:
        Users of whom that does not make sure lists.
    """
    content, depth, unsure = plan.content, plan.content.depth, [np.empty(0, np.int64)]
    # Under caps a post behind `depth` better ones may fit where they do not.
    deep = len(plan.posts) if plan.inputs.caps else min(depth, len(plan.posts))
    for block in score_lists(settings, _only(plan, users), deep):
        rows = users[block.first : block.first + len(block.posts)]
        manifest = base.manifest
        ids, scores = read_stored(content.user_ids[rows], base.folder, manifest.horizon, manifest.depth)
        old = find_rows(content.post_ids, ids)
        new = np.where(block.posts < 0, -1, plan.posts[block.posts])
        merged, certain = merge((old, scores), (new, block.scores), plan.posts, depth, plan.inputs.caps)
        differs = (merged[0] != old) | ((merged[1] != scores) & (merged[0] >= 0))
        changed = certain & differs.any(axis=(1, 2))
        asleep = find_empty(manifest.counts, old)
        certain, changed = certain | asleep, changed & ~asleep
        unsure.append(rows[~certain])
        yield Step("carried", rows[certain & ~changed])
        lists = RankedBlock(0, merged[0][changed].astype(np.int32), merged[1][changed])
        yield Step("merged", rows[changed], lists)
    return np.concatenate(unsure)


def merge(old: Lists, new: Lists, changed: Ints, depth: int, caps: Caps | None = None) -> tuple[Lists, Bools]:
    """Put lists of changed posts into lists of all posts.

    What a full list does not hold ranks behind its last place; so the merged list is exact as far as that
    place, where the last counts with the score it had. A list that is not full holds all there was.
    Under caps a post that comes into a full list lets others be chosen after it, that the list does not hold:
    exact is then only what stays as it was.

    Args:
        old: int (users, buckets, depth) rows of posts, best first, -1 fills, and their scores, NaN fills.
        new: The same of changed posts alone, any depth: all of them, or as many as a list holds.
        changed: Rows of posts whose scores in `old` do not hold.
        depth: Posts in a list.
        caps: How many posts of a topic may stand close together.

    Returns:
        Merged lists, ties to the lower row; and bool (users,), whether all lists of a user are exact.
    """
    posts = np.concatenate([np.where(np.isin(old[0], changed), -1, old[0]), new[0]], axis=2)
    scores = np.concatenate([old[1], new[1]], axis=2)
    ahead = np.where(posts < 0, np.inf, -scores)
    order = np.lexsort((posts, ahead), axis=2)
    if caps is not None:
        chosen = caps.choose_each(np.take_along_axis(posts, order, 2), depth)
        order = np.take_along_axis(order, chosen, 2)
    order = order[:, :, :depth]
    kept, kept_scores = np.take_along_axis(posts, order, 2), np.take_along_axis(scores, order, 2)
    kept_scores = np.where(kept < 0, np.nan, kept_scores)
    last, last_score = old[0][:, :, -1], old[1][:, :, -1]
    end, end_score = kept[:, :, -1], kept_scores[:, :, -1]
    inside = (end_score > last_score) | ((end_score == last_score) & (end <= last))
    exact = (last < 0) | ((end >= 0) & inside)
    if caps is not None:
        was = np.where(np.isin(old[0], changed), -1, old[0])
        exact = (last < 0) | (kept == was).all(axis=2)
    return (kept, kept_scores), exact.all(axis=1)


def _only(plan: RefreshPlan, users: Ints) -> Inputs:
    """Return the inputs of some users and of the changed posts alone; `merge` sees to caps."""
    every = np.arange(len(plan.inputs.sides.starts))
    return plan.inputs.part(users, every).of_posts(plan.posts)
