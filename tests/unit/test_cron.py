"""Cron expressions mean what crontab(5) says, weekdays above all."""

from datetime import UTC, datetime, timedelta

import pytest

from batch.jobs.cron import WEEKDAYS, expand_weekdays, read_cron

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)  # a Sunday


def times_of(expression: str, days: int = 7) -> list[datetime]:
    """Return when an expression is due in the days from `BEGIN` on."""
    trigger, found, last = read_cron(expression), [], None
    while (due := trigger.get_next_fire_time(last, last or BEGIN)) < BEGIN + timedelta(days=days):
        found.append(due)
        last = due
    return found


def weekdays_of(expression: str) -> str:
    """Return the weekdays of a week's times, Sunday first, as two letters each."""
    return " ".join(f"{due:%a}"[:2] for due in times_of(expression))


@pytest.mark.parametrize("number", range(8))
def test_every_weekdays_number_and_name_is_that_day(number: int) -> None:
    day = BEGIN + timedelta(days=number % 7, hours=3)
    name = WEEKDAYS[number % 7]

    for spelling in (str(number), name, name.upper(), name.capitalize()):
        assert times_of(f"0 3 * * {spelling}") == [day]


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("*", "Su Mo Tu We Th Fr Sa"),
        ("0-7", "Su Mo Tu We Th Fr Sa"),
        ("1-5", "Mo Tu We Th Fr"),
        ("mon-fri", "Mo Tu We Th Fr"),
        ("sun-tue", "Su Mo Tu"),
        ("5-7", "Su Fr Sa"),
        ("fri-sun", "Su Fr Sa"),
        ("0,6", "Su Sa"),
        ("7,sat", "Su Sa"),
        ("0,7", "Su"),
        ("1-3,5", "Mo Tu We Fr"),
        ("*/2", "Su Tu Th Sa"),
        ("1-5/2", "Mo We Fr"),
        ("mon-fri/2", "Mo We Fr"),
        ("1/3", "Mo Th"),
        ("3-3", "We"),
    ],
)
def test_ranges_lists_and_steps_of_weekdays(field: str, days: str) -> None:
    assert weekdays_of(f"30 4 * * {field}") == days


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_name_stands_for_its_fields(name: str, fields: str) -> None:
    times = times_of(name, days=400)

    assert times
    assert times == times_of(fields, days=400)


def test_a_day_of_the_month_or_a_weekday_is_enough() -> None:
    found = times_of("0 0 24 * 1")

    assert [due.day for due in found] == [23, 24]  # the Monday, then the 24th


def test_a_weekday_beside_a_step_over_all_days_narrows_it() -> None:
    assert [due.day for due in times_of("0 0 */2 * 1", days=14)] == [23]


def test_months_have_names_and_steps() -> None:
    months = [due.month for due in times_of("0 0 1 Jan-jun/2,oct *", days=365)]

    assert months == [1, 3, 5, 10]


@pytest.mark.parametrize(
    "field",
    ["8", "-1", "1-8", "5-1", "fri-mon", "monday", "1/0", "*/9-", "", "1,,2", "m0n", "1-5-6", "?", "２"],
)
def test_what_is_no_weekday_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"weekday|end before they begin"):
        expand_weekdays(field)


@pytest.mark.parametrize(
    "expression",
    ["", "hourly", "@reboot", "0 3 * *", "0 3 * * * *", "60 * * * *", "0 0 * foo *", "0 24 * * 1"],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"fields|Invalid month|validating expression"):
        read_cron(expression)
