"""RecTools' protocol: folds in time, every event a yes, whose lists count; who is best, in a sentence."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from batch.cli.draw.compared import draw_time_ranges
from batch.data.facts import Facts
from batch.evaluate.best import tell_best
from batch.evaluate.metrics import CUTS
from batch.evaluate.published import PUBLISHED
from batch.evaluate.results import Figure, Report, result_frame
from batch.evaluate.time_ranges import (
    KEPT,
    as_interactions,
    ask_warm,
    compare_in_time_ranges,
    read_days,
    time_ranges,
)
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

RECIPE = Recipe(30, 10**6, 3600, n_trees=10, n_leaves=7, seed=1, threads=1)
PEERS = ("random", "popular", "popular_7_days", "user_knn")


@pytest.fixture(scope="module")
def facts() -> Facts:
    """Make choices of which only some are liked: even users take even posts."""
    made = even_likes_even(n_users=24, n_posts=200, days=16)
    taken = made.select(made.views & (made.target == 1))
    rated = np.arange(len(taken.time)) % 3 == 0
    return replace(taken, target=rated.astype(np.int8), shown="choices")


@pytest.fixture(scope="module")
def found(facts: Facts) -> Report:
    taken = as_interactions(facts)
    splits = time_ranges(taken.as_of_s, 2, 3)
    published = PUBLISHED["movielens-20m"]
    return compare_in_time_ranges(taken, asof.describe(taken, 1), RECIPE, splits, PEERS, published)


def test_a_protocol_names_its_days() -> None:
    assert (read_days("rectools-7d"), read_days("rectools-60d")) == (7, 60)
    for other in ("rectools", "rectools-0d", "rectools-7h", "leave-one-out"):
        with pytest.raises(ValueError, match=f"'{other}' is none: rectools-7d"):
            read_days(other)


def test_each_event_is_a_yes_where_users_chose_and_stays_what_it_is_where_a_feed_showed(facts: Facts) -> None:
    fed = replace(facts, shown="impressions")

    taken = as_interactions(facts)

    assert taken.all_chosen
    assert len(taken.time) == len(facts.time)
    assert as_interactions(fed) is fed


def test_who_is_new_and_what_is_new_or_taken_before_is_not_asked_for() -> None:
    day = [BEGIN_S + k * DAY_S for k in range(3)]
    events = [(0, 0, day[0]), (1, 1, day[0]), (0, 1, day[1]), (0, 0, day[1]), (0, 2, day[1]), (2, 1, day[1])]
    facts = replace(facts_of([(*event, 0, 1) for event in events], 3, 3), shown="choices")

    asked = ask_warm(facts, Split(day[1], day[2]))

    assert asked.users.tolist() == [0]  # the user of row 2 was not known
    assert asked.post.tolist() == [1]  # post 0 was theirs, post 2 was nobody's
    with pytest.raises(ValueError, match="no user known before 2021-10-03 takes a known post"):
        ask_warm(facts, Split(day[2], day[2] + DAY_S))


def test_a_plain_taste_is_found_and_every_metric_is_told_at_every_cut_off(found: Report) -> None:
    own = found.results[found.results["against"] == ""]
    values = own.set_index(["segment", "model", "metric", "k"])["value"].sort_index()
    names = ("hitrate", "recall", "precision", "ndcg", "ndcg_achievable", "map", "mrr", "auc")
    more = ("novelty", "serendipity", "diversity", "coverage")

    assert {(name, k) for name in (*names, *more) for k in CUTS} <= set(values["all", "almanac"].index)
    assert (
        values["all", "almanac", "ndcg_achievable", 10] > 1.6 * values["all", "random", "ndcg_achievable", 10]
    )
    kept = found.results[[(row.metric, row.k) in KEPT for row in found.results.itertuples()]]
    assert kept["low"].notna().all()
    assert [fold["test_from"][:10] for fold in found.about["folds"]] == [
        "2021-10-11",
        "2021-10-13",
        "2021-10-15",
    ]
    folds = [values[f"fold {k}", "almanac", "ndcg_achievable", 10] for k in (1, 2, 3)]
    sizes = [fold["n_users"] for fold in found.about["folds"]]
    assert values["all", "almanac", "ndcg_achievable", 10] == pytest.approx(np.average(folds, weights=sizes))
    assert " is best by ndcg_achievable@10, " in found.about["best"]


def test_what_others_published_is_said_to_be_published_with_its_source(found: Report) -> None:
    console = Console(width=200, record=True, file=StringIO())

    draw_time_ranges(console, found)

    text = console.export_text()
    assert "published, not measured here, by Tikhonovich et al., eSASRec, RecSys 2025" in text
    assert "ndcg@10 0.188  FuXi-alpha, best known" in text
    assert "ndcg@10 0.167  popular of 7 days" in text
    assert "on 20,000,263 interactions, 19,820,002 before the test and 54,522 in it; here on " in text


def sentence(value: float, low: float, high: float, ours: float = 0.2, shown: float | None = None) -> str:
    same = "unseen", "all"
    rows = [
        Figure(*same, "almanac", "", "recall", 5, ours, ours, ours, 9, 9),
        Figure(*same, "als", "", "recall", 5, ours - value, 0, 1, 9, 9),
        Figure(*same, "random", "", "recall", 5, 0.0, 0, 0, 9, 9),
        Figure(*same, "oracle", "", "recall", 5, 1.0, 1, 1, 9, 9),  # a line, nobody that ours is held against
        Figure(*same, "almanac", "als", "recall", 5, value, low, high, 9, 9),
        Figure(*same, "almanac", "random", "recall", 5, ours, 0.1, 0.3, 9, 9),
    ]
    if shown is not None:
        rows.append(Figure(*same, "as_shown", "", "recall", 5, shown, 0, 1, 9, 9))
        rows.append(Figure(*same, "almanac", "as_shown", "recall", 5, ours - shown, 0, 1, 9, 9))
    return tell_best(result_frame(rows), ("recall", 5))


def test_a_sentence_says_who_is_best_and_how_far_ours_is_ahead_whatever_it_is() -> None:
    best = "almanac is best by recall@5, 0.200: ahead of the next, als, by"

    assert sentence(0.05, 0.01, 0.09) == f"{best} 0.050 [0.010, 0.090]"
    assert sentence(0.05, -0.01, 0.11) == f"{best} 0.050 [-0.010, 0.110], which does not tell them apart"
    behind = "als is best by recall@5, 0.250: almanac, 0.200, is behind it by 0.050 [0.010, 0.090]"
    assert sentence(-0.05, -0.09, -0.01) == behind
    assert sentence(-0.05, -0.09, -0.01, shown=0.3) == f"{behind}; the old feed's own order has 0.300"


def test_the_sentence_says_that_nobody_ranked_beside_ours() -> None:
    row = Figure("unseen", "all", "almanac", "", "recall", 5, 0.2, 0.1, 0.3, 9, 9)

    assert tell_best(result_frame([row]), ("recall", 5)).endswith("nobody ranked beside it")
    assert tell_best(result_frame([row]), ("ndcg", 5)) == ""
