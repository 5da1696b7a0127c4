"""Evaluation in full: worlds whose right answer is plain, and what may not be seen."""

from dataclasses import replace
from io import StringIO

import numpy as np
import orjson
import pytest
from rich.console import Console

from batch.cli.draw.evaluation import draw_evaluation
from batch.data.facts import Facts
from batch.evaluate.cold import pairs_with, without
from batch.evaluate.full import Evaluation, Scope, evaluate_in_full
from batch.evaluate.metrics import NO_POST, Floats, Ints
from batch.evaluate.nightly import Plan
from batch.evaluate.own import Trained
from batch.evaluate.sessions import Shown
from batch.evaluate.unseen import Asked, unseen
from batch.features import asof
from batch.learn.baselines.recommender import Fitted
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from tests.facts import BEGIN_S, DAY_S, even_likes_even

RECIPE = Recipe(30, 10**6, 3600, n_trees=15, n_leaves=7, seed=1, threads=1)
SPLIT = Split(BEGIN_S + 12 * DAY_S, BEGIN_S + 16 * DAY_S)
SEGMENTS = ("gender",)


def same_parity(users: Ints, posts: Ints, _at_s: Ints) -> Floats:
    """Tell the truth of `even_likes_even`, leaving a little to chance."""
    return np.where(users % 2 == posts % 2, 0.9, 0.05)


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Make a world whose topics tell who likes what."""
    made = even_likes_even(n_users=24, n_posts=200, days=16)
    parity = np.where(made.posts["post_id"] % 2, "odd", "even")
    return replace(made, posts=made.posts.assign(topic=parity))


@pytest.fixture(scope="module")
def found(facts: Facts) -> Evaluation:
    scope = Scope(segment_by=SEGMENTS, truth=same_parity, held=0.2)
    return evaluate_in_full(facts, asof.statics(facts, 1), Plan(SPLIT, RECIPE), scope)


def test_a_clear_taste_puts_ours_far_ahead_wherever_it_is_measured(found: Evaluation) -> None:
    assert found.shown
    assert found.all_posts
    assert found.truth

    for section, metric in (
        (found.shown, "auc_in_session"),
        (found.all_posts, "ndcg_at_10"),
        (found.truth, "normalized_at_5"),
    ):
        ours, popular = section.lines["almanac"][metric], section.lines["popular"][metric]
        assert ours.ahead == pytest.approx(ours.value - popular.value)
        assert ours.ahead_interval is not None
        assert ours.ahead_interval[0] > 0
        assert popular.ahead is None
        for line in section.lines.values():
            if metric in line:
                low, high = line[metric].interval or (np.nan, np.nan)
                assert low - 1e-9 <= line[metric].value <= high + 1e-9


def test_lines_beside_ours_are_what_they_must_be(found: Evaluation) -> None:
    assert found.shown
    assert found.all_posts
    assert found.truth
    shown = found.shown.lines

    assert shown["oracle"]["auc_in_session"].value == 1.0
    assert shown["random"]["auc_in_session"].value == 0.5
    assert shown["as_shown"]["auc_in_session"].value == pytest.approx(0.5, abs=0.06)
    assert {"almanac_with_position", "almanac_position_fixed", "item_knn_cosine"} <= shown.keys()
    assert (found.truth.lines["random"]["normalized_at_5"].value, found.truth.n_lists) == (0.0, 24)
    assert found.truth.lines["oracle"]["normalized_at_5"].value == 1.0
    assert found.all_posts.lines["random"]["hitrate_at_10"].ahead is not None
    assert found.all_posts.lines["shown"].keys() == {
        "coverage_at_10",
        "novelty_at_10",
        "diversity_at_10",
        "popularity_at_10",
        "most_shown_at_10",
    }


def test_groups_are_all_the_lists_once(found: Evaluation) -> None:
    assert found.shown
    shown = found.shown

    assert shown.n_lists == 24 * 4
    assert {name: group.n_lists for name, group in shown.by_segment.items()} == {
        "gender=0": 48,
        "gender=1": 48,
    }
    assert {name: group.n_users for name, group in shown.by_warmth.items()} == {"100 or more": 24}
    assert shown.by_segment["gender=0"].lines["almanac"].keys() == {
        "auc_in_session",
        "hitrate_at_5",
        "ndcg_at_10",
    }


def test_all_of_it_is_json_and_a_table(found: Evaluation) -> None:
    again = orjson.loads(orjson.dumps(found.values()))
    console = Console(width=200, record=True, file=StringIO())

    draw_evaluation(console, found)

    assert again["shown"]["lines"]["almanac"]["map_at_15"].keys() == {
        "value",
        "interval",
        "ahead",
        "ahead_interval",
    }
    text = console.export_text()
    for word in ("almanac_position_fixed", "gender=1", "100 or more", "oracle", "held out entirely"):
        assert word in text


def test_rolling_origins_pool_their_weeks(facts: Facts) -> None:
    first = Split(BEGIN_S + 2 * DAY_S, BEGIN_S + 3 * DAY_S)
    told: list[int] = []

    pooled = evaluate_in_full(
        facts, asof.statics(facts, 1), Plan(first, replace(RECIPE, n_trees=2)), Scope(weeks=2), told.append
    )

    assert pooled.shown
    assert [origin.sessions for origin in pooled.origins] == [24 * 7, 24 * 7]
    assert pooled.shown.n_lists == 24 * 14
    assert (pooled.truth, pooled.cold, told) == (None, None, [1, 1])


def test_what_comes_after_the_split_changes_nothing_that_ranks(facts: Facts) -> None:
    later = facts.time >= SPLIT.test_from_s
    turned = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))
    known, event = asof.statics(facts, 1), np.flatnonzero(later & facts.views)

    one, other = (Trained.at(some, known, SPLIT.test_from_s - 1, RECIPE) for some in (facts, turned))

    assert one.model.fingerprint == other.model.fingerprint
    np.testing.assert_array_equal(one.snapshot(event), other.snapshot(event))
    np.testing.assert_array_equal(one.additive(event), other.additive(event))


class Ascending:
    """Ranks posts by their row."""

    def lists(self, users: Ints, n: int) -> Ints:
        return np.tile(np.arange(n), (len(users), 1))

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        return -posts.astype(np.float64)


def test_a_list_holds_the_best_unseen_posts_and_ends_where_there_are_no_more(facts: Facts) -> None:
    small = even_likes_even(n_users=6, n_posts=30, days=3)
    ranked: Fitted = Ascending()
    for some, split in ((facts, SPLIT), (small, Split(BEGIN_S + 2 * DAY_S, BEGIN_S + 3 * DAY_S))):
        asked = Asked.of(some, split, np.random.default_rng(1))

        lists = unseen(ranked, asked, 15)

        for row, user in enumerate(asked.users.tolist()):
            seen = some.post[(some.user == user) & (some.time < split.test_from_s)]
            left = np.setdiff1d(np.arange(len(some.posts)), seen)[:15]
            assert lists[row].tolist() == [*left, *[NO_POST] * (15 - len(left))]
            liked = some.post[(some.user == user) & (some.target == 1) & (some.time >= split.test_from_s)]
            assert set(asked.post[asked.row == row]) == set(np.setdiff1d(liked, seen))


def test_of_many_users_some_are_asked(facts: Facts) -> None:
    asked = Asked.of(facts, SPLIT, np.random.default_rng(1), most=5)

    assert len(asked.users) == 5
    assert asked.seen.shape == (5, 200)
    assert set(asked.row.tolist()) == set(range(5))
    what = Shown.of(facts, SPLIT, seed=1, most=5)
    assert what
    assert (len(np.unique(what.user)), len(what.owner), len(what.event)) == (5, 20, 240)


def test_a_held_out_user_has_no_past_and_is_ranked_all_the_same(facts: Facts, found: Evaluation) -> None:
    held = facts.user == 3
    kept = without(facts, SPLIT, held)

    assert not ((kept.user == 3) & (kept.time < SPLIT.test_from_s)).any()
    assert ((kept.user == 3) & (kept.time >= SPLIT.test_from_s)).sum() > 0
    assert len(kept.time) == (~held | (facts.time >= SPLIT.test_from_s)).sum()
    assert found.cold
    assert found.cold.users
    assert (found.cold.users.n_users, found.cold.users.n_lists) == (5, 20)
    assert found.cold.users.by_warmth["0"].n_lists == 20
    assert found.cold.share_of_posts == 0.2
    assert found.cold.exposure
    assert 0 <= found.cold.exposure.lines["almanac"]["share_of_top_10"].value <= 1


def test_pairs_with_a_held_out_post_are_counted_one_by_one(facts: Facts) -> None:
    what = Shown.of(facts, SPLIT, seed=1)
    assert what
    rng = np.random.default_rng(2)
    scores, held = rng.integers(0, 4, len(what.post)).astype(np.float64), rng.random(200)[what.post] < 0.1
    what = replace(what, liked=rng.random(len(what.post)) < 0.3)

    found = pairs_with(what, scores, held)

    for session in range(5):
        own = np.flatnonzero(what.session == session)
        pairs = [(i, j) for i in own for j in own if what.liked[i] > what.liked[j] and (held[i] or held[j])]
        won = sum(float(scores[i] > scores[j]) + 0.5 * float(scores[i] == scores[j]) for i, j in pairs)
        assert (found.parts[session], found.wholes[session]) == (pytest.approx(won), len(pairs))


def test_days_without_anything_to_rank_are_refused(facts: Facts) -> None:
    empty = Split(BEGIN_S + 20 * DAY_S, BEGIN_S + 21 * DAY_S)

    with pytest.raises(ValueError, match="nothing can be ranked"):
        evaluate_in_full(facts, asof.statics(facts, 1), Plan(empty, RECIPE), Scope())
