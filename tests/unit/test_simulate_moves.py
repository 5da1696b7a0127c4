"""A moving world: topics have hours, posts are born, new ones have their share, fame ends after a week."""

import hashlib
from datetime import date

import numpy as np
import pytest

from batch.data.columns import TEXT
from batch.data.facts import Facts
from batch.data.windows import SINCE_EVER, Windows
from batch.simulate import effects
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts
from batch.simulate.moves import Moves, hour_covariance
from batch.simulate.posts import TOPIC_NAMES, catalogue
from batch.simulate.truth import Truth

CONFIG = WorldConfig(n_users=1_500, n_posts=2_000, seed=4, regime="moving")


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.from_config(CONFIG)


@pytest.fixture(scope="module")
def world() -> Facts:
    return facts(CONFIG)


def test_no_post_is_shown_before_its_birth_and_its_window_says_when_that_is(
    world: Facts, truth: Truth
) -> None:
    windows = Windows.of(world.posts)

    assert windows is not None
    assert np.array_equal(windows.from_s, truth.moves.born_s)
    assert not windows.at(np.array([CONFIG.start_s]))[0].all()
    assert np.all(windows.from_s[world.post] <= world.time)


def test_a_tenth_of_what_a_day_shows_came_within_a_day(world: Facts, truth: Truth) -> None:
    age_s = world.time - truth.moves.born_s[world.post].astype(np.float64)
    new = (age_s < effects.NEW_S)[world.views]
    day = (world.time[world.views] - CONFIG.start_s) // effects.DAY_S

    by_week = np.bincount(day // 7, new) / np.bincount(day // 7)

    assert new.mean() == pytest.approx(effects.NEW_SHARE, abs=0.02)
    assert by_week == pytest.approx(effects.NEW_SHARE, abs=0.03)


def test_the_hours_of_topics_have_their_spread_and_no_mean() -> None:
    drawn = [Moves.draw(config, catalogue(config)).by_hour for config in _seeds(40)]

    covariance = np.cov(np.concatenate(drawn).T)

    assert np.sqrt(np.diag(hour_covariance())) == pytest.approx(effects.TOPIC_HOUR_SD)
    assert covariance == pytest.approx(hour_covariance(), abs=0.3 * effects.TOPIC_HOUR_SD**2)
    assert np.concatenate(drawn).mean(axis=1) == pytest.approx(0, abs=1e-5)


def test_a_topic_is_liked_more_at_its_hours(world: Facts, truth: Truth) -> None:
    hour, topic = world.time // 3600 % 24, truth.posts.topic[world.post]
    by_hour = truth.moves.by_hour[topic, hour]
    views = world.views

    best, worst = (by_hour > 0.02)[views], (by_hour < -0.02)[views]

    liked = world.target[views]
    expected = by_hour[views][best].mean() - by_hour[views][worst].mean()
    level = effects.of_moment(CONFIG, world.time[views])
    found = (liked - level)[best].mean() - (liked - level)[worst].mean()
    assert found == pytest.approx(expected, abs=0.015)


def test_fame_lifts_a_post_for_a_week_and_then_ends(truth: Truth) -> None:
    moves = truth.moves
    post = np.flatnonzero((moves.fame_s > CONFIG.start_s) & (moves.fame_s < CONFIG.end_s))
    begin = moves.fame_s[post]
    days = [begin - 1, begin, begin + effects.FAME_S - 1, begin + effects.FAME_S]

    lift = [
        moves.of(truth.posts, post, at) - moves.by_hour[truth.posts.topic[post], at // 3600 % 24]
        for at in days
    ]

    n = len(post)
    assert n > 100
    assert np.allclose(lift, np.repeat([[0.0], [effects.FAME_LIFT], [effects.FAME_LIFT], [0.0]], n, axis=1))


def test_the_truth_of_pairs_and_the_matrix_know_the_moment(truth: Truth) -> None:
    at_s = CONFIG.start_s + 40 * effects.DAY_S + np.array([8, 20]) * 3600

    early, late = (truth.matrix(truth.user_ids[:20], int(at)) for at in at_s)

    pairs = truth.likely(truth.user_ids[:20, None], truth.post_ids, at_s[1])
    np.testing.assert_allclose(late, pairs, atol=1e-12)
    of_early, of_late = (
        np.bincount(truth.posts.topic[chance.argmax(axis=1)], minlength=len(TOPIC_NAMES))
        for chance in (early, late)
    )
    assert not np.array_equal(of_early, of_late)


@pytest.mark.parametrize(
    ("regime", "digest"),
    [("gaussian", "17ade40dd86ed0da"), ("typed", "252b3c1fa13ef4dc"), ("moving", "a85166aa1c219a18")],
)
def test_a_seed_gives_the_same_rows_as_ever(regime: str, digest: str) -> None:
    config = WorldConfig(300, 300, 7, regime, start=date(2021, 11, 1), end=date(2021, 11, 8))  # type: ignore[arg-type]

    held = facts(config)

    columns = (held.user, held.post, held.time, held.action, held.target)
    found = hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in columns))
    found.update("".join(held.posts[TEXT]).encode())
    assert found.hexdigest()[:16] == digest


def test_a_gaussian_world_has_no_births() -> None:
    config = WorldConfig(300, 300, 7)

    assert Windows.of(facts(config).posts) is None
    assert np.all(Truth.from_config(config).moves.born_s == SINCE_EVER)


def _seeds(n: int) -> list[WorldConfig]:
    return [WorldConfig(10, 200, seed, "moving") for seed in range(n)]
