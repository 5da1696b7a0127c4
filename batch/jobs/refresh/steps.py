"""Who is carried over, who is scored, and how a few new posts come into everyone's lists. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from batch.data.seen import SeenPosts
from batch.jobs.refresh.digests import find_rows
from batch.jobs.refresh.plan import RefreshPlan
from batch.jobs.refresh.writer import Step
from batch.publish.proof.inputs import Inputs
from batch.score.predict import Dense
from batch.score.ranked import RankedBlock

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Lists = tuple[npt.NDArray[np.integer], Doubles]

# (inputs, depth) to blocks of all their users: `batch.score.engine.score` with its settings.
Score = Callable[[Inputs, int], Iterator[RankedBlock]]
# ids of users, ascending, to their lists in the base: posts by id, -1 fills; scores, NaN fills.
Stored = Callable[[Ints], Lists]
NOBODY = np.empty(0, np.int64)


@dataclass(slots=True)
class Work:
    """How many users were scored against all posts, met new posts only, and were carried over."""

    scored: int = 0
    merged: int = 0
    carried: int = 0

    def steps(self, draft: RefreshPlan, score: Score, stored: Stored) -> Iterator[Step]:
        """Yield the steps of a refresh; together they hold every user once."""
        others = np.flatnonzero(~draft.moved)
        if len(draft.posts):
            unsure = [NOBODY]
            yield from self._merge_new(draft, others, score, stored, unsure)
            yield from self._score(draft, np.concatenate(unsure), score)
        else:
            self.carried += len(others)
            yield Step(others, NOBODY)
        yield from self._score(draft, np.flatnonzero(draft.moved), score)

    def _score(self, draft: RefreshPlan, users: Ints, score: Score) -> Iterator[Step]:
        """Score users against all posts."""
        if not len(users):
            return
        every = np.arange(len(draft.inputs.sides.starts))
        for block in score(draft.inputs.part(users, every), draft.content.depth):
            rows = users[block.first : block.first + len(block.posts)]
            self.scored += len(rows)
            yield Step(NOBODY, rows, RankedBlock(0, block.posts, block.scores))

    def _merge_new(
        self, draft: RefreshPlan, users: Ints, score: Score, stored: Stored, unsure: list[Ints]
    ) -> Iterator[Step]:
        """Score new and edited posts, and put them into the lists of users who did not move."""
        content, depth = draft.content, draft.content.depth
        for block in score(_only(draft, users), min(depth, len(draft.posts))):
            rows = users[block.first : block.first + len(block.posts)]
            ids, scores = stored(content.user_ids[rows])
            old = find_rows(content.post_ids, ids)
            new = np.where(block.posts < 0, -1, draft.posts[block.posts])
            merged, certain = merge((old, scores), (new, block.scores), draft.posts, depth)
            differs = (merged[0] != old) | ((merged[1] != scores) & (merged[0] >= 0))
            changed = certain & differs.any(axis=(1, 2))
            unsure.append(rows[~certain])
            self.merged += int(changed.sum())
            self.carried += int((certain & ~changed).sum())
            lists = RankedBlock(0, merged[0][changed].astype(np.int32), merged[1][changed])
            yield Step(rows[certain & ~changed], rows[changed], lists)


def merge(old: Lists, new: Lists, changed: Ints, depth: int) -> tuple[Lists, npt.NDArray[np.bool_]]:
    """Put lists of changed posts into lists of all posts.

    What a full list does not hold ranks behind its last place; so the merged list is exact as far as that
    place, where the last counts with the score it had. A list that is not full holds all there was.

    Args:
        old: int (users, buckets, depth) rows of posts, best first, -1 fills, and their scores, NaN fills.
        new: The same of changed posts alone, any depth: all of them, or as many as a list holds.
        changed: Rows of posts whose scores in `old` do not hold.
        depth: Posts in a list.

    Returns:
        Merged lists, ties to the lower row; and bool (users,), whether all lists of a user are exact.
    """
    posts = np.concatenate([np.where(np.isin(old[0], changed), -1, old[0]), new[0]], axis=2)
    scores = np.concatenate([old[1], new[1]], axis=2)
    ahead = np.where(posts < 0, np.inf, -scores)
    order = np.lexsort((posts, ahead), axis=2)[:, :, :depth]
    kept, kept_scores = np.take_along_axis(posts, order, 2), np.take_along_axis(scores, order, 2)
    kept_scores = np.where(kept < 0, np.nan, kept_scores)
    last, last_score = old[0][:, :, -1], old[1][:, :, -1]
    end, end_score = kept[:, :, -1], kept_scores[:, :, -1]
    inside = (end_score > last_score) | ((end_score == last_score) & (end <= last))
    exact = (last < 0) | ((end >= 0) & inside)
    return (kept, kept_scores), exact.all(axis=1)


def _only(draft: RefreshPlan, users: Ints) -> Inputs:
    """Return the inputs of some users and of the changed posts alone."""
    every = np.arange(len(draft.inputs.sides.starts))
    part, posts = draft.inputs.part(users, every), draft.posts
    sides, seen = part.sides, part.left_out
    kept = seen.where(np.isin(seen.post, posts))
    dense: Dense | None = None if part.dense is None else (part.dense[0], part.dense[1][posts])
    return Inputs(
        part.model,
        replace(sides, post_ids=sides.post_ids[posts], post=sides.post[posts], group=sides.group[posts]),
        SeenPosts(kept.start, np.searchsorted(posts, kept.post).astype(np.int32)),
        dense,
    )
