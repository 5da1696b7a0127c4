"""Profiles, texts, sessions, split and popular lists on facts whose right answer is known."""

import numpy as np
import pandas as pd

from batch.features import asof, popularity, profile, text
from batch.learn.sessions import positions
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of


def test_sessions_break_at_a_pause_and_at_another_user() -> None:
    user = np.array([1, 2, 1, 1], np.int32)
    time = np.array([0, 0, 1800, 3601], np.int64)

    session, position = positions(user, time)

    assert session.tolist() == [0, 2, 0, 1]
    assert position.tolist() == [0, 0, 1, 0]


def test_codes_follow_frequency_and_missing_stays_missing() -> None:
    users = pd.DataFrame(
        {"user_id": [1, 2, 3, 4], "city": ["b", "a", "b", None], "age": [20.5, 30.0, np.nan, 40.0]}
    )

    coded = profile.encode(users)

    assert [(f.name, f.categorical) for f in coded.features] == [("city", True), ("age", False)]
    np.testing.assert_array_equal(coded.values[:, 0], [0, 1, 0, np.nan])
    np.testing.assert_array_equal(coded.values[:, 1], np.array([20.5, 30, np.nan, 40], np.float32))


def test_a_segment_needs_every_value_and_writes_integers_plainly() -> None:
    users = pd.DataFrame({"user_id": [1, 2, 3], "gender": [1.0, np.nan, 0.0], "os": ["iOS", "iOS", "web"]})

    names, number = profile.segments(users, ("gender", "os"))

    assert names == ("gender=0,os=web", "gender=1,os=iOS")
    assert number.tolist() == [1, -1, 0]


def test_a_cluster_lies_inside_one_topic() -> None:
    facts = even_likes_even(n_posts=60)

    texts = text.describe(facts.posts, None, seed=1)

    np.testing.assert_array_equal(texts.topic_of_cluster[texts.cluster], texts.topic)
    assert texts.cluster.max() + 1 == len(texts.topic_of_cluster)


def test_posts_without_text_or_topic_are_described_as_missing() -> None:
    posts = pd.DataFrame(
        {
            "post_id": [1, 2, 3, 4],
            "topic": ["a", None, "a", None],
            "text": ["one two three", None, "one two four", ""],
        }
    )

    texts = text.describe(posts, None, seed=1)

    assert np.isnan(texts.factors[[1, 3]]).all()
    assert texts.topic.tolist() == [0, 1, 0, 1]
    assert np.isnan(texts.length[1])


def test_embeddings_that_the_data_brings_are_used() -> None:
    posts = pd.DataFrame({"post_id": range(8), "topic": ["a"] * 8, "text": [None] * 8})
    embeddings = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    embeddings[3] = np.nan

    texts = text.describe(posts, embeddings, seed=1)

    assert np.isnan(texts.factors[3]).all()
    assert not np.isnan(texts.factors[[0, 1, 2, 4, 5, 6, 7], :5]).any()


def test_the_test_week_ends_with_the_last_busy_day_and_not_with_stray_rows() -> None:
    facts = even_likes_even(days=20)
    columns = (facts.user, facts.post, facts.time, facts.action, facts.target)
    rows = [(int(u), int(p), int(t), int(a), int(y)) for u, p, t, a, y in zip(*columns, strict=True)]

    split = last_week(facts_of([*rows, (0, 1, BEGIN_S + 30 * DAY_S, 0, 0)], 20, 30))

    assert split == Split(BEGIN_S + 13 * DAY_S, BEGIN_S + 20 * DAY_S)


def test_no_user_comes_back_means_no_split() -> None:
    assert last_week(even_likes_even(days=1)) is None


def test_popular_lists_put_the_liked_posts_first_in_their_segment() -> None:
    facts = even_likes_even(n_users=40, n_posts=20, days=20)
    statics = asof.describe(facts, seed=1)
    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    starts = BEGIN_S + 30 * DAY_S + 3600 * np.arange(24, dtype=np.int64)
    names, segment = profile.segments(facts.users, ("gender",))

    ranked = popularity.rank(facts, counts, starts, segment, len(names), depth=5)

    assert ranked.buckets.shape == (24, 5)
    assert ranked.segments.shape == (2, 24, 5)
    assert (ranked.segments[0, 9] % 2 == 0).all()
    assert (ranked.segments[1, 9] % 2 == 1).all()
    assert sorted(ranked.catalogue) == list(range(20))


def test_popular_lists_read_no_fact_after_as_of() -> None:
    facts = even_likes_even(n_users=10, days=10)
    statics = asof.describe(facts, seed=1)
    as_of_s = BEGIN_S + 4 * DAY_S
    starts, segment = np.array([as_of_s], np.int64), np.zeros(10, np.int32)

    whole = popularity.rank(facts, asof.start_tally(facts, statics).advance(as_of_s), starts, segment, 1, 30)
    early = facts.until(as_of_s)
    cut = popularity.rank(early, asof.start_tally(early, statics).advance(as_of_s), starts, segment, 1, 30)

    np.testing.assert_array_equal(whole.buckets, cut.buckets)
    np.testing.assert_array_equal(whole.segments, cut.segments)
    np.testing.assert_array_equal(whole.catalogue, cut.catalogue)
