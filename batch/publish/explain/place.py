"""Where a post stands for a user in a bucket, and if it is in no list, what keeps it out. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import lightgbm as lgb
import numpy as np

from batch.arrays import AnyInts, Bools, Floats
from batch.publish.explain.parts import Parts, rank_of, split_scores
from batch.publish.proof.inputs import Inputs
from batch.score.caps import Caps
from batch.score.predict import best, raw_scores

State = Literal["listed", "left_out", "closed", "capped", "ranked"]


@dataclass(frozen=True, slots=True)
class Place:
    """A post's place.

    Attributes:
        state: `listed`; or what keeps it out: `left_out` (seen by the time of the lists), `closed` (its
            window does not hold the bucket), `capped` (it is better than the list's last, and its topic
            stands there often enough), `ranked` (it is too far behind).
        score: As published, in log-odds.
        place: In the list, 1 first; None where it is not there.
        rank: Among all candidates by score, 1 first; None where it is none.
        n_candidates: How many there are.
        last: Score of the list's last place; None where the list is empty.
        lacks: How far the post's score is below it; None where it is not `ranked`.
    """

    state: State
    score: float
    place: int | None
    rank: int | None
    n_candidates: int
    last: float | None
    lacks: float | None = None


def find_place(
    scores: Floats, left_out: AnyInts, opened: Bools | None, depth: int, caps: Caps | None, post: int
) -> Place:
    """Find a post's place in a user's list of a bucket.

    Args:
        scores: float64 (posts,). Of every post, for the user and the bucket.
        left_out: int (n,). Rows of posts that the user's lists leave out.
        opened: bool (posts,). Which posts are candidates in the bucket; None: all.
        depth: Posts in a list.
        caps: How many posts of a topic may stand close together; None: any number.
        post: The post's row.
    """
    candidate = np.ones(len(scores), np.bool_) if opened is None else opened.copy()
    candidate[left_out] = False
    candidates = np.flatnonzero(candidate)
    listed, of_list = best(scores, left_out, depth, caps, opened)
    listed, of_list = listed[listed >= 0], of_list[listed >= 0]
    last = float(of_list[-1]) if len(of_list) else None
    score, n = float(scores[post]), len(candidates)
    if not candidate[post]:
        is_closed = opened is not None and not opened[post]
        return Place("closed" if is_closed else "left_out", score, None, None, n, last)
    rank, there = rank_of(scores, candidates, post), np.flatnonzero(listed == post)
    if len(there):
        return Place("listed", score, int(there[0]) + 1, rank, n, last)
    if _goes_ahead(scores, listed, post):  # without caps the list is the head of the ranking
        return Place("capped", score, None, rank, n, last)
    return Place("ranked", score, None, rank, n, last, None if last is None else last - score)


def explain_post(
    inputs: Inputs, columns: Mapping[str, int], user: int, post: int, bucket: int, depth: int
) -> tuple[Place, Parts]:
    """Return the place of a post and the parts of its score, for a user in a bucket, given by row number.

    Args:
        inputs: Of the generation, for some users.
        columns: Component to how many of the factors' columns are its own; see `split_scores`.
        user: Row in the inputs.
        post: Row in the inputs.
        bucket: Row in the inputs.
        depth: Posts in a list.
    """
    booster, opened = lgb.Booster(model_str=inputs.model), inputs.opened
    scores = raw_scores(booster, inputs.sides, np.array([user]), bucket, inputs.dense)[0]
    now = None if opened is None else opened[bucket]
    place = find_place(scores, inputs.left_out.of(user), now, depth, inputs.caps, post)
    at = (np.array([one]) for one in (user, post, bucket))
    return place, split_scores(inputs, columns, *at)


def _goes_ahead(scores: Floats, listed: AnyInts, post: int) -> bool:
    """Say whether a post is better than one that is listed; ties go to the lower row."""
    behind = (scores[listed] < scores[post]) | ((scores[listed] == scores[post]) & (listed > post))
    return bool(behind.any())
