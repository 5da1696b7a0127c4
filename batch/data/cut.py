"""Facts as they stood at a past time: nothing that came later may leave a trace. Pure: no I/O, no clock."""

from dataclasses import replace

import numpy as np
import pandas as pd

from batch.arrays import Bools, Ints8, Ints32
from batch.data.columns import POST_ID, USER_ID
from batch.data.facts import Facts
from batch.data.rows import renumber
from batch.data.validation.yes import derive_targets
from batch.data.windows import FROM_S, TO_S


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
    stood = facts.until(as_of_s).described_at(as_of_s)
    stood = replace(stood, target=_targets(stood, as_of_s, like_within_s))
    users = _have_event(stood.user, len(facts.users)) | _have_content(facts.users.drop(columns=USER_ID))
    told = stood.posts.drop(columns=[POST_ID, FROM_S, TO_S], errors="ignore")
    posts = _have_event(stood.post, len(facts.posts)) | _have_content(told)
    if facts.embeddings is not None:
        posts |= ~np.isnan(facts.embeddings).all(axis=1)
    retired = stood.retired
    if retired is not None:
        users |= _have_event(retired.user, len(users))
    if users.all() and posts.all():
        return stood
    return replace(
        stood,
        users=facts.users[users].reset_index(drop=True),
        posts=stood.posts[posts].reset_index(drop=True),
        embeddings=None if facts.embeddings is None else facts.embeddings[posts],
        post_came=None if facts.post_came is None else facts.post_came[posts],
        user=renumber(stood.user, users),
        post=renumber(stood.post, posts),
        retired=retired and replace(retired, user=renumber(retired.user, users)),
    )


def _targets(facts: Facts, as_of_s: int, like_within_s: int) -> Ints8:
    """Return the targets, 0 on views whose like may still come and is not there."""
    if not facts.likes.any():
        return facts.target
    unsettled = facts.between(as_of_s - like_within_s + 1, as_of_s + 1)
    target = facts.target.copy()
    target[len(target) - len(unsettled.target) :] &= derive_targets(unsettled, like_within_s)
    return target


def _have_event(rows: Ints32, n: int) -> Bools:
    return np.bincount(rows, minlength=n) > 0


def _have_content(columns: pd.DataFrame) -> Bools:
    return np.asarray(columns.notna().any(axis=1), np.bool_)
