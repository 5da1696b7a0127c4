import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from batch.jobs.schedule import Job, run_forever, scheduler, with_store
from batch.progress import SILENT


def nightly(work: Callable[[], object] = lambda: None) -> Job:
    return Job("run", "ALMANAC_SCHEDULE", "0 3 * * *", work)


def runs_of(planned: BackgroundScheduler, until: threading.Event) -> None:
    """Run the scheduler until the event, then stop it."""
    planned.start()
    assert until.wait(10)
    planned.shutdown(wait=True)


def test_one_run_at_a_time_and_missed_times_become_one() -> None:
    planned = scheduler([nightly()])

    (job,) = planned.get_jobs()

    assert (job.max_instances, job.coalesce, job.misfire_grace_time) == (1, True, None)


def test_the_first_run_may_come_at_the_start() -> None:
    ran = threading.Event()

    runs_of(scheduler([nightly(ran.set)], at_start=True), ran)

    assert ran.is_set()


def test_a_run_that_fails_leaves_the_schedule_going(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def job() -> None:
        failed.set()
        raise RuntimeError("the database is away")

    logging.getLogger("apscheduler").setLevel(logging.NOTSET)  # as in a process that has just begun
    with caplog.at_level("INFO"):
        runs_of(scheduler([nightly(job)], at_start=True), failed)

    (said,) = [record for record in caplog.records if "job" in vars(record)]
    assert (said.levelname, said.getMessage()) == ("ERROR", "run.failed")
    assert (vars(said)["job"], vars(said)["why"]) == ("run", "the database is away")
    assert not [record for record in caplog.records if record.name.startswith("apscheduler")]
    assert caplog.text.count("Traceback") == 1


def test_a_store_that_is_away_at_night_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    url, tried = "redis://ann:hush@127.0.0.1:1/0", threading.Event()

    def work() -> None:
        try:
            with_store(url, SILENT, lambda store: store.ping())
        finally:
            tried.set()

    runs_of(scheduler([nightly(work)], at_start=True), tried)

    (said,) = [record for record in caplog.records if record.getMessage() == "run.failed"]
    assert vars(said)["why"].startswith("the store at redis://ann:***@127.0.0.1:1/0 does not work for us")
    assert "hush" not in caplog.text


def test_a_weekday_that_is_none_is_named() -> None:
    job = Job("run", "ALMANAC_SCHEDULE", "0 3 * * 8", lambda: None)

    with pytest.raises(
        ValueError, match=r"ALMANAC_SCHEDULE='0 3 \* \* 8' is no cron expression: '8' is no weekday"
    ):
        scheduler([job])


def test_what_is_no_cron_expression_is_named() -> None:
    hourly = Job("refresh", "ALMANAC_REFRESH_SCHEDULE", "hourly", lambda: None)

    with pytest.raises(ValueError, match="ALMANAC_REFRESH_SCHEDULE='hourly' is no cron expression"):
        scheduler([nightly(), hourly])


def test_a_refresh_that_is_due_during_a_run_waits_for_its_end() -> None:
    begun, let_end, both = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def run() -> None:
        begun.set()
        let_end.wait(10)
        order.append("run")

    def refresh() -> None:
        order.append("refresh")
        both.set()

    planned = scheduler([nightly(run), Job("refresh", "", "* * * * *", refresh)], at_start=True)

    def due() -> None:
        begun.wait(10)
        planned.modify_job("refresh", next_run_time=datetime.now(UTC))
        let_end.set()

    threading.Thread(target=due).start()
    runs_of(planned, both)

    assert order == ["run", "refresh"]


@pytest.mark.usefixtures("handlers")
def test_run_forever_ends_when_the_scheduler_is_shut_down() -> None:
    planned = scheduler([nightly(lambda: planned.shutdown(wait=False))], at_start=True)

    run_forever(planned)

    assert not planned.running


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signals' handlers back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_sigterm_ends_it_however_often_it_comes() -> None:
    def told_twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    planned = scheduler([nightly(told_twice)], at_start=True)
    run_forever(planned)
    os.kill(os.getpid(), signal.SIGTERM)

    assert not planned.running
