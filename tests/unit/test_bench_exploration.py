"""The worlds of `tests.bench exploration`: what comes when, what is known when, how pairs are compared."""

import numpy as np
import pytest

from api.contract.buckets import DAY_S
from tests.bench.exploration.fortnight import Day
from tests.bench.exploration.run import _compare
from tests.bench.exploration.world import HISTORY, PLACES, Diary, World

N_DAYS = 8


@pytest.fixture(scope="module")
def world() -> World:
    """Make a small one."""
    return World.make(40, 200, N_DAYS, 1)


def test_a_tenth_more_posts_come_each_night_and_in_the_end_all_are_there(world: World) -> None:
    there = np.array([(world.born <= day).sum() for day in range(-1, N_DAYS)])

    assert there[-1] == 200
    assert np.allclose(there[1:] / there[:-1], 1.1, atol=0.01)


def test_a_night_knows_the_posts_that_came_and_what_was_seen_and_no_more(world: World) -> None:
    diary = Diary(world)
    facts = diary.tell(2)

    assert len(facts.posts) == (world.born <= 2).sum()
    assert facts.time.max() < world.first_s
    assert (np.diff(facts.time) >= 0).all()
    assert facts.views.sum() == diary.seen.sum() <= PLACES * world.comes[:HISTORY].sum()
    assert 0 < facts.target.sum() == facts.likes.sum() < 0.3 * facts.views.sum()
    page = np.flatnonzero(world.born == 2)[:3]
    diary.note(7, page, world.first_s + 2 * DAY_S, np.array([True, False, True]))
    assert len(diary.tell(3).time) == len(facts.time) + 5
    assert diary.seen[7, page].all()


def test_the_interval_of_a_change_is_over_worlds() -> None:
    pairs = [([Day(likes=100)], [Day(likes=likes)]) for likes in (101.0, 102.0, 103.0)]

    found = _compare(pairs, lambda days: days[0].likes)

    half = 4.302653 * 0.01 / 3**0.5
    assert found == pytest.approx(
        {"without": 100, "with": 102, "change": 0.02, "low": 0.02 - half, "high": 0.02 + half}, abs=2e-5
    )
