"""A schedule on the clocks of a zone, in the nights in which they are changed, both ways."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.jobs.cron import read_cron

BERLIN, YORK, SYDNEY, LORD_HOWE = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
)


def due_from(expression: str, zone: str, begin: datetime, hours: float = 24) -> list[datetime]:
    """Return the moments in UTC at which an expression is due from one on, in order."""
    trigger, found, last = read_cron(expression, zone), [], None
    end = begin + timedelta(hours=hours)
    while (last := trigger.get_next_fire_time(last, last or begin)) and last < end:
        found.append(last)
    return found


def told(moments: list[datetime]) -> list[str]:
    """Show moments as hours and minutes in UTC."""
    return [f"{moment.astimezone(UTC):%H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("zone", "night", "expression", "moments"),
    [
        # Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
        (BERLIN, "2026-03-28T12:00", "30 2 * * *", ["01:00"]),
        (BERLIN, "2026-03-28T12:00", "0 2 * * *", ["01:00"]),
        (BERLIN, "2026-03-28T12:00", "59 1 * * *", ["00:59"]),
        (BERLIN, "2026-03-28T12:00", "0 3 * * *", ["01:00"]),
        (BERLIN, "2026-03-28T12:00", "0,30 2,3 * * *", ["01:00", "01:30"]),
        # Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
        (BERLIN, "2026-10-24T12:00", "30 2 * * *", ["00:30"]),
        (BERLIN, "2026-10-24T12:00", "0 2 * * *", ["00:00"]),
        (BERLIN, "2026-10-24T12:00", "0 3 * * *", ["02:00"]),
        (BERLIN, "2026-10-24T12:00", "0,30 2,3 * * *", ["00:00", "00:30", "02:00", "02:30"]),
        # New York, 2026-03-08: 02:00 becomes 03:00 at 07:00 UTC.
        # New York, 2026-11-01: 02:00 becomes 01:00 at 06:00 UTC.
        (YORK, "2026-03-07T20:00", "30 2 * * *", ["07:00"]),
        (YORK, "2026-03-07T20:00", "0 3 * * *", ["07:00"]),
        (YORK, "2026-10-31T20:00", "30 1 * * *", ["05:30"]),
        (YORK, "2026-10-31T20:00", "0 2 * * *", ["07:00"]),
        # South of the equator the year is the other way round, and one zone changes by half an hour.
        (SYDNEY, "2026-10-03T06:00", "30 2 * * *", ["16:00"]),
        (SYDNEY, "2026-04-04T06:00", "30 2 * * *", ["15:30"]),
        (LORD_HOWE, "2026-10-03T06:00", "15 2 * * *", ["15:30"]),
        (LORD_HOWE, "2026-04-04T06:00", "45 1 * * *", ["14:45"]),
    ],
)
def test_a_time_that_is_left_out_or_comes_twice_is_due_once(
    zone: str, night: str, expression: str, moments: list[str]
) -> None:
    begin = datetime.fromisoformat(night).replace(tzinfo=UTC)

    assert told(due_from(expression, zone, begin)) == moments


def test_what_is_due_every_hour_is_due_in_each_hour_that_there_is() -> None:
    spring, autumn = (datetime(2026, *day, 22, tzinfo=UTC) for day in ((3, 28), (10, 24)))

    assert told(due_from("20 * * * *", BERLIN, spring, 5)) == ["22:20", "23:20", "00:20", "01:20", "02:20"]
    assert told(due_from("20 * * * *", BERLIN, autumn, 5)) == ["22:20", "23:20", "00:20", "01:20", "02:20"]
    assert told(due_from("20 */2 * * *", BERLIN, autumn, 6)) == ["22:20", "00:20", "01:20", "03:20"]


def test_a_day_has_its_run_by_the_clock_on_the_wall_all_year() -> None:
    year = due_from("0 3 * * *", BERLIN, datetime(2026, 1, 1, tzinfo=UTC), 365 * 24)

    assert len(year) == 365
    assert {f"{moment.astimezone(ZoneInfo(BERLIN)):%H:%M}" for moment in year} == {"03:00"}


def test_a_scheduler_that_starts_within_an_hour_that_comes_twice_waits_for_the_next_day() -> None:
    second_half = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 in Berlin, for the second time

    assert due_from("30 2 * * *", BERLIN, second_half, 30) == [datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "*/7 * * * *", "0 0 1 * 1", "59 23 * * *", "15 */3 * * *"]
)
@given(
    zone=st.sampled_from([BERLIN, YORK, SYDNEY, LORD_HOWE, "UTC", "Asia/Kathmandu", "Africa/Casablanca"]),
    begin_s=st.integers(1_767_225_600, 1_798_761_600),
)
def test_moments_go_forward_and_do_not_depend_on_when_one_begins_to_look(
    expression: str, zone: str, begin_s: int
) -> None:
    begin = datetime.fromtimestamp(begin_s, UTC)
    trigger = read_cron(expression, zone)

    first = trigger.get_next_fire_time(None, begin)
    second = trigger.get_next_fire_time(first, first)

    assert first is not None
    assert second is not None
    assert begin <= first < second
    middle = begin + (first - begin) / 2
    assert trigger.get_next_fire_time(None, middle) == first
    assert trigger.get_next_fire_time(None, first) == first


def test_without_a_zone_times_are_utc() -> None:
    assert "UTC" in available_timezones()
    assert told(due_from("30 2 * * *", "UTC", datetime(2026, 3, 28, 12, tzinfo=UTC))) == ["02:30"]
