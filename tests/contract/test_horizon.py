"""Time: every timestamp has exactly one bucket, inside the horizon or not."""

from hypothesis import given
from hypothesis import strategies as st

from api.contract.buckets import DAY_S, Horizon
from tests.oracle import bucket_of

WIDTHS = [width for width in (1, 60, 900, 1800, 3600, 7200, 21_600, DAY_S) if DAY_S % width == 0]
TIMES = st.integers(-10 * DAY_S, 40 * DAY_S)


@st.composite
def horizons(draw: st.DrawFn) -> Horizon:
    """Give horizons of any width, from one bucket to several days; half of them begin anywhere."""
    if draw(st.booleans()):
        return Horizon(
            draw(st.integers(0, 10 * DAY_S)), draw(st.integers(1, 3 * DAY_S)), draw(st.integers(1, 60))
        )
    return Horizon.after(
        draw(st.integers(0, 10 * DAY_S)), draw(st.sampled_from(WIDTHS[2:])), draw(st.integers(1, 60))
    )


@given(horizons(), TIMES)
def test_every_time_has_exactly_one_bucket(horizon: Horizon, at_s: int) -> None:
    assert horizon.starts.count(horizon.bucket_for(at_s)) == 1


@given(horizons(), st.data())
def test_a_time_inside_has_the_bucket_that_holds_it(horizon: Horizon, data: st.DataObject) -> None:
    at_s = data.draw(st.integers(horizon.start_s, horizon.end_s - 1))

    holding = [start for start in horizon.starts if start <= at_s < start + horizon.width_s]

    assert holding == [horizon.bucket_for(at_s)]


@given(horizons(), TIMES)
def test_a_second_reckoning_finds_the_same_bucket(horizon: Horizon, at_s: int) -> None:
    facts = {"start_s": horizon.start_s, "width_s": horizon.width_s, "n_buckets": horizon.n_buckets}

    assert horizon.bucket_for(at_s) == bucket_of(facts, at_s)


@given(horizons(), TIMES, st.integers(0, 20 * DAY_S))
def test_a_label_says_how_the_time_was_answered(horizon: Horizon, at_s: int, as_of_s: int) -> None:
    label = horizon.label_for(at_s, as_of_s)

    assert (label == "leaky") == (at_s < as_of_s)
    assert label != "exact" or horizon.start_s <= at_s < horizon.end_s
    assert label != "nearest" or not horizon.start_s <= at_s < horizon.end_s


@given(st.integers(0, 10 * DAY_S), st.sampled_from(WIDTHS[2:]))
def test_a_horizon_begins_at_the_bucket_of_as_of(as_of_s: int, width_s: int) -> None:
    horizon = Horizon.after(as_of_s, width_s, n_buckets=1)

    assert horizon.starts == (horizon.bucket_for(as_of_s),)
    assert 0 <= as_of_s - horizon.start_s < width_s
