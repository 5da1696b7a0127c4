"""What holds for everyone who ranks, peers and ours: one suite over all of them, by name."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.evaluate.contest import find_absent
from batch.evaluate.own import OURS, ModelRecommender, fit_own
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import BASELINES, find_baseline
from batch.learn.baselines.recommender import Recommender, ScoreRecommender
from batch.learn.recipe import Recipe
from tests.facts import BEGIN_S, DAY_S, even_likes_even

N_USERS, N_POSTS = 30, 40
COLD = 7  # a user row without any event
AS_OF_S = BEGIN_S + 15 * DAY_S
RECIPE = Recipe(30, 10**6, 3600, n_trees=20, n_leaves=7, seed=1, threads=1)
NAMES = (*(baseline.name for baseline in BASELINES), OURS)
TASTELESS = {"random", "popular", "popular_recent", "popular_7_days", "user_topic", "embedding_affinity"}
# What a user without history gets, of those that do not give everyone's popular posts.
OF_LATE = {"popular_recent", "ease_recent"}
BY_MORE = {"random", "popular_7_days", "popular_by_segment", "embedding_affinity", OURS}
BY_PROFILE = {"lightfm_warp", "lightfm_bpr", "dssm"}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A recommender that has learnt, under its name."""

    name: str
    recommender: Recommender

    def pairs(self) -> np.ndarray:
        """Return the scores of all users' all posts, (users, posts), a day later."""
        users, posts = (side.reshape(-1) for side in np.indices((N_USERS, N_POSTS)))
        at_s = np.full(len(users), AS_OF_S + DAY_S)
        return self.recommender.pairs(users, posts, at_s).reshape(N_USERS, N_POSTS)


def fit(name: str, interactions: Interactions) -> Fitted:
    """Fit who has the name; the test is skipped where a package misses."""
    absent = find_absent(N_POSTS, (name,))
    if absent:
        pytest.skip(f"{absent[name]}; `make test-zoo` brings it")
    baseline = find_baseline(name)
    if baseline is not None:
        return Fitted(name, baseline.fit(interactions))
    return Fitted(name, fit_own(interactions, RECIPE, AS_OF_S, AS_OF_S + DAY_S))


@pytest.fixture(scope="module")
def facts() -> Facts:
    made = even_likes_even(N_USERS, N_POSTS, days=20)
    return made.select(made.user != COLD)


@pytest.fixture(scope="module")
def interactions(facts: Facts) -> Interactions:
    return Interactions(facts.until(AS_OF_S), asof.describe(facts, 1), seed=1, threads=1)


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest, interactions: Interactions) -> Fitted:
    return fit(request.param, interactions)


def test_everybody_has_a_full_list_of_different_posts_by_falling_scores(fitted: Fitted) -> None:
    users = np.array([0, 1, COLD])

    lists = fitted.recommender.lists(users, N_POSTS)

    np.testing.assert_array_equal(np.sort(lists, axis=1), np.tile(np.arange(N_POSTS), (3, 1)))
    scores = np.take_along_axis(fitted.pairs()[users], lists, axis=1)
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) <= 1e-9).all()


def test_even_users_get_even_posts_where_tastes_are_learnt(fitted: Fitted) -> None:
    if fitted.name in TASTELESS:
        pytest.skip("it learns no taste, or none that these posts' texts and topics tell")

    lists = fitted.recommender.lists(np.array([2, 3]), 10)

    even = (lists % 2 == 0).mean(axis=1)
    assert even[0] > 0.6 > 0.4 > even[1]


def test_closed_posts_are_in_no_list(fitted: Fitted) -> None:
    opened = np.arange(N_POSTS) % 3 == 0

    lists = fitted.recommender.lists(np.array([0, COLD]), 10, opened)

    assert opened[lists].all()


def test_seen_posts_are_in_no_list_and_lists_are_full_without_them(fitted: Fitted) -> None:
    seen = np.sort(
        np.random.default_rng(3).permuted(np.tile(np.arange(N_POSTS), (N_USERS, 1)), axis=1)[:, :25]
    )
    left_out = SeenPosts(np.arange(N_USERS + 1) * 25, seen.reshape(-1).astype(np.int32))

    if isinstance(fitted.recommender, ModelRecommender):
        lists = fitted.recommender.capped(np.arange(N_USERS), left_out, 15, None)
    else:
        assert isinstance(fitted.recommender, ScoreRecommender)
        blocks = fitted.recommender.blocks(left_out, depth=15, n_buckets=1)
        lists = np.vstack([block.posts[:, 0] for block in blocks])

    np.testing.assert_array_equal(
        np.sort(np.hstack([lists, seen])), np.tile(np.arange(N_POSTS), (N_USERS, 1))
    )


def test_a_user_without_history_gets_what_is_popular_or_their_profile_likes(
    fitted: Fitted, interactions: Interactions
) -> None:
    if fitted.name in BY_MORE:
        pytest.skip("it knows more of a user than what they did, or nothing")

    (own,) = fitted.recommender.lists(np.array([COLD]), 10)

    if fitted.name in BY_PROFILE:  # the gender, 0 and 1, is who likes even posts or odd ones
        assert (own % 2 == COLD % 2).mean() > 0.8
    else:
        popular = fit("popular_recent" if fitted.name in OF_LATE else "popular", interactions)
        np.testing.assert_array_equal(own, popular.recommender.lists(np.array([COLD]), 10)[0])


def test_the_same_past_and_seed_give_the_same_scores_whatever_comes_after(
    fitted: Fitted, facts: Facts, interactions: Interactions
) -> None:
    later = facts.time > AS_OF_S
    turned = replace(facts, target=np.where(later & facts.views, 1 - facts.target, facts.target))
    statics = asof.describe(turned, 1)

    again = fit(fitted.name, replace(interactions, facts=turned.until(AS_OF_S), statics=statics))

    assert later.any()
    np.testing.assert_array_equal(again.pairs(), fitted.pairs())


def test_every_name_stands_in_the_docs() -> None:
    page = Path("docs/baselines.md").read_text()

    assert [name for name in NAMES if name != OURS and f"`{name}`" not in page] == []
