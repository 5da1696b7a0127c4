"""Users and posts as ones, and what a liked pair weighs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.features import asof
from batch.learn.baselines.described import describe_posts, describe_users
from batch.learn.baselines.interactions import Interactions
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
