"""Each time of a schedule is run or said to be missed, whatever a scheduler slept through or died in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.jobs.cron import read_cron
from batch.jobs.slots import LOOK_BACK_S, MOST_BEGUN, Slots, begin_after, list_slots
from batch.runs.record import Asked, Outcome, Run
from batch.runs.runs import Runs

HOURLY = read_cron("0 * * * *")
HOUR_S = 3600
BEGIN_S = int(datetime(2026, 11, 22, 3, tzinfo=UTC).timestamp())  # a full hour


def missed(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the times that were said to be missed, in order."""
    told = [vars(record) for record in caplog.records if record.getMessage() == "slot.missed"]
    return [slot[11:16] for record in told for slot in record["slots"]]


def test_the_newest_time_is_run_and_those_before_it_are_missed(caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots("full", HOURLY, BEGIN_S)

    taken = slots.take(BEGIN_S + 3 * HOUR_S + 5)

    assert taken == BEGIN_S + 3 * HOUR_S
    assert missed(caplog) == ["04:00", "05:00"]
    assert slots.take(BEGIN_S + 3 * HOUR_S + 6) is None


def test_times_that_pass_while_a_run_goes_on_are_missed_once(caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots("full", HOURLY, BEGIN_S)
    slots.take(BEGIN_S + HOUR_S)

    for _ in range(2):
        slots.pass_over(BEGIN_S + 3 * HOUR_S, "the run before it was still going")

    assert missed(caplog) == ["05:00", "06:00"]
    assert slots.take(BEGIN_S + 4 * HOUR_S + 1) == BEGIN_S + 4 * HOUR_S


def test_a_time_on_the_edge_is_in_one_span_alone() -> None:
    edge_s = BEGIN_S + HOUR_S

    assert list_slots(HOURLY, BEGIN_S, edge_s) == [edge_s]
    assert list_slots(HOURLY, edge_s, edge_s + HOUR_S) == [edge_s + HOUR_S]


def test_a_machine_that_slept_a_month_lists_a_week() -> None:
    slept_s = 30 * 24 * HOUR_S

    found = list_slots(HOURLY, BEGIN_S, BEGIN_S + slept_s)

    assert len(found) == LOOK_BACK_S // HOUR_S
    assert found[-1] == BEGIN_S + slept_s


def run_for(runs: Runs, slot_s: int, outcome: Outcome) -> None:
    """Record a run for a time of the schedule."""
    number = runs.begin("full", "default", Asked("schedule", slot_s))
    runs.end(number, outcome)


@pytest.mark.parametrize(
    ("outcomes", "opens_again"),
    [
        (["done"], False),
        (["failed"], False),
        (["cancelled"], False),
        (["stopped"], True),
        (["lost"], True),
        (["lost", "done"], False),
        (["lost", "lost"], True),
        (["lost"] * MOST_BEGUN, False),
    ],
)
def test_a_time_whose_run_was_cut_off_is_run_again_a_few_times_at_most(
    tmp_path: Path, outcomes: list[Outcome], opens_again: bool
) -> None:
    runs = Runs(tmp_path)
    run_for(runs, BEGIN_S - HOUR_S, "lost")
    for outcome in outcomes:
        run_for(runs, BEGIN_S, outcome)

    after_s = begin_after(runs.of_newest_slot("full", "default"), BEGIN_S + 60)

    assert list_slots(HOURLY, after_s, BEGIN_S + 60) == ([BEGIN_S] if opens_again else [])


def test_what_was_due_while_no_scheduler_was_up_is_found_from_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Runs(tmp_path)
    run_for(runs, BEGIN_S, "done")
    now_s = BEGIN_S + 2 * HOUR_S + 60

    slots = Slots("full", HOURLY, begin_after(runs.of_newest_slot("full", "default"), now_s))

    assert slots.is_due(now_s)
    assert slots.take(now_s) == BEGIN_S + 2 * HOUR_S
    assert missed(caplog) == ["04:00"]


def test_without_a_record_nothing_was_missed(tmp_path: Path) -> None:
    none: list[Run] = Runs(tmp_path).of_newest_slot("full", "default")

    assert begin_after(none, BEGIN_S + 60) == BEGIN_S + 60


def test_runs_by_hand_and_of_other_variants_stand_for_no_time(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    run_for(runs, BEGIN_S, "done")
    runs.end(runs.begin("full", "default"), "done")
    runs.end(runs.begin("full", "bold", Asked("schedule", BEGIN_S + HOUR_S)), "done")

    (last,) = runs.of_newest_slot("full", "default")

    assert last.slot_s == BEGIN_S


def test_a_clock_that_was_set_back_opens_no_time_twice(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    run_for(runs, BEGIN_S, "done")
    slots = Slots("full", HOURLY, begin_after(runs.of_newest_slot("full", "default"), BEGIN_S - 2 * HOUR_S))

    assert not slots.is_due(BEGIN_S - 2 * HOUR_S)
    assert slots.take(BEGIN_S - HOUR_S + 1) == BEGIN_S - HOUR_S  # its clock then runs through them again
