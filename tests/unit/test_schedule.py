import threading

import pytest
from apscheduler.schedulers.blocking import BlockingScheduler

from batch.schedule import run_forever, scheduler


def runs_of(planned: BlockingScheduler, until: threading.Event) -> None:
    """Run the scheduler on a thread of its own until the event, then stop it."""
    thread = threading.Thread(target=planned.start)
    thread.start()
    assert until.wait(10)
    planned.shutdown(wait=True)
    thread.join(10)


def test_one_run_at_a_time_and_missed_times_become_one() -> None:
    planned = scheduler("0 3 * * *", lambda: None)

    (job,) = planned.get_jobs()

    assert (job.max_instances, job.coalesce, job.misfire_grace_time) == (1, True, None)


def test_the_first_run_may_come_at_the_start() -> None:
    ran = threading.Event()

    runs_of(scheduler("0 3 * * *", ran.set, at_start=True), ran)

    assert ran.is_set()


def test_a_run_that_fails_leaves_the_schedule_going(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def job() -> None:
        failed.set()
        raise RuntimeError("the database is away")

    planned = scheduler("0 3 * * *", job, at_start=True)
    runs_of(planned, failed)

    assert "run.failed" in caplog.text
    assert "the database is away" in caplog.text


def test_what_is_no_cron_expression_is_named() -> None:
    with pytest.raises(ValueError, match="ALMANAC_SCHEDULE='nightly' is no cron expression"):
        scheduler("nightly", lambda: None)


def test_run_forever_ends_when_the_scheduler_is_shut_down() -> None:
    planned = scheduler("0 3 * * *", lambda: planned.shutdown(wait=False), at_start=True)

    run_forever(planned)

    assert not planned.running
