import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batch.jobs import attempts
from batch.jobs.schedule import Job, Schedule
from batch.progress import Progress
from batch.runs.record import Asked, Kind
from batch.runs.recorded import recorded
from batch.runs.runs import FILE, Runs
from batch.store.connection import open_store

Work = Callable[[Asked], object]


def nothing(_asked: Asked) -> None:
    """Do nothing."""


def nightly(work: Work = nothing) -> Job:
    return Job("full", "ALMANAC_SCHEDULE", "0 3 * * *", work)


def refreshing(work: Work, cron: str = "* * * * *") -> Job:
    return Job("refresh", "ALMANAC_REFRESH_SCHEDULE", cron, work)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def schedule(runs: Runs, *jobs: Job, hours: float = 1.0) -> Schedule:
    return Schedule(jobs or (nightly(),), runs, "default", hours)


def run_until(planned: Schedule, done: threading.Event, *, at_start: bool = True) -> None:
    """Run the scheduler until the event, then stop it."""
    planned.catch_up(at_start=at_start)
    planned.planned.start()
    assert done.wait(10)
    planned.stopped.set()
    planned.planned.shutdown(wait=True)


def recording(runs: Runs, kind: Kind, body: Callable[[Progress], object]) -> Work:
    """Return work that has its record, as a run has."""

    def work(asked: Asked) -> None:
        progress = Progress()
        with recorded(runs, progress, kind, "default", asked):
            body(progress)

    return work


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the fields of what was logged as an event."""
    return [vars(record) for record in caplog.records if record.getMessage() == event]


def test_one_run_at_a_time_and_missed_times_become_one(runs: Runs) -> None:
    (job,) = schedule(runs).planned.get_jobs()

    assert (job.max_instances, job.coalesce, job.misfire_grace_time) == (1, True, None)


def test_the_first_run_may_come_at_the_start_and_stands_for_no_time(runs: Runs) -> None:
    ran, asked = threading.Event(), list[Asked]()

    def work(by: Asked) -> None:
        asked.append(by)
        ran.set()

    run_until(schedule(runs, nightly(work)), ran)

    assert asked == [Asked("schedule", None)]


@pytest.mark.parametrize("at_start", [True, False])
def test_a_time_that_was_missed_is_run_once_after_a_start(
    runs: Runs, at_start: bool, caplog: pytest.LogCaptureFixture
) -> None:
    slot_s = int(time.time()) // 86_400 * 86_400 - 2 * 86_400 + 3 * 3600
    runs.end(runs.begin("full", "default", Asked("schedule", slot_s)), "done")
    ran, asked = threading.Event(), list[Asked]()

    def work(by: Asked) -> None:
        asked.append(by)
        ran.set()

    run_until(schedule(runs, nightly(work)), ran, at_start=at_start)

    (by,) = asked
    assert by.by == "schedule"
    assert by.slot_s in (slot_s + 86_400, slot_s + 2 * 86_400)
    n_missed = sum(len(record["slots"]) for record in said(caplog, "slot.missed"))
    assert n_missed == (by.slot_s - slot_s) // 86_400 - 1


def test_a_run_at_the_start_makes_up_for_refreshes_that_were_missed(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    slot_s = int(time.time()) // 60 * 60 - 180
    runs.end(runs.begin("refresh", "default", Asked("schedule", slot_s)), "done")
    ran = threading.Event()

    run_until(schedule(runs, nightly(lambda _asked: ran.set()), refreshing(nothing, "*/1 * * * *")), ran)

    (told,) = said(caplog, "slot.missed")
    assert told["job"] == "refresh"
    assert len(told["slots"]) in (3, 4)
    assert told["why"] == "the full run at the start makes up for it"


def test_a_run_that_fails_leaves_the_schedule_going_and_is_said_once(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def body(_progress: Progress) -> None:
        failed.set()
        raise RuntimeError("the house is on fire")

    logging.getLogger("apscheduler").setLevel(logging.NOTSET)  # as in a process that has just begun
    with caplog.at_level("INFO"):
        run_until(schedule(runs, nightly(recording(runs, "full", body))), failed)

    (told,) = said(caplog, "run.failed")
    assert (told["levelname"], told["why"]) == ("ERROR", "the house is on fire")
    assert not [record for record in caplog.records if record.name.startswith("apscheduler")]
    assert caplog.text.count("Traceback") == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow one another at once."""
    monkeypatch.setattr(attempts, "FIRST_WAIT_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_away_is_waited_for_and_no_password_is_said(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    urls = iter(["redis://ann:hush@127.0.0.1:1/0"] * 2)
    ran = threading.Event()

    def body(progress: Progress) -> None:
        for url in urls:
            with open_store(url, progress):
                pass
        ran.set()

    run_until(schedule(runs, nightly(recording(runs, "full", body))), ran)

    assert [run.outcome for run in runs.recent()] == ["done", "failed", "failed"]
    assert [told["attempt"] for told in said(caplog, "run.retried")] == [1, 2]
    assert said(caplog, "run.retried")[0]["why"].startswith("the store at redis://ann:***@127.0.0.1:1/0")
    assert "hush" not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_bad_facts_are_not_tried_again(runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def body(_progress: Progress) -> None:
        failed.set()
        raise ValueError("6 of 10 rows are unreadable")

    run_until(schedule(runs, nightly(recording(runs, "full", body))), failed)

    assert [run.outcome for run in runs.recent()] == ["failed"]
    assert said(caplog, "run.retried") == []


def test_a_run_that_takes_too_long_is_stopped_at_a_checkpoint(runs: Runs) -> None:
    ended = threading.Event()

    def body(progress: Progress) -> None:
        try:
            while True:
                with progress.step("read"):
                    time.sleep(0.02)
        finally:
            ended.set()

    run_until(schedule(runs, nightly(recording(runs, "full", body)), hours=0.3 / 3600), ended)

    (run,) = runs.recent()
    assert run.outcome == "stopped"
    assert "took longer than ALMANAC_DEADLINE_H=" in run.why


def test_a_weekday_that_is_none_is_named(runs: Runs) -> None:
    job = Job("full", "ALMANAC_SCHEDULE", "0 3 * * 8", nothing)

    with pytest.raises(
        ValueError, match=r"ALMANAC_SCHEDULE='0 3 \* \* 8' is no cron expression: '8' is no weekday"
    ):
        schedule(runs, job)


def test_what_is_no_cron_expression_is_named(runs: Runs) -> None:
    with pytest.raises(ValueError, match="ALMANAC_REFRESH_SCHEDULE='hourly' is no cron expression"):
        schedule(runs, nightly(), refreshing(nothing, "hourly"))


def test_a_refresh_that_is_due_during_a_run_waits_for_its_end(runs: Runs) -> None:
    begun, let_end, both = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def run(_asked: Asked) -> None:
        begun.set()
        let_end.wait(10)
        order.append("run")

    def refresh() -> None:
        order.append("refresh")
        both.set()

    planned = schedule(runs, nightly(run))
    begin = planned.on_demand("refresh", refresh)

    def due() -> None:
        begun.wait(10)
        begin()
        let_end.set()

    threading.Thread(target=due).start()
    run_until(planned, both)

    assert order == ["run", "refresh"]


def test_a_record_that_cannot_be_read_stops_no_schedule(
    runs: Runs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, and long enough for one to be looked for")
    ran = threading.Event()

    run_until(schedule(runs, nightly(lambda _asked: ran.set())), ran)

    assert said(caplog, "run.unrecorded")
    with pytest.raises(sqlite3.DatabaseError):
        runs.recent()


@pytest.mark.usefixtures("handlers")
def test_run_forever_ends_when_the_scheduler_is_shut_down(runs: Runs) -> None:
    planned = schedule(runs, nightly(lambda _asked: planned.planned.shutdown(wait=False)))
    planned.catch_up(at_start=True)

    planned.run_forever()

    assert not planned.planned.running


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signals' handlers back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_sigterm_ends_it_however_often_it_comes(runs: Runs) -> None:
    def told_twice(_asked: Asked) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    planned = schedule(runs, nightly(told_twice))
    planned.catch_up(at_start=True)
    planned.run_forever()
    os.kill(os.getpid(), signal.SIGTERM)

    assert not planned.planned.running


@pytest.mark.usefixtures("handlers")
def test_sigterm_stops_the_run_that_goes_on_and_its_time_is_run_again(runs: Runs) -> None:
    slot_s = int(datetime.now(UTC).timestamp()) // 60 * 60
    runs.end(runs.begin("full", "default", Asked("schedule", slot_s - 60)), "done")

    def body(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            with progress.step("read"):
                time.sleep(0.02)

    every_minute = Job("full", "ALMANAC_SCHEDULE", "* * * * *", recording(runs, "full", body))
    planned = schedule(runs, every_minute)
    planned.catch_up(at_start=False)
    planned.run_forever()

    run = runs.newest()
    assert (run.outcome, run.asked_by) == ("stopped", "schedule")
    assert "the scheduler was told to stop" in run.why
    assert schedule(runs, every_minute)._slots["full"].is_due(time.time())
