"""The bench of nights sees times that nobody accounts for, runs that overlap, failures without a notice."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batch.runs.record import Outcome, Run
from tests.bench.nights.judge import find_longest_s, find_overlaps, find_unaccounted, find_untold

BEGIN_S = 1_795_316_400  # 03:00
RUN = Run(
    number=1,
    kind="full",
    variant="default",
    slot_s=BEGIN_S,
    asked_by="schedule",
    host="night-1",
    pid=7,
    begun_s=BEGIN_S,
    ended_s=BEGIN_S + 50,
    outcome="done",
    why="",
    exit_code=None,
    generation=None,
    chosen="",
    as_of_s=None,
    resumes=True,
    resumed_from=None,
    log="",
    stage="",
    done=0,
    total=None,
    seen_s=BEGIN_S + 50,
    stop=None,
    made={},
)


def later(number: int, seconds: float, outcome: Outcome = "done") -> Run:
    """Return a run that begins so long after the first one and takes as long."""
    return replace(
        RUN,
        number=number,
        slot_s=None,
        begun_s=BEGIN_S + seconds,
        ended_s=BEGIN_S + seconds + 50,
        seen_s=BEGIN_S + seconds + 50,
        outcome=outcome,
    )


def test_a_time_is_run_or_said_to_be_missed_or_found() -> None:
    missed = {
        "event": "slot.missed",
        "job": "full",
        "slots": [datetime.fromtimestamp(BEGIN_S + 300, UTC).isoformat()],
    }
    elsewhere = {
        **missed,
        "job": "refresh",
        "slots": [datetime.fromtimestamp(BEGIN_S + 600, UTC).isoformat()],
    }

    found = find_unaccounted("full", "*/5 * * * *", BEGIN_S - 1, BEGIN_S + 900, [RUN], [missed, elsewhere])

    assert [datetime.fromisoformat(at).timestamp() - BEGIN_S for at in found] == [600, 900]


def test_a_run_takes_as_long_as_all_its_attempts_together() -> None:
    again = replace(later(2, 200, "done"), slot_s=RUN.slot_s)

    assert find_longest_s([]) == 0
    assert find_longest_s([RUN, later(2, 200)]) == 50  # one by hand is no attempt of a slot's
    assert find_longest_s([again, RUN]) == 250


@pytest.mark.parametrize(("seconds", "overlap"), [(49.0, [(1, 2)]), (50.0, []), (60.0, [])])
def test_runs_that_overlap_are_found(seconds: float, overlap: list[tuple[int, int]]) -> None:
    assert find_overlaps([later(2, seconds), RUN]) == overlap


def test_a_failure_needs_a_notice_of_its_own_after_a_good_run() -> None:
    runs = [later(1, 0, "failed"), later(2, 60, "lost"), later(3, 120), later(4, 180, "failed")]
    first = {"title": "Almanac: full run failed", "at_s": BEGIN_S + 51.0}
    good = {"title": "Almanac: full run finished", "at_s": BEGIN_S + 231.0}
    second = {**first, "at_s": BEGIN_S + 231.0}

    assert find_untold(runs, [first, second]) == []
    assert find_untold(runs, [first, good]) == [4]
    assert find_untold(runs, []) == [1, 2, 4]
