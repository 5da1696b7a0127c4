"""A run's record: what it says while the run goes on, after it, and when its process is gone."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from batch.data.tables.location import SourceAway
from batch.progress import Progress
from batch.runs.record import Asked, describe_run
from batch.runs.recorded import RunStopped, recorded
from batch.runs.runs import RunEnded, Runs, RunUnknown
from batch.runs.tail import tail


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give the runs of an empty state folder."""
    return Runs(tmp_path / "state")


def test_a_run_that_ends_well_has_its_stages_figures_and_result(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress()

    with (
        caplog.at_level(logging.INFO),
        recorded(runs, progress, "full", "default", Asked("schedule", 1_600)) as record,
    ):
        record.fingerprint = "abc"
        record.keep("read")
        with progress.step("read", 7) as advance:
            advance(7)
        with progress.phases("publish") as show:
            show("lists", 3, 3)
            with progress.step("gate"):
                pass
        record.tell(generation=5, as_of_s=99)
        record.result = {"generation": 5}

    (run,) = runs.recent()
    assert (run.kind, run.variant, run.asked_by, run.slot_s) == ("full", "default", "schedule", 1_600)
    assert (run.outcome, run.generation, run.as_of_s, run.pid) == ("done", 5, 99, os.getpid())
    shown = [(s.name, s.outcome, s.rows, s.fingerprint) for s in runs.show(run.number).stages]
    assert shown == [("read", "kept", 7, "abc"), ("gate", "done", 0, "abc"), ("publish", "done", 3, "abc")]
    events = [entry.getMessage() for entry in caplog.records]
    assert events == ["run.begun", "stage.done", "stage.done", "stage.done", "run.done"]
    assert vars(caplog.records[-1])["generation"] == 5
    logged = [orjson.loads(line)["event"] for line in tail(runs, run.number, 99)]
    assert logged == events


def test_seconds_of_a_stage_inside_another_are_not_counted_twice(runs: Runs) -> None:
    progress = Progress()
    begin_s = time.monotonic()

    with recorded(runs, progress, "full", "default"), progress.phases("publish"), progress.step("gate"):
        sum(range(3_000_000))

    gate, publish = runs.show(1).stages
    assert (gate.name, publish.name) == ("gate", "publish")
    assert gate.seconds + publish.seconds <= time.monotonic() - begin_s
    assert publish.cpu_s < gate.cpu_s


def test_a_failed_run_says_why_and_with_which_exit_code(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress()

    with (
        pytest.raises(ValueError, match="no likes"),
        recorded(runs, progress, "full", "default"),
        progress.step("train"),
    ):
        raise ValueError("there are\nno likes")

    run = runs.show(1)
    assert (run.outcome, run.why, run.exit_code, run.resumes) == ("failed", "there are no likes", 2, False)
    assert [(stage.name, stage.outcome) for stage in run.stages] == [("train", "failed")]
    assert vars(caplog.records[-1])["why"] == "there are no likes"


@pytest.mark.parametrize(
    "fault", [ConnectionError("connection lost"), SourceAway("the connection broke off")]
)
def test_what_is_no_fault_of_the_facts_may_be_gone_on_from(runs: Runs, fault: Exception) -> None:
    with pytest.raises(type(fault), match="connection"), recorded(runs, Progress(), "full", "default"):
        raise fault

    assert runs.show(1).resumes


def test_a_run_ends_at_its_next_checkpoint_once_somebody_asks(runs: Runs) -> None:
    progress = Progress()

    def work() -> None:
        with recorded(runs, progress, "full", "default"):
            runs.ask_stop(1, "cancelled", "enough")
            with progress.step("read"):
                pytest.fail("it went on")

    with pytest.raises(RunStopped, match="was cancelled: enough"):
        work()

    run = runs.show(1)
    assert (run.outcome, run.exit_code, run.resumes) == ("cancelled", 130, True)
    with pytest.raises(RunEnded, match="ended already"):
        runs.ask_stop(1)


def test_the_last_writes_are_not_broken_off(runs: Runs) -> None:
    progress = Progress()

    with recorded(runs, progress, "full", "default"), progress.phases("publish"):
        runs.ask_stop(1)
        with progress.phases("promote") as show:
            show("promote", 1, 1)

    assert runs.show(1).outcome == "done"


def test_sigterm_ends_a_run_at_its_next_checkpoint(runs: Runs) -> None:
    progress = Progress()

    def work() -> None:
        with recorded(runs, progress, "full", "default"), progress.step("read") as advance:
            os.kill(os.getpid(), signal.SIGTERM)
            advance(1)
            pytest.fail("it went on")

    with pytest.raises(RunStopped, match="SIGTERM"):
        work()

    assert runs.show(1).outcome == "stopped"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_run_whose_process_is_killed_is_lost_and_said_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from batch.runs.runs import Runs;"
        "runs = Runs(Path(sys.argv[1])); number = runs.begin('full', 'default');"
        "assert runs.show(number).outcome is None; runs.note(number, 'read', 3, 9);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (run,) = Runs(tmp_path).recent()

    assert done.returncode == -signal.SIGKILL
    assert (run.outcome, run.stage, run.done, run.total) == ("lost", "read", 3, 9)
    assert run.ended_s == run.seen_s
    assert Runs(tmp_path).running() == []
    (said,) = [record for record in caplog.records if record.getMessage() == "run.lost"]
    assert (vars(said)["run"], vars(said)["kind"], vars(said)["why"]) == (run.number, run.kind, run.why)


def test_runs_are_found_by_their_slot_and_by_how_they_ended(runs: Runs) -> None:
    for slot_s, outcome in ((100, "done"), (200, "failed"), (200, "done"), (300, "stopped")):
        number = runs.begin("full", "default", Asked("schedule", slot_s))
        runs.end(number, outcome)  # type: ignore[arg-type] # a parametrised text
    runs.end(runs.begin("refresh", "default"), "done")

    found = runs.latest_of_slot("full", "default", 200)
    last = runs.latest("full", "default", "done")

    assert found is not None
    assert (found.number, found.outcome) == (3, "done")
    assert last is not None
    assert last.number == 3
    assert runs.latest_of_slot("full", "other", 200) is None
    assert [run.number for run in runs.recent(2)] == [5, 4]
    assert [run.number for run in runs.recent(kind="refresh")] == [5]
    with pytest.raises(RunUnknown, match="no run 9; the newest is 5"):
        runs.show(9)


def test_only_the_newest_records_are_kept_with_their_logs(runs: Runs) -> None:
    for _ in range(4):
        runs.end(runs.begin("drain", "default"), "done")
        runs.overview_of(runs.recent(1)[0].number).write_text("{}")
    going = runs.begin("full", "default")

    runs.prune(2)

    assert [run.number for run in runs.recent()] == [5, 4]
    assert sorted(path.name for path in runs.folder.iterdir()) == ["4.json", "4.log", "5.log"]
    runs.end(going, "done")
    assert runs.begin("full", "default") == 6  # a number never comes back


def test_a_record_that_cannot_be_written_never_ends_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    progress = Progress()

    with recorded(Runs(tmp_path / "file"), progress, "full", "default"), progress.step("read"):
        pass

    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warned == ["run.unrecorded"]


def test_a_record_of_a_newer_version_is_refused_by_name(runs: Runs) -> None:
    runs.end(runs.begin("full", "default"), "done")
    with sqlite3.connect(runs.path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()

    with pytest.raises(ValueError, match="is of a newer version"):
        runs.recent()


def test_what_a_run_is_made_of_is_told_bit_by_bit(runs: Runs) -> None:
    number = runs.begin("full", "default")
    runs.describe(number, parameters={"depth": 50, "zone": "UTC"})
    runs.describe(number, facts="5f", metrics={"hitrate_at_5": 0.5, "auc_in_session": float("nan")})

    made = runs.show(number).made

    assert made == {
        "parameters": {"depth": 50, "zone": "UTC"},
        "facts": "5f",
        "metrics": {"hitrate_at_5": 0.5},
    }
    assert describe_run(runs.show(number))["made"] == made
    assert runs.show(runs.begin("full", "default")).made == {}


def test_a_record_of_the_first_version_is_read_and_says_from_now_on_what_was_chosen(runs: Runs) -> None:
    runs.end(runs.begin("full", "default"), "done")
    with sqlite3.connect(runs.path) as db:
        db.execute("ALTER TABLE runs DROP COLUMN chosen")
        db.execute("ALTER TABLE runs DROP COLUMN made")
        db.execute("PRAGMA user_version = 1")
    db.close()

    runs.tell(runs.begin("full", "default"), chosen="nothing beats recency alone")

    assert [run.chosen for run in runs.recent()] == ["nothing beats recency alone", ""]
    assert [run.made for run in runs.recent()] == [{}, {}]


def test_the_last_runs_seconds_tell_what_is_to_come(runs: Runs) -> None:
    progress = Progress()
    with recorded(runs, progress, "full", "default"):
        for name in ("read", "train"):
            with progress.step(name):
                sum(range(200_000))

    with recorded(runs, progress, "full", "default"):
        before = progress.rest_s()

    assert before == pytest.approx(sum(stage.seconds for stage in runs.show(1).stages))


def test_lines_are_followed_until_the_run_has_ended(runs: Runs) -> None:
    number = runs.begin("full", "default")
    log = logging.getLogger("batch")
    for event in ("run.begun", "events.united"):
        log.warning(event)

    lines = tail(runs, number, 1, follow=True)
    first = next(lines)
    log.warning("generation.begun")
    second = next(lines)
    runs.end(number, "done")

    assert [orjson.loads(line)["event"] for line in (first, second)] == ["events.united", "generation.begun"]
    assert list(lines) == []
    assert len(list(tail(runs, number, 9))) == 3
