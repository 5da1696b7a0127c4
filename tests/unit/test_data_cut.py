from dataclasses import replace

import numpy as np
import pandas as pd

from batch.data.cut import as_they_stood
from batch.data.facts import Facts
from tests.facts import BEGIN_S, DAY_S, facts_of

NOON_S = BEGIN_S + DAY_S


def facts() -> Facts:
    """Hold a like before noon, one that comes after it, and a user of the afternoon."""
    return facts_of(
        [
            (0, 0, NOON_S - 100, 0, 1),
            (0, 0, NOON_S - 90, 1, 0),
            (1, 1, NOON_S - 60, 0, 1),
            (1, 1, NOON_S + 5, 1, 0),
            (2, 2, NOON_S + 10, 0, 1),
            (2, 2, NOON_S + 20, 1, 0),
        ],
        n_users=3,
        n_posts=3,
    )


def test_a_like_that_came_later_leaves_no_target() -> None:
    stood = as_they_stood(facts(), NOON_S, DAY_S)

    assert stood.time.tolist() == [NOON_S - 100, NOON_S - 90, NOON_S - 60]
    assert stood.target.tolist() == [1, 0, 0]


def test_a_view_too_old_for_its_like_to_come_keeps_its_target() -> None:
    assert as_they_stood(facts(), NOON_S, 30).target.tolist() == [1, 0, 1]


def test_facts_without_likes_of_their_own_keep_their_targets() -> None:
    whole = facts()

    assert as_they_stood(whole.select(whole.views), NOON_S, DAY_S).target.tolist() == [1, 1]


def test_whoever_is_known_by_a_later_event_alone_is_not_there_yet() -> None:
    whole = facts()
    nobody = whole.users.assign(gender=[0.0, 1.0, np.nan])
    empty = whole.posts.assign(text=["a", "b", None], topic=["a", "b", None])

    stood = as_they_stood(replace(whole, users=nobody, posts=empty), NOON_S, DAY_S)

    assert stood.user_ids.tolist() == [1, 2]
    assert stood.post_ids.tolist() == [1, 2]
    assert stood.user.tolist() == [0, 0, 1]
    later = as_they_stood(replace(whole, users=nobody, posts=empty), NOON_S + 60, DAY_S)
    assert later.user_ids.tolist() == [1, 2, 3]
    assert isinstance(later.users, pd.DataFrame)
