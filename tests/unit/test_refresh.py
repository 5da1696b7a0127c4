"""The pure parts of a refresh: who has moved, features of one's own events, new posts in old lists."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.contract.buckets import DAY_S
from batch.features import asof
from batch.features.population import Population, cell_side, user_side
from batch.features.text import Unplaceable, describe, place
from batch.jobs.refresh.digests import InputDigests, compare, digest_inputs
from batch.jobs.refresh.own import count, events_of
from batch.jobs.refresh.steps import Lists, merge
from tests.changing import AS_OF_S, Feed

DEPTH = 4


def moved(before: InputDigests, feed: Feed) -> set[int]:
    """Return the ids of the users who have moved."""
    facts = feed.facts()
    return set(facts.user_ids[compare(before, digest_inputs(facts)).users].tolist())


@pytest.mark.parametrize("change", ["new_events", "late_events", "lost_events", "late_likes", "profiles"])
def test_only_those_whose_facts_changed_have_moved(change: str) -> None:
    feed = Feed.drawn(1)
    old, before = feed.facts(), digest_inputs(feed.facts())
    getattr(feed, change)()
    new = feed.facts()

    wanted = set()
    for user_id in feed.users["user_id"].tolist():
        rows = [np.flatnonzero(facts.user == facts.user_ids.tolist().index(user_id)) for facts in (old, new)]
        events = [
            np.column_stack([facts.post[at], facts.time[at], facts.action[at], facts.target[at]]).tolist()
            for facts, at in zip((old, new), rows, strict=True)
        ]
        profiles = [
            facts.users[facts.users["user_id"] == user_id].astype(str).to_numpy().tolist()
            for facts in (old, new)
        ]
        if events[0] != events[1] or profiles[0] != profiles[1]:
            wanted.add(user_id)
    assert moved(before, feed) == wanted
    assert wanted


def test_the_order_of_events_and_how_numbers_are_stored_move_nobody() -> None:
    feed = Feed.drawn(2)
    facts = feed.facts()
    order = np.random.default_rng(0).permutation(len(facts.time))
    gender = facts.users["gender"].astype(int)
    shuffled = replace(facts.select(order), users=facts.users.assign(gender=gender))

    assert not compare(digest_inputs(facts), digest_inputs(shuffled)).any


def test_users_and_posts_come_go_and_are_edited() -> None:
    feed = Feed.drawn(3)
    before = digest_inputs(feed.facts())
    first, last = int(feed.posts["post_id"].iloc[0]), int(feed.posts["post_id"].iloc[-1])
    feed.gone_users()
    feed.new_users()
    feed.posts.loc[feed.posts["post_id"] == last, "text"] = "another text"
    feed.posts = feed.posts.iloc[1:]
    changes = compare(before, digest_inputs(feed.facts()))

    assert (changes.n_users_gone, int(changes.new_users.sum())) == (2, 3)
    assert changes.posts_gone.tolist() == [first]
    assert np.flatnonzero(changes.posts).tolist() == [len(feed.posts) - 1]
    assert not changes.new_posts.any()


def test_a_changed_window_moves_its_post_alone_and_describes_it_no_other_way() -> None:
    feed = Feed.drawn(1)
    one, other = feed.posts["post_id"][:2].tolist()
    before = digest_inputs(feed.facts())
    changed = []

    for windows in ([(one, 5, None)], [(one, 5, 9)], [(one, 5, 9), (other, None, 9)], []):
        feed.windows = {post: (from_s, to_s) for post, from_s, to_s in windows}
        now = digest_inputs(feed.facts())
        changes = compare(before, now)
        changed.append(np.flatnonzero(changes.posts).tolist())
        assert not changes.described.any()
        before = now

    assert changed == [[0], [0], [1], [0, 1]]


def test_features_of_own_events_are_those_a_run_of_everyone_makes_bit_by_bit() -> None:
    facts = Feed.drawn(4).facts()
    known = asof.describe(facts, 1)
    counts = asof.start_tally(facts, known).advance(AS_OF_S)
    common = Population.of(counts, known.texts)
    wanted = asof.make_sides(facts, known, counts, np.array([AS_OF_S]))
    some = np.array([3, 17, 40, 88])
    chosen = np.isin(np.arange(len(facts.users)), some)

    own = count(events_of(facts, chosen), some, known.texts.cluster, counts.n_groups, AS_OF_S)

    behaviour = user_side(own, common).astype(np.float32)
    np.testing.assert_array_equal(behaviour, wanted.user[some, -behaviour.shape[1] :])
    cells = cell_side(own, known.texts.topic_of_cluster, common)
    np.testing.assert_array_equal(cells, wanted.user_group[:, some])


def test_a_users_clock_goes_on_with_his_own_events_and_with_nobody_elses() -> None:
    feed = Feed.drawn(5)
    user = int(feed.users["user_id"].iloc[7])
    feed.events = np.concatenate([feed.events, [[user, feed.posts["post_id"].iloc[0], AS_OF_S + 900, 0, 1]]])
    facts = feed.facts()
    some = np.array([6, 7])
    chosen = np.isin(np.arange(len(facts.users)), some)

    own = count(events_of(facts, chosen), some, np.zeros(len(facts.posts), np.int32), 1, AS_OF_S)

    assert own.at_s.tolist() == [AS_OF_S, AS_OF_S + 900]
    assert own.at_s[1] == own.last_seen_s[1]


def test_a_further_post_is_placed_beside_those_it_reads_like() -> None:
    feed = Feed.drawn(6)
    texts = describe(feed.posts, None, 1)

    again = place(feed.posts.iloc[:20], None, texts.map)

    np.testing.assert_array_equal(again.topic, texts.topic[:20])
    np.testing.assert_array_equal(again.cluster, texts.cluster[:20])
    np.testing.assert_allclose(again.factors, texts.factors[:20], atol=1e-4)
    vectors = np.random.default_rng(0).normal(size=(len(feed.posts), 12)).astype(np.float32)
    brought = describe(feed.posts, vectors, 1)
    found = place(feed.posts.iloc[:20], vectors[:20], brought.map)
    np.testing.assert_array_equal(found.cluster, brought.cluster[:20])
    np.testing.assert_allclose(found.factors, brought.factors[:20], atol=1e-4)


def test_a_post_is_placed_alike_alone_and_among_others() -> None:
    posts = Feed.drawn(6).posts
    vectors = np.random.default_rng(0).normal(size=(len(posts), 64)).astype(np.float32)
    for told in (None, vectors):
        about = describe(posts, told, 1).map
        for n in range(2, 9):
            many = place(posts.iloc[:n], None if told is None else told[:n], about).space
            for row in range(n):
                part = slice(row, row + 1)
                alone = place(posts.iloc[part], None if told is None else told[part], about).space
                np.testing.assert_array_equal(alone[0], many[row])


@pytest.mark.parametrize(
    ("topic", "text", "why"),
    [("chess", "word7", "topic 'chess' and a text"), ("tech", None, "topic 'tech' and no text")],
)
def test_a_post_like_none_before_cannot_be_placed(topic: str, text: str | None, why: str) -> None:
    texts = describe(Feed.drawn(7).posts, None, 1)
    post = pd.DataFrame({"post_id": [9], "topic": [topic], "text": [text]})

    with pytest.raises(Unplaceable, match=f"post 9 has {why}"):
        place(post, None, texts.map)


def ranked(scores: np.ndarray, posts: np.ndarray, depth: int) -> Lists:
    """Return the best of some posts by (users, buckets, posts) scores without NaN; ties to the lower row."""
    ids = np.full((*scores.shape[:2], depth), -1)
    best = np.full((*scores.shape[:2], depth), np.nan)
    for user, bucket in np.ndindex(scores.shape[:2]):
        order = [post for post in posts.tolist() if not np.isnan(scores[user, bucket, post])]
        order = sorted(order, key=lambda post: (-scores[user, bucket, post], post))[:depth]
        ids[user, bucket, : len(order)] = order
        best[user, bucket, : len(order)] = scores[user, bucket, order]
    return ids, best


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 3), st.integers(0, 6))
def test_merged_lists_are_the_lists_of_all_posts_or_known_not_to_be(
    seed: int, n_new: int, n_edited: int, n_levels: int
) -> None:
    rng = np.random.default_rng(seed)
    n_posts = 9
    scores = rng.integers(0, 3 + n_levels, (5, 2, n_posts)).astype(float)  # with ties
    scores[np.broadcast_to((rng.random((5, 1, n_posts)) < 0.3), scores.shape)] = np.nan  # seen
    order = rng.permutation(n_posts)
    new, edited = np.sort(order[:n_new]), np.sort(order[n_new : n_new + n_edited])
    changed = np.sort(np.concatenate([new, edited]))
    before = np.where(np.isin(np.arange(n_posts), edited) & ~np.isnan(scores), 1.0, scores)
    old = ranked(before, np.setdiff1d(np.arange(n_posts), new), DEPTH)

    found, certain = merge(old, ranked(scores, changed, DEPTH), changed, DEPTH)

    wanted = ranked(scores, np.arange(n_posts), DEPTH)
    np.testing.assert_array_equal(found[0][certain], wanted[0][certain])
    np.testing.assert_array_equal(found[1][certain], wanted[1][certain])
    if not n_edited:
        assert certain.all()


def test_days_are_counted_from_the_moment_of_the_last_full_run() -> None:
    facts = Feed.drawn(8).facts()
    everyone = np.ones(len(facts.users), np.bool_)
    rows, groups = np.arange(len(everyone)), np.zeros(len(facts.posts), np.int32)

    own = count(events_of(facts, everyone), rows, groups, 1, AS_OF_S + DAY_S)

    assert set(own.at_s.tolist()) == {AS_OF_S + DAY_S}
