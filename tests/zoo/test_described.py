"""Users and posts as ones, and what a liked pair weighs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.features import asof
from batch.learn.baselines.described import describe_posts, describe_users
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline
from tests.facts import BEGIN_S, facts_of


def test_a_value_is_a_one_a_number_its_bin_and_what_misses_is_nothing(interactions: Interactions) -> None:
    n = len(interactions.facts.users)
    users = interactions.facts.users.assign(
        age=np.where(np.arange(n) == 3, np.nan, np.arange(n) / 2), os=pd.Series(["a", "b", None] * (n // 3))
    )
    statics = asof.describe(replace(interactions.facts, users=users), 1)

    of_users, of_posts = describe_users(statics), describe_posts(statics)

    assert of_users.shape == (n, 2 + 8 + 2)
    assert of_users.sum(axis=1).ravel().tolist()[0][:4] == [3, 3, 2, 2]
    assert np.asarray(of_users.sum(axis=0)).ravel().tolist()[2:10] == pytest.approx([n / 8] * 8, abs=1)
    assert set(np.asarray(of_posts.sum(axis=1)).ravel().tolist()) == {2.0}


def test_a_liked_pair_weighs_what_its_events_do_together(interactions: Interactions) -> None:
    events = [
        (0, 0, BEGIN_S, 0, 1),
        (0, 0, BEGIN_S + 5, 1, 0),
        (0, 1, BEGIN_S + 9, 0, 0),
        (1, 1, BEGIN_S, 0, 1),
    ]
    facts = replace(facts_of(events, 2, 2), weight=np.array([0.5, -1, 3, 9], np.float32))
    own = replace(interactions, facts=facts)

    assert own.quality().toarray().tolist() == [[3.5, 0], [0, 0]]
    assert replace(own, facts=replace(facts, weight=None)).quality().toarray().tolist() == [[1, 0], [0, 1]]


def test_a_like_fades_by_halves_and_a_pair_counts_one_at_most(interactions: Interactions) -> None:
    day = 86_400
    events = [
        (0, 0, BEGIN_S + 20 * day, 0, 1),
        (0, 1, BEGIN_S + 10 * day, 0, 1),
        (1, 0, BEGIN_S, 0, 1),
        (1, 1, BEGIN_S + 20 * day, 0, 1),
        (1, 1, BEGIN_S + 20 * day, 0, 1),
        (0, 2, BEGIN_S + 20 * day, 0, 0),
    ]
    own = replace(interactions, facts=facts_of(events, 2, 3))

    faded = own.faded(10)

    assert faded.toarray().tolist() == [[1, 0.5, 0], [0.25, 1, 0]]
    assert (faded.indices == own.likes().indices).all()
    assert np.count_nonzero(own.faded(0.01).data) == own.likes().nnz


def test_where_likes_fade_lightfm_ranks_what_is_liked_of_late_ahead(interactions: Interactions) -> None:
    lightfm = pytest.importorskip("lightfm", reason="the extra `zoo` brings it") and find_baseline(
        "lightfm_warp"
    )
    assert lightfm is not None
    early = [(user, user % 3, BEGIN_S + user, 0, 1) for user in range(30)]
    late = [(user, 3 + user % 3, BEGIN_S + 30 * 86_400 + user, 0, 1) for user in range(30)]
    facts = facts_of([*early, *late], 31, 6)
    own = replace(interactions, facts=facts, statics=asof.describe(facts, 1), given={"half_life_days": 5})

    assert sorted(lightfm.fit(own).lists(np.array([30]), 3).ravel().tolist()) == [3, 4, 5]
