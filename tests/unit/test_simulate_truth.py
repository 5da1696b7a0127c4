"""The truth of a world: that likes are drawn with its chances, and what the oracle makes of them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from batch.data.facts import Facts
from batch.simulate import effects
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts
from batch.simulate.truth import Truth
from tests.behaviour import SESSION_GAP_S

REGIMES: tuple[Regime, ...] = ("gaussian", "typed", "moving")
AT_S = WorldConfig().start_s + 40 * 86_400 + 19 * 3600


@pytest.fixture(scope="module", params=REGIMES)
def config(request: pytest.FixtureRequest) -> WorldConfig:
    return WorldConfig(n_users=1_200, n_posts=1_000, seed=11, regime=request.param)


@pytest.fixture(scope="module")
def truth(config: WorldConfig) -> Truth:
    return Truth.from_config(config)


@pytest.fixture(scope="module")
def world(config: WorldConfig) -> Facts:
    return facts(config)


def positions(world: Facts, views: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each view's place in its session; `views` are rows by user and time."""
    user, at_s = world.user[views], world.time[views]
    begins = np.append(True, (user[1:] != user[:-1]) | (np.diff(at_s) > SESSION_GAP_S))
    first = np.flatnonzero(begins)
    return np.asarray(np.arange(len(views)) - first[np.cumsum(begins) - 1], np.int64)


def test_likes_come_as_often_as_the_truth_says(world: Facts, truth: Truth) -> None:
    views = np.flatnonzero(world.views)
    views = views[np.argsort(world.user[views], kind="stable")]
    position = positions(world, views)
    # Between the ninth and the twentieth place the half is open, and in a typed world the post tells it.
    views, position = (rows[(position < 9) | (position >= 19)] for rows in (views, position))
    user_ids, post_ids = world.user_ids[world.user[views]], world.post_ids[world.post[views]]

    likely = truth.likely(user_ids, post_ids, world.time[views], position)

    target = world.target[views].astype(float)
    deciles = np.array_split(np.argsort(likely), 10)
    expected = np.array([likely[rows].mean() for rows in deciles])
    liked = np.array([target[rows].mean() for rows in deciles])
    error = np.sqrt(np.array([(likely[rows] * (1 - likely[rows])).sum() for rows in deciles])) / len(
        deciles[0]
    )
    assert likely.mean() == pytest.approx(target.mean(), abs=0.0025)
    assert expected[-1] - expected[0] > 0.25
    np.testing.assert_array_less(np.abs(liked - expected), 4 * error + 1e-9)


def test_all_views_together_come_out_at_the_published_like_rate(world: Facts) -> None:
    assert world.target[world.views].mean() == pytest.approx(effects.LIKE_RATE, abs=0.003)


def test_asked_without_a_place_the_truth_is_the_mean_over_both_halves(truth: Truth) -> None:
    user_ids, post_ids = truth.user_ids[:40, None], truth.post_ids[None, ::50]

    first, last = (truth.likely(user_ids, post_ids, AT_S, np.array(place)) for place in (0, 25))
    mean = truth.likely(user_ids, post_ids, AT_S)

    share = effects.EARLY_SHARE
    np.testing.assert_allclose(mean, share * first + (1 - share) * last, atol=1e-12)
    assert np.all(first >= last)
    assert mean.dtype == np.float64


def test_a_matrix_holds_what_is_likely_for_each_pair(truth: Truth) -> None:
    user_ids = truth.user_ids[[5, 900, 17]]

    matrix = truth.matrix(user_ids, AT_S)

    assert matrix.shape == (3, 1_000)
    assert matrix.min() >= 0
    assert matrix.max() < 1
    np.testing.assert_allclose(matrix, truth.likely(user_ids[:, None], truth.post_ids, AT_S), atol=1e-12)
    np.testing.assert_allclose(truth.likely(user_ids[1], truth.post_ids[7], AT_S), matrix[1, 7], atol=1e-12)


def test_a_stranger_has_no_truth(truth: Truth) -> None:
    with pytest.raises(KeyError, match="user 7 is not of this world"):
        truth.matrix([7], AT_S)
    with pytest.raises(KeyError, match="post 99999 is not of this world"):
        truth.likely(truth.user_ids[0], 99_999, AT_S)


def test_the_truth_is_the_same_after_a_way_through_json(config: WorldConfig, truth: Truth) -> None:
    again = Truth.from_config(WorldConfig.from_json(config.to_json()))

    assert np.array_equal(again.matrix(truth.user_ids, AT_S), truth.matrix(truth.user_ids, AT_S))


def test_taste_scales_how_much_users_differ_in_what_they_like(config: WorldConfig) -> None:
    def disagreement(taste: float) -> float:
        truth = Truth.from_config(replace(config, taste=taste))
        liking = truth.user_taste @ truth.post_taste.T
        return float((liking - liking.mean(axis=0)).std())

    half, one, double = (disagreement(taste) for taste in (0.5, 1.0, 2.0))

    assert disagreement(0.0) == 0.0
    assert one == pytest.approx(2 * half)
    assert double == pytest.approx(2 * one)


def test_the_like_rate_stays_whatever_the_taste(config: WorldConfig) -> None:
    for taste in (0.0, 2.0):
        world = facts(replace(config, taste=taste))

        assert world.target[world.views].mean() == pytest.approx(effects.LIKE_RATE, abs=0.003)


def test_a_typed_feed_shows_first_what_the_type_prefers() -> None:
    config = WorldConfig(n_users=800, regime="typed")
    world, truth = facts(config), Truth.from_config(config)
    views = np.flatnonzero(world.views)
    views = views[np.argsort(world.user[views], kind="stable")]
    place = positions(world, views)
    preferred = truth.preferred[truth.user_type[world.user[views]], world.post[views]]

    early, late = preferred[place < 9].mean(), preferred[place >= 19].mean()

    pair = world.user[views].astype(np.int64) * len(world.post_ids) + world.post[views]
    order = np.argsort(pair, kind="stable")
    again = pair[order[1:]] == pair[order[:-1]]
    first, second = place[order[:-1]][again], place[order[1:]][again]
    clear = ((first < 9) | (first >= 19)) & ((second < 9) | (second >= 19))
    flips = np.mean((first < 9)[clear] != (second < 9)[clear])
    assert early == pytest.approx(1 - effects.MISPLACED, abs=0.002)
    assert late == pytest.approx(effects.MISPLACED, abs=0.002)
    assert 0 < flips < 0.015  # real rows: 7 of 1,337


def test_a_gaussian_feed_shows_in_random_order() -> None:
    config = WorldConfig(n_users=800)
    world, truth = facts(config), Truth.from_config(config)
    views = np.flatnonzero(world.views)
    views = views[np.argsort(world.user[views], kind="stable")]
    place = positions(world, views)
    liking = (
        np.einsum("ij,ij->i", truth.user_taste[world.user[views]], truth.post_taste[world.post[views]])
        + truth.post_base[world.post[views]]
    )

    assert abs(np.corrcoef(liking, place)[0, 1]) < 0.01
