"""The attainable line of a moving world: it finds hours and fame that are there, and none that are not."""

import numpy as np
import pytest

from batch.evaluate.attainable import score_attainable
from batch.evaluate.attainable_moves import N_IN_WEEK, STEP_S, MovingRows
from batch.simulate import effects
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts
from batch.simulate.truth import Truth

CONFIG = WorldConfig(n_users=400, n_posts=300, seed=5, regime="moving")
N_STEPS = 196  # half days of 90 days, a week before and a day after


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.from_config(CONFIG)


def rows_of(truth: Truth, n_each: int = 50) -> MovingRows:
    """Return rows that show every post evenly over the period."""
    n_posts = len(truth.post_ids)
    post = np.tile(np.arange(n_posts, dtype=np.int32), n_each)
    time = np.repeat(np.linspace(CONFIG.start_s, CONFIG.end_s - 1, n_each).astype(np.int64), n_posts)
    return MovingRows.of(truth, post, time)


def test_without_evidence_a_post_is_as_likely_famous_as_any(truth: Truth) -> None:
    rows = rows_of(truth)

    famous = rows.infer_fame(np.zeros(len(rows.place)))

    assert famous.shape == (300, N_STEPS)
    expected = effects.FAMOUS_SHARE * N_IN_WEEK / N_STEPS
    assert famous[:, N_IN_WEEK:] == pytest.approx(expected)
    assert famous[:, 0] == pytest.approx(expected / N_IN_WEEK)  # only one begin leads to it


def test_a_week_of_likes_makes_a_post_famous_in_it_and_at_no_other_time(truth: Truth) -> None:
    rows = rows_of(truth, n_each=360)
    post, step = rows.place // N_STEPS, rows.place % N_STEPS
    in_week = (step >= 80) & (step < 80 + N_IN_WEEK)

    famous = rows.infer_fame(np.where(post == 7, np.where(in_week, 1.0, -1.0), -0.2))

    assert famous[7, 80 : 80 + N_IN_WEEK].min() > 0.9
    assert famous[7, :70].max() < 0.01
    assert famous[7, 110:].max() < 0.01
    assert np.delete(famous, 7, axis=0).max() < effects.FAMOUS_SHARE * N_IN_WEEK / N_STEPS


def test_hours_are_found_as_far_as_the_facts_tell_them(truth: Truth) -> None:
    rows = rows_of(truth, n_each=2_000)
    moved = truth.moves.by_hour.reshape(-1)[rows.cell]
    nothing = np.zeros((len(truth.moves.by_hour), 24))

    sure = rows.update_hours(nothing, 1e4 * moved, np.full(len(moved), 1e4))
    unsure = rows.update_hours(nothing, 1e-6 * moved, np.full(len(moved), 1e-6))

    there = np.unique(truth.posts.topic)
    np.testing.assert_allclose(sure[there], truth.moves.by_hour[there], atol=1e-3)
    assert np.abs(unsure).max() < 1e-3


def test_a_step_is_half_a_day(truth: Truth) -> None:
    rows = rows_of(truth)

    assert rows.step_of(CONFIG.start_s) == effects.FAME_S // STEP_S
    assert rows.step_of(CONFIG.end_s + effects.DAY_S - 1) == N_STEPS - 1


def test_the_line_of_a_moving_world_moves_with_the_hour_as_the_truth_does(truth: Truth) -> None:
    world, users = facts(CONFIG), np.arange(100)
    at_s = CONFIG.end_s + np.array([8, 20]) * 3600

    early, late = (score_attainable(world, truth, users, int(at)) for at in at_s)

    there = np.unique(truth.posts.topic)
    found = [(late - early).mean(axis=0)[truth.posts.topic == topic].mean() for topic in there]
    expected = (truth.moves.by_hour[:, 20] - truth.moves.by_hour[:, 8])[there]
    assert np.corrcoef(found, expected)[0, 1] > 0.7
