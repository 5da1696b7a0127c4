"""LightFM: who did nothing yet has lists by their profile, and features are what they should be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.features import asof
from batch.learn.baselines.described import describe_posts, describe_users
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline


@pytest.mark.parametrize("name", ["lightfm_warp", "lightfm_bpr"])
def test_an_unknown_user_gets_what_their_profile_likes(interactions: Interactions, name: str) -> None:
    pytest.importorskip("lightfm", reason="`make test-zoo` brings LightFM")
    unknown, facts = (6, 7), interactions.facts  # the gender, 0 and 1, is who likes even posts or odd ones
    known = replace(interactions, facts=facts.select(~np.isin(facts.user, unknown)))
    baseline = find_baseline(name)
    assert baseline

    lists = baseline.fit(known).lists(np.array(unknown), 20)

    assert (lists[0] % 2 == 0).mean() > 0.9
    assert (lists[1] % 2 == 1).mean() > 0.9


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
