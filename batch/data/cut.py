"""Facts as they stood at a past time: nothing that came later may leave a trace. Pure: no I/O, no clock."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from batch.data.columns import POST_ID, USER_ID
from batch.data.facts import Facts


def as_they_stood(facts: Facts, as_of_s: int, like_within_s: int) -> Facts:
    """Return the facts with no event after `as_of_s`, nor anything that only a later event tells of.

    Beside the events that is: users without a profile and posts without any content whom only later events
    name; and the target of a view whose like came later. A view counts as liked only if the like is there by
    then, unless it is too old for its like to come yet, or the facts hold no likes of their own by then.

    Args:
        facts: All of them.
        as_of_s: Epoch seconds.
        like_within_s: How long after a view its like may come.
    """
    known = facts.until(as_of_s)
    known = replace(known, target=_targets(known, as_of_s - like_within_s))
    users = _named(known.user, len(facts.users)) | _described(facts.users.drop(columns=USER_ID))
    posts = _named(known.post, len(facts.posts)) | _described(facts.posts.drop(columns=POST_ID))
    if facts.embeddings is not None:
        posts |= ~np.isnan(facts.embeddings).all(axis=1)
    if users.all() and posts.all():
        return known
    return replace(
        known,
        users=facts.users[users].reset_index(drop=True),
        posts=facts.posts[posts].reset_index(drop=True),
        embeddings=None if facts.embeddings is None else facts.embeddings[posts],
        user=_renumbered(known.user, users),
        post=_renumbered(known.post, posts),
    )


def _targets(facts: Facts, settled_s: int) -> npt.NDArray[np.int8]:
    """Return the targets, 0 on views later than `settled_s` whose like is not there."""
    likes = np.flatnonzero(facts.likes)
    if not len(likes):
        return facts.target
    target = facts.target.copy()
    first = int(np.searchsorted(facts.time, settled_s, side="right"))
    open_ = first + np.flatnonzero(target[first:] == 1)
    latest: dict[tuple[int, int], int] = {}
    recent = likes[likes >= first]
    for user, post, at_s in zip(
        *(c[recent].tolist() for c in (facts.user, facts.post, facts.time)), strict=True
    ):
        latest[user, post] = at_s  # time ascends
    for row in open_.tolist():
        if latest.get((int(facts.user[row]), int(facts.post[row])), -1) < facts.time[row]:
            target[row] = 0
    return target


def _named(rows: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.bool_]:
    return np.bincount(rows, minlength=n) > 0


def _described(columns: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.asarray(columns.notna().any(axis=1), np.bool_)


def _renumbered(rows: npt.NDArray[np.int32], kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    return (np.cumsum(kept) - 1)[rows].astype(np.int32)
