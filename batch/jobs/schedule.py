"""When to run: APScheduler, one run at a time, missed times coalesced into one."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from apscheduler.events import EVENT_JOB_ERROR, EVENT_SCHEDULER_SHUTDOWN, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from batch.jobs.cron import read_cron
from batch.jobs.stop import stop_signal
from batch.progress import Progress
from batch.store.connection import open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work that runs at the times of a cron expression.

    Attributes:
        name: Its name in the log.
        setting: Variable that the cron expression comes from; the error names it.
        cron: Five fields as in crontab(5), or a name like `@daily`.
        work: Called without arguments.
        zone: Whose clock the expression means.
    """

    name: str
    setting: str
    cron: str
    work: Callable[[], object]
    zone: str = "UTC"


def scheduler(jobs: Sequence[Job], *, at_start: bool = False) -> BackgroundScheduler:
    """Return a scheduler that runs jobs at their times, and `at_start` the first one once before.

    One job runs at a time, on one thread: one that is due meanwhile waits for its turn. A job that is still
    going when it is next due lets that time pass; times missed while the machine slept become one. A job
    that fails is logged and waits for its next time: what is served stays.

    Raises:
        ValueError: An expression is no cron expression; the message holds it.
    """
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it says each step in sentences of its own
    logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)  # and each failure a second time
    planned = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
    for number, job in enumerate(jobs):
        first = {"next_run_time": datetime.now(UTC)} if at_start and number == 0 else {}
        planned.add_job(
            job.work,
            _trigger(job),
            id=job.name,
            name=job.name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            **first,
        )
    planned.add_listener(_log_failure, EVENT_JOB_ERROR)
    return planned


def with_store(url: str, progress: Progress, work: Callable[[redis.Redis], object]) -> None:
    """Do work with a client of its own, once the store at `url` has its data.

    Raises:
        StoreFailed: It does not answer; the log then names it.
    """
    with open_store(url, progress) as store:
        work(store)


def run_forever(planned: BackgroundScheduler) -> None:
    """Run the scheduler until SIGTERM or Ctrl-C; a run in progress is let end, and killing it is safe."""
    stop = stop_signal()
    planned.add_listener(lambda _event: stop.put(None), EVENT_SCHEDULER_SHUTDOWN)
    planned.start()
    log.info("schedule.started", extra={"jobs": [str(job) for job in planned.get_jobs()]})
    stop.get()
    if planned.running:
        planned.shutdown(wait=False)
    log.info("schedule.stopped")


def _trigger(job: Job) -> BaseTrigger:
    try:
        return read_cron(job.cron, job.zone)
    except ValueError as exc:
        raise ValueError(f"{job.setting}={job.cron!r} is no cron expression: {exc}") from exc


def _log_failure(event: JobExecutionEvent) -> None:
    why = event.exception
    log.error("run.failed", exc_info=why, extra={"job": event.job_id, "why": str(why)})
