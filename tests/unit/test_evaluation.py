"""Evaluation in full: worlds whose right answer is plain, and what may not be seen."""

from dataclasses import replace
from io import StringIO

import numpy as np
import orjson
import pandas as pd
import pytest
from rich.console import Console

from batch.arrays import Bools, Floats, Ints
from batch.cli.draw.results import draw_evaluation
from batch.data.facts import Facts
from batch.data.windows import Windows
from batch.evaluate.cold import pairs_with, without
from batch.evaluate.full import evaluate_in_full
from batch.evaluate.metrics import CUTS, NO_POST
from batch.evaluate.own import OwnModel
from batch.evaluate.results import Figure, Report
from batch.evaluate.sessions import Sessions
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn.baselines.recommender import Recommender, ScoreRecommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.score.caps import Caps
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
def found(facts: Facts) -> Report:
    how = asof.describe(facts, 1), SPLIT, RECIPE
    return evaluate_in_full(facts, *how, segment_by=SEGMENTS, line=same_parity, held=0.2)


def rows(found: Report, protocol: str, **where: object) -> pd.DataFrame:
    """Return a protocol's figures, of all lists unless said otherwise, by model and metric."""
    some = found.results[found.results["protocol"] == protocol]
    for name, value in {"segment": "all", "against": "", **where}.items():
        some = some[some[name] == value]
    return some.assign(metric=some["metric"] + "@" + some["k"].astype(str)).set_index(["model", "metric"])


def test_a_clear_taste_puts_ours_far_ahead_wherever_it_is_measured(found: Report) -> None:
    for protocol, metric in (
        ("shown", "auc_in_session@0"),
        ("all_posts", "ndcg@10"),
        ("truth", "normalized@5"),
    ):
        own, ahead = rows(found, protocol), rows(found, protocol, against="popular")
        gap = own.loc[("almanac", metric), "value"] - own.loc[("popular", metric), "value"]
        assert ahead.loc[("almanac", metric), "value"] == pytest.approx(gap)
        assert ahead.loc[("almanac", metric), "low"] > 0
        assert ("popular", metric) not in ahead.index
        line = own.xs(metric, level="metric")
        assert (line["low"] - 1e-9 <= line["value"]).all()
        assert (line["value"] <= line["high"] + 1e-9).all()


def test_lines_beside_ours_are_what_they_must_be(found: Report) -> None:
    shown, truth = (rows(found, name) for name in ("shown", "truth"))
    auc, normalized = (of["value"].unstack() for of in (shown, truth))

    assert auc["auc_in_session@0"]["oracle"] == 1.0
    assert auc["auc_in_session@0"]["random"] == 0.5
    assert auc["auc_in_session@0"]["as_shown"] == pytest.approx(0.5, abs=0.06)
    assert {"almanac_with_position", "almanac_position_fixed", "item_knn_cosine"} <= set(auc.index)
    assert (normalized["normalized@5"]["random"], set(truth["n_lists"])) == (0.0, {24})
    assert normalized["normalized@5"]["oracle"] == 1.0
    assert ("random", "hitrate@10") in rows(found, "all_posts", against="popular").index
    made_of = ("coverage", "novelty", "diversity", "popularity", "most_shown", "topics")
    every = {f"{name}@{k}" for name in made_of for k in CUTS}
    assert set(rows(found, "all_posts").loc["shown"].index) == every


def test_a_cap_on_topics_says_what_it_costs_and_what_it_brings(facts: Facts) -> None:
    caps = Caps.of("1/2", facts.posts["topic"])

    found = evaluate_in_full(facts, asof.describe(facts, 1), SPLIT, RECIPE, line=same_parity, caps=caps)

    for protocol, metric, sign in (
        ("truth", "expected_likes@10", -1),
        ("all_posts", "recall@10", -1),
        ("all_posts", "topics@10", 1),
    ):
        own = rows(found, protocol)["value"]
        moved = rows(found, protocol, against="almanac").loc[("almanac_capped", metric)]
        assert moved["value"] == pytest.approx(
            own["almanac_capped", metric] - own["almanac", metric], abs=1e-9
        )
        assert sign * moved["value"] > 0
    assert rows(found, "all_posts")["value"]["almanac_capped", "topics@10"] == 2
    console = Console(width=200, record=True, file=StringIO())
    draw_evaluation(console, found)
    assert "the cap on topics moves expected_likes@10 by -" in console.export_text()


def test_groups_are_all_the_lists_once(found: Report) -> None:
    shown = found.results[(found.results["protocol"] == "shown") & (found.results["model"] == "almanac")]
    sizes = shown.groupby("segment")[["n_lists", "n_users"]].first()

    assert set(sizes.index) == {"all", "gender=0", "gender=1", "impressions 100 or more"}
    assert sizes["n_lists"]["all"] == 24 * 4
    assert sizes["n_lists"][["gender=0", "gender=1"]].tolist() == [48, 48]
    assert sizes["n_users"]["impressions 100 or more"] == 24
    group = rows(found, "shown", segment="gender=0").loc["almanac"]
    assert set(group.index) == {"auc_in_session@0", "hitrate@5", "ndcg@10"}


def test_all_of_it_is_json_and_a_table(found: Report) -> None:
    again = orjson.loads(orjson.dumps(found.values(), option=orjson.OPT_SERIALIZE_NUMPY))
    console = Console(width=200, record=True, file=StringIO())

    draw_evaluation(console, found)

    assert again["results"][0].keys() == set(Figure._fields)
    text = console.export_text()
    for word in ("almanac_position_fixed", "gender=1", "100 or more", "oracle", "held out entirely"):
        assert word in text


def test_rolling_origins_pool_their_weeks(facts: Facts) -> None:
    first = Split(BEGIN_S + 2 * DAY_S, BEGIN_S + 3 * DAY_S)
    steps: list[int] = []

    pooled = evaluate_in_full(
        facts, asof.describe(facts, 1), first, replace(RECIPE, n_trees=2), weeks=2, advance=steps.append
    )

    assert [origin["sessions"] for origin in pooled.about["origins"]] == [24 * 7, 24 * 7]
    assert set(rows(pooled, "shown")["n_lists"]) == {24 * 14}
    assert (rows(pooled, "truth").empty, pooled.about["cold"], steps) == (True, None, [1, 1])


def test_what_comes_after_the_split_changes_nothing_that_ranks(facts: Facts) -> None:
    later = facts.time >= SPLIT.test_from_s
    turned = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))
    known, event = asof.describe(facts, 1), np.flatnonzero(later & facts.views)

    one, other = (OwnModel.train(some, known, SPLIT.test_from_s - 1, RECIPE) for some in (facts, turned))

    assert one.training.model.fingerprint == other.training.model.fingerprint
    np.testing.assert_array_equal(one.snapshot(event), other.snapshot(event))
    np.testing.assert_array_equal(one.additive(event), other.additive(event))


class Ascending:
    """Ranks posts by their row."""

    def lists(self, users: Ints, n: int, opened: Bools | None = None) -> Ints:
        posts = np.arange(n) if opened is None else np.flatnonzero(opened)[:n]
        return np.tile(np.append(posts, np.full(n - len(posts), -1)), (len(users), 1))

    def pairs(self, users: Ints, posts: Ints, at_s: Ints) -> Floats:
        return -posts.astype(np.float64)


def test_a_list_holds_the_best_unseen_posts_and_ends_where_there_are_no_more(facts: Facts) -> None:
    small = even_likes_even(n_users=6, n_posts=30, days=3)
    ranked: Recommender = Ascending()
    for some, split in ((facts, SPLIT), (small, Split(BEGIN_S + 2 * DAY_S, BEGIN_S + 3 * DAY_S))):
        asked = AskedUsers.of(some, split, np.random.default_rng(1))

        lists = asked.rank(ranked, 15)

        for row, user in enumerate(asked.users.tolist()):
            seen = some.post[(some.user == user) & (some.time < split.test_from_s)]
            left = np.setdiff1d(np.arange(len(some.posts)), seen)[:15]
            assert lists[row].tolist() == [*left, *[NO_POST] * (15 - len(left))]
            liked = some.post[(some.user == user) & (some.target == 1) & (some.time >= split.test_from_s)]
            assert set(asked.post[asked.row == row]) == set(np.setdiff1d(liked, seen))


@pytest.fixture(scope="module")
def windowed(facts: Facts) -> Facts:
    """Close the second half of the posts before the split, but the last one, which opens within it."""
    windows = Windows.none(200)
    windows.to_s[100:199], windows.from_s[199] = SPLIT.test_from_s, SPLIT.test_from_s + DAY_S
    return replace(facts, posts=facts.posts.assign(**windows.frame()))


def test_lists_are_of_posts_open_at_their_time_and_no_other_counts_as_liked(windowed: Facts) -> None:
    asked = AskedUsers.of(windowed, SPLIT, np.random.default_rng(1))
    models: list[Recommender] = [
        Ascending(),
        ScoreRecommender(lambda users: np.tile(np.arange(200.0), (len(users), 1)), 200),
        OwnModel.train(windowed, asof.describe(windowed, 1), SPLIT.test_from_s - 1, RECIPE).recommender(
            SPLIT.test_from_s
        ),
    ]

    for model in models:
        lists = asked.rank(model, 120)

        for row, own in enumerate(lists):
            left = np.setdiff1d(np.arange(100), asked.seen_posts.of(row))
            assert sorted(own[own != NO_POST].tolist()) == left.tolist()
            assert asked.n_left[row] == len(left)
    assert asked.post.max() < 100
    later = AskedUsers.of(windowed, SPLIT, np.random.default_rng(1), at_s=SPLIT.test_from_s + DAY_S)
    assert 199 in later.post
    assert later.n_left.max() <= 101


def test_an_evaluation_of_posts_with_windows_compares_lists_of_open_posts(
    windowed: Facts, found: Report
) -> None:
    how = asof.describe(windowed, 1), SPLIT, RECIPE
    caps = Caps(3, 5, (np.arange(200) % 2).astype(np.int32))

    closed = evaluate_in_full(windowed, *how, line=same_parity, caps=caps)

    for protocol in ("all_posts", "truth"):
        few, every = rows(closed, protocol), rows(found, protocol)
        assert set(every.index.get_level_values("model")) <= set(few.index.get_level_values("model"))
        assert np.isfinite(few["value"]).all()
    share = rows(closed, "all_posts").loc[("almanac", "coverage@10"), "value"]
    assert 0.2 < share <= 1
    assert (
        rows(closed, "all_posts").loc[("random", "recall@10"), "value"]
        > 1.5 * (rows(found, "all_posts").loc[("random", "recall@10"), "value"])
    )


def test_of_many_users_some_are_asked(facts: Facts) -> None:
    asked = AskedUsers.of(facts, SPLIT, np.random.default_rng(1), most=5)

    assert len(asked.users) == 5
    assert asked.seen.shape == (5, 200)
    assert set(asked.row.tolist()) == set(range(5))
    what = Sessions.of(facts, SPLIT, seed=1, most=5)
    assert (len(np.unique(what.user)), len(what.owner), len(what.event)) == (5, 20, 240)


def test_a_held_out_user_has_no_past_and_is_ranked_all_the_same(facts: Facts, found: Report) -> None:
    held = facts.user == 3
    kept = without(facts, SPLIT, held)

    assert not ((kept.user == 3) & (kept.time < SPLIT.test_from_s)).any()
    assert ((kept.user == 3) & (kept.time >= SPLIT.test_from_s)).sum() > 0
    assert len(kept.time) == (~held | (facts.time >= SPLIT.test_from_s)).sum()
    users = rows(found, "cold.users").loc[("almanac", "auc_in_session@0")]
    assert (users["n_users"], users["n_lists"]) == (5, 20)
    assert set(rows(found, "cold.users", segment="impressions 0")["n_lists"]) == {20}
    assert found.about["cold"]["share_of_posts"] == 0.2
    assert 0 <= rows(found, "cold.exposure").loc[("almanac", "share_of_top@10"), "value"] <= 1


def test_pairs_with_a_held_out_post_are_counted_one_by_one(facts: Facts) -> None:
    what = Sessions.of(facts, SPLIT, seed=1)
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
        evaluate_in_full(facts, asof.describe(facts, 1), empty, RECIPE)
