from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from batch.data.facts import Facts
from batch.evaluate import chance
from batch.evaluate.metrics import Hits, auc, auc_in_session, hitrate
from batch.evaluate.nightly import measure_run
from batch.evaluate.sessions import Sessions
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

scored = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30)


@given(scored)
def test_auc_is_sklearns(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], np.float64)
    liked = np.array([like for _, like in rows])

    found = auc(scores, liked)

    if liked.all() or not liked.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(liked, scores))


def test_auc_in_session_ignores_what_differs_between_sessions() -> None:
    session = np.array([0, 0, 1, 1])
    liked = np.array([True, False, True, False])

    assert auc_in_session(session, np.array([1.0, 0.0, 101.0, 100.0]), liked) == 1.0
    assert auc_in_session(session, np.array([1.0, 1.0, 100.0, 100.0]), liked) == 0.5


@given(st.integers(1, 8), st.integers(0, 8), st.integers(1, 5))
def test_the_random_line_is_the_share_of_choices_that_hold_a_like(n: int, likes: int, k: int) -> None:
    likes = min(likes, n)
    liked = np.arange(n) < likes
    choices = list(combinations(range(n), min(k, n)))

    share = float(np.mean([any(liked[place] for place in choice) for choice in choices]))

    assert chance.hitrate(np.array([n]), np.array([likes]), k)[0] == pytest.approx(share)


def test_hitrate_counts_a_session_once_however_many_likes_it_holds() -> None:
    session = np.array([1, 0, 0, 1, 0])
    scores = np.array([5.0, 1.0, 2.0, 4.0, 3.0])
    liked = np.array([True, True, False, True, False])

    assert hitrate(Hits.of_sessions(session, scores, liked, 2), 2).tolist() == [0.0, 1.0]


RECIPE = Recipe(30, 10**6, 3600, n_trees=30, n_leaves=7, seed=1, threads=1)


def measured(facts: Facts) -> dict[str, float]:
    split = last_week(facts)
    assert split is not None
    return measure_run(facts, asof.describe(facts, seed=1), split, RECIPE)


def test_a_world_with_a_clear_taste_is_ranked_far_above_random_and_popular() -> None:
    facts = even_likes_even(n_users=40, n_posts=60, days=21)

    found = measured(facts)

    assert found["auc_in_session"] > 0.75
    assert found["auc_in_session_popular"] < 0.6
    for name in ("auc_in_session_popular", "hitrate_at_5_popular", "hitrate_at_5_random5"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_a_model_of_shuffled_labels_scores_at_chance() -> None:
    facts = even_likes_even(n_users=60, n_posts=60, days=21)
    facts.target[facts.views] = np.random.default_rng(5).permutation(facts.target[facts.views])

    found = measured(facts)

    assert 0.46 < found["auc_in_session"] < 0.54


def test_what_finds_posts_alike_does_not_get_their_place() -> None:
    facts = facts_of(
        [
            (user, place, BEGIN_S + 60 * place, 0, int(place == 0))
            for user in range(200)
            for place in range(20)
        ],
        n_users=200,
        n_posts=20,
    )

    what = Sessions.of(facts, Split(BEGIN_S, BEGIN_S + DAY_S), seed=1)
    first = what.position == 0
    hits = hitrate(Hits.of_sessions(what.session, np.zeros(len(first)), first, 5), 5)

    assert len(hits) == 200
    assert 0.15 < hits.mean() < 0.35  # 5 of 20, where the order of time would make it 1
