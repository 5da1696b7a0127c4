"""A world against what is known of the original: the published figures, and the real rows where they are."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batch.data.columns import ACTIONS, EMBEDDINGS, FEED, POSTS, USERS
from batch.data.facts import Facts
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts
from batch.simulate.profiles import user_table
from tests.behaviour import Behaviour, measure

REGIMES: tuple[Regime, ...] = ("gaussian", "typed")


@pytest.fixture(scope="module", params=REGIMES)
def config(request: pytest.FixtureRequest) -> WorldConfig:
    return WorldConfig(n_users=1_600, seed=1, regime=request.param)


@pytest.fixture(scope="module")
def world(config: WorldConfig) -> Facts:
    return facts(config)


@pytest.fixture(scope="module")
def behaviour(world: Facts) -> Behaviour:
    return measure(world)


def test_volumes_are_the_published_ones(behaviour: Behaviour) -> None:
    assert behaviour.views_per_user == pytest.approx(420.86, rel=0.03)
    assert behaviour.likes_per_user == pytest.approx(50.28, rel=0.05)
    assert behaviour.like_rate == pytest.approx(0.1195, abs=0.004)
    assert behaviour.repeats == pytest.approx(0.045, abs=0.007)
    assert behaviour.n_posts <= 6_831


def test_sessions_are_like_the_real_ones(behaviour: Behaviour) -> None:
    assert behaviour.session_views == pytest.approx((22, 29, 36), abs=1)
    assert behaviour.session_minutes == pytest.approx(44, abs=1)
    assert behaviour.days_between_sessions == pytest.approx((1.9, 3.75, 7.6), rel=0.1)
    assert np.array(behaviour.start_hours[6:23]) == pytest.approx(1 / 17, abs=0.008)
    assert sum(behaviour.start_hours[6:23]) == pytest.approx(1)


def test_like_rates_by_time_and_place_are_the_published_ones(behaviour: Behaviour) -> None:
    hours, places = np.array(behaviour.rate_by_hour), np.array(behaviour.rate_by_position)

    assert hours[6:8].mean() == pytest.approx(0.14, abs=0.012)
    assert hours[8:13].mean() == pytest.approx(0.11, abs=0.012)
    assert hours[13:19].mean() == pytest.approx(0.102, abs=0.010)
    assert hours[19:23].mean() == pytest.approx(0.145, abs=0.010)
    assert hours[23] == pytest.approx(0.12, abs=0.02)
    assert list(behaviour.rate_by_month) == [10, 11, 12]
    assert list(behaviour.rate_by_month.values()) == pytest.approx([0.094, 0.125, 0.140], abs=0.008)
    assert places[:9] == pytest.approx(0.183, abs=0.017)
    assert places[[10, 13, 16]] == pytest.approx([0.157, 0.131, 0.098], abs=0.017)
    assert places[20:] == pytest.approx(0.06, abs=0.012)


def test_like_rates_by_segment_are_the_published_ones(world: Facts) -> None:
    views = world.views
    seen = world.users.iloc[world.user[views]].reset_index(drop=True)
    seen["target"] = world.target[views]

    by_group = seen.groupby("exp_group")["target"].mean()
    by_gender = seen.groupby("gender")["target"].mean()
    by_country = seen.groupby(seen["country"] == "Russia")["target"].mean()

    assert by_group.tolist() == pytest.approx([0.10, 0.14, 0.14, 0.10, 0.12], abs=0.012)
    assert by_gender[1] - by_gender[0] == pytest.approx(0.014, abs=0.009)
    assert by_country[True] == pytest.approx(0.115, abs=0.006)
    assert by_country[False] == pytest.approx(0.155, abs=0.015)


def test_topics_are_shown_and_liked_as_in_the_real_rows(behaviour: Behaviour) -> None:
    shown, liked = behaviour.views_by_topic, behaviour.rate_by_topic
    real = {
        "movie": 0.37,
        "covid": 0.24,
        "sport": 0.136,
        "politics": 0.104,
        "business": 0.06,
        "entertainment": 0.047,
        "tech": 0.039,
    }

    assert shown == pytest.approx(real, abs=0.03)
    assert all(0.1 < rate < 0.145 for topic, rate in liked.items() if topic != "tech")
    assert 0.08 < liked["tech"] < 0.115


def test_effects_are_as_strong_as_in_the_real_rows_and_no_stronger(behaviour: Behaviour) -> None:
    assert 0.60 < behaviour.auc_user < 0.63  # real rows before 2021-12-12: .6175
    assert 0.525 < behaviour.auc_embedding < 0.555  # .528 there, .54 on all of them
    assert 0.62 < behaviour.auc_position < 0.655  # .649 there, .644 on all of them
    assert 0.52 < behaviour.auc_topic < 0.55  # .534
    assert 0.58 < behaviour.auc_user_early < 0.605  # .590
    assert 0.67 < behaviour.auc_user_late < 0.73  # .712
    assert behaviour.user_rate == pytest.approx((0.037, 0.118, 0.212), abs=0.012)


def test_the_rate_of_a_post_that_many_saw_tells_as_much_as_published(config: WorldConfig) -> None:
    # 10,000 views a post in the original; the same rates are as well known where the posts are few.
    crowd = measure(facts(replace(config, n_users=2_500, n_posts=300)))

    assert 0.54 < crowd.auc_post < 0.57  # published: .55-.56


def test_without_taste_texts_and_topics_tell_nothing() -> None:
    dull = measure(facts(WorldConfig(n_users=800, taste=0.0)))

    assert dull.auc_embedding == pytest.approx(0.5, abs=0.01)
    assert dull.auc_topic == pytest.approx(0.5, abs=0.01)
    assert dull.topic_like_spread == pytest.approx(1.0, abs=0.06)


def test_profiles_have_the_published_marginals(real_rows: Path) -> None:
    published = json.loads((real_rows / "published_stats.json").read_text())
    n = published["rows"]["user_data"]

    users = user_table(WorldConfig(n_users=n)).to_pandas()

    for column in ("source", "os", "country", "exp_group"):
        counts = users[column].astype(str).value_counts()
        assert set(counts.index) == set(published[column])
        for value, count in published[column].items():
            assert abs(counts[value] - count) < 4 * np.sqrt(count), (column, value)
    known = published["age"]
    assert users["age"].quantile([0.25, 0.5, 0.75]).tolist() == [known["q1"], known["median"], known["q3"]]
    assert users["age"].mean() == pytest.approx(known["mean"], rel=0.02)
    assert users["age"].std() == pytest.approx(known["std"], rel=0.05)
    assert (users["age"].min(), users["age"].max()) == (known["min"], known["max"])
    assert users["city"].nunique() == pytest.approx(published["cities"]["unique"], rel=0.06)
    top = users["city"].value_counts().head(5).to_dict()
    assert top == pytest.approx(published["cities"]["top"], rel=0.1)
    assert users["user_id"].between(*published["user_id_range"]).all()


@pytest.fixture(scope="module")
def real(real_rows: Path) -> Behaviour:
    """Measure the histories, the only part of the real rows that is fit for sequences."""
    feed = pd.read_parquet(real_rows / f"{FEED}.parquet", filters=[("part", "==", "histories_114_users")])
    posts = pd.read_parquet(real_rows / f"{POSTS}.parquet")
    embeddings = (
        pd.read_parquet(real_rows / f"{EMBEDDINGS}.parquet").set_index("post_id").loc[posts["post_id"]]
    )
    feed["code"] = feed["action"].astype(str).map(ACTIONS)
    feed = feed.sort_values(["timestamp", "user_id", "post_id", "code"])
    users = pd.read_parquet(real_rows / f"{USERS}.parquet").set_index("user_id")
    user_ids = np.union1d(users.index, feed["user_id"])
    events = Facts(
        users=users.reindex(user_ids).rename_axis("user_id").reset_index(),
        posts=posts,
        embeddings=embeddings.loc[posts["post_id"]].to_numpy(np.float32),
        user=np.searchsorted(user_ids, feed["user_id"]).astype(np.int32),
        post=np.searchsorted(posts["post_id"], feed["post_id"]).astype(np.int32),
        time=feed["timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64),
        action=feed["code"].to_numpy(np.int8),
        target=feed["target"].to_numpy(np.int8),
    )
    return measure(events)


def test_a_world_of_the_same_period_behaves_as_the_real_rows_do(real: Behaviour, config: WorldConfig) -> None:
    # The real rows are 114 users; the tolerances are about three of their standard errors.
    made = measure(facts(replace(config, n_users=1_000, end=date(2021, 12, 12))))

    for name, tolerance in {
        "like_rate": 0.012,
        "auc_user": 0.02,
        "auc_post": 0.015,
        "auc_embedding": 0.025,
        "auc_embedding_in_session": 0.03,
        "auc_topic": 0.02,
        "auc_position": 0.025,
        "auc_user_early": 0.03,
        "auc_user_late": 0.045,
        "topic_like_spread": 0.3,
        "repeats": 0.006,
        "session_minutes": 1.0,
    }.items():
        assert getattr(made, name) == pytest.approx(getattr(real, name), abs=tolerance), name
    assert made.session_views == pytest.approx(real.session_views, abs=1)
    assert made.days_between_sessions == pytest.approx(real.days_between_sessions, rel=0.1)
    assert made.views_per_user == pytest.approx(real.views_per_user, rel=0.15)
    assert made.user_rate == pytest.approx(real.user_rate, abs=0.02)
    assert made.views_by_topic == pytest.approx(real.views_by_topic, abs=0.03)
    assert made.rate_by_position == pytest.approx(real.rate_by_position, abs=0.04)
