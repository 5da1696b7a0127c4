"""Where the points, bars and lines of the inspector's pictures stand."""

import math

import pytest

from batch.inspector.picture import HEIGHT, MARGIN, lay_out


def test_a_picture_reaches_from_its_lowest_to_its_highest_value() -> None:
    found = lay_out([2.0, 3.0], [1.0, 2.5], [4.0, 3.5], {"beside": [None, 5.0]})

    assert found is not None
    assert (found.bottom, found.top, found.zero) == (1.0, 5.0, None)
    assert found.bars[0] == (25.0, 11.0, HEIGHT - MARGIN)
    assert found.also == {"beside": f"75.0,{MARGIN}"}
    assert found.dots == ((25.0, 29.0), (75.0, 20.0))


def test_what_is_not_known_is_left_out_and_nothing_known_is_no_picture() -> None:
    found = lay_out([None, math.nan, 1.0], [None, math.nan, None], [None, 2.0, None], floor=0.0)

    assert found is not None
    assert found.dots[:2] == (None, None)
    assert found.bars == ()
    assert found.zero == HEIGHT - MARGIN
    assert lay_out([None, math.nan], also={"beside": [1.0, 2.0]}) is None
    assert lay_out([]) is None


def test_one_value_alone_stands_in_the_middle() -> None:
    found = lay_out([0.25])

    assert found is not None
    assert found.dots == ((50.0, HEIGHT / 2),)


@pytest.mark.parametrize(("newest", "top"), [(0, 9.0), (2, 9.0), (1, 2.0)])
def test_early_intervals_may_reach_beyond_the_picture(newest: int, top: float) -> None:
    found = lay_out([1.0, 1.0], [-9.0, 0.0], [9.0, 2.0], newest=newest)

    assert found is not None
    assert found.top == top
    assert (found.bars[0][1] < 0) == (newest == 1)  # above the upper edge
