"""When to run: at the times of the schedule, when somebody asks, for what was missed; one run at a time."""

import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from apscheduler.events import EVENT_JOB_ERROR, EVENT_SCHEDULER_SHUTDOWN, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from batch.jobs.attempts import deadline, try_until
from batch.jobs.cron import read_cron
from batch.jobs.slots import Slots, begin_after
from batch.jobs.stop import stop_signal
from batch.runs.record import Asked, Kind
from batch.runs.recorded import RunStopped, log_unrecorded
from batch.runs.runs import RunEnded, Runs

log = logging.getLogger(__name__)

NEVER = IntervalTrigger(weeks=5_000)  # but when it is asked for
BESIDE = "beside"  # the executor of what goes on beside runs


@dataclass(frozen=True, slots=True)
class Job:
    """Work that runs at the times of a cron expression.

    Attributes:
        kind: What is run, by its name in the record.
        setting: Variable that the cron expression comes from; the error names it.
        cron: Five fields as in crontab(5), or a name like `@daily`.
        work: Called with who began it.
        zone: Whose clock the expression means.
    """

    kind: Kind
    setting: str
    cron: str
    work: Callable[[Asked], object]
    zone: str = "UTC"


class Schedule:
    """A scheduler that runs jobs at their times, one at a time, each in the record under its time."""

    def __init__(self, jobs: Sequence[Job], runs: Runs, variant: str, deadline_h: float) -> None:
        """Plan the jobs; the first of them is what makes up for the times of the others.

        A job that is due while another runs waits for its turn. One that is still going when it is next due
        lets that time pass; so do all times but the newest of those missed while the machine slept. Each time
        is run or said to be missed. What fails for good waits for its next time: what is served stays.

        Args:
            jobs: What runs when.
            runs: The record, where times that were missed are found.
            variant: Under which name the jobs publish.
            deadline_h: Hours after which a run is stopped.

        Raises:
            ValueError: An expression is no cron expression; the message holds it.
        """
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it says each step in sentences of its own
        logging.getLogger("apscheduler.executors").setLevel(logging.CRITICAL)  # and each failure again
        executors = {name: ThreadPoolExecutor(1) for name in ("default", BESIDE)}
        self.planned = BackgroundScheduler(timezone=UTC, executors=executors)
        self.stopped = threading.Event()
        self._jobs, self._runs, self._variant, self._deadline_h = list(jobs), runs, variant, deadline_h
        self._at_start = False
        now_s = time.time()
        self._slots = {job.kind: self._open_slots(job, now_s) for job in jobs}
        for job in jobs:
            self._add(job.kind, self._slots[job.kind].trigger, partial(self._run_slot, job))
        self.planned.add_listener(_log_bug, EVENT_JOB_ERROR)

    def catch_up(self, *, at_start: bool) -> None:
        """Begin at once with what was missed before the start; `at_start` the first job in any case."""
        now_s, first = time.time(), self._jobs[0]
        self._at_start = at_start
        due = [job for job in self._jobs if self._slots[job.kind].is_due(now_s)]
        if at_start or first in due:
            due = [first]
            for job in self._jobs[1:]:
                self._slots[job.kind].pass_over(now_s, f"the {first.kind} run at the start makes up for it")
        for job in due:
            self._begin(job.kind)

    def on_demand(self, name: str, work: Callable[[], object]) -> Callable[[], None]:
        """Return what lets work be done once, in its turn."""
        # Two instances: one may be asked for at the very end of the one before.
        self._add(name, NEVER, work, max_instances=2, next_run_time=None)
        return lambda: None if self.stopped.is_set() else self._begin(name)

    def every(self, seconds: float, name: str, work: Callable[[], object]) -> None:
        """Do work every so many seconds, beside what runs."""
        self._add(name, IntervalTrigger(seconds=seconds, timezone=UTC), work, executor=BESIDE)

    def run_forever(self, beside: Callable[[threading.Event], object] | None = None) -> None:
        """Run until SIGTERM or Ctrl-C, which end a run at its next checkpoint; killing it is safe.

        `beside` goes on in a thread of its own until the event that it is given: the last run has ended.
        """
        stop = stop_signal()
        self.planned.add_listener(lambda _event: stop.put(None), EVENT_SCHEDULER_SHUTDOWN)
        self.planned.start()
        log.info("schedule.started", extra={"jobs": [str(job) for job in self.planned.get_jobs()]})
        ended = threading.Event()
        watching = threading.Thread(target=beside or _nothing, args=(ended,), daemon=True)
        watching.start()
        stop.get()
        self.stopped.set()
        self.stop_run("the scheduler was told to stop")
        if self.planned.running:
            self.planned.shutdown(wait=True)
        ended.set()
        watching.join()
        log.info("schedule.stopped")

    def stop_run(self, why: str) -> None:
        """Ask the run of this process to end at its next checkpoint."""
        own = (socket.gethostname(), os.getpid())
        with suppress(OSError, sqlite3.Error, RunEnded):  # then it goes on to its end
            for run in self._runs.running():
                if (run.host, run.pid) == own:
                    self._runs.ask_stop(run.number, "stopped", why)

    def _add(self, name: str, trigger: BaseTrigger, work: Callable[[], object], **more: object) -> None:
        how = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None, **more}
        self.planned.add_job(work, trigger, id=name, name=name, **how)

    def _begin(self, name: str) -> None:
        self.planned.modify_job(name, next_run_time=datetime.now(UTC))

    def _open_slots(self, job: Job, now_s: float) -> Slots:
        trigger, begun = _trigger(job), []
        try:
            begun = self._runs.of_newest_slot(job.kind, self._variant)
        except (OSError, sqlite3.Error) as exc:
            log_unrecorded(self._runs, exc)
        return Slots(job.kind, trigger, begin_after(begun, now_s))

    def _run_slot(self, job: Job) -> None:
        slot_s = self._slots[job.kind].take(time.time())
        if slot_s is not None or (self._at_start and job is self._jobs[0]):
            self._at_start = False
            self._run(job, slot_s)

    def _run(self, job: Job, slot_s: int | None) -> None:
        slots = self._slots[job.kind]
        now_s = time.time()
        next_s = slots.next_s(now_s)
        longest_s = self._deadline_h * 3600
        within_s = longest_s if next_s is None else min(next_s - now_s, longest_s)
        try:
            with deadline(self.stop_run, self._deadline_h), suppress(RunStopped):
                try_until(lambda: job.work(Asked("schedule", slot_s)), job.kind, within_s, self.stopped)
        finally:
            slots.pass_over(time.time(), f"the {job.kind} run before it was still going")


def _trigger(job: Job) -> BaseTrigger:
    try:
        return read_cron(job.cron, job.zone)
    except ValueError as exc:
        raise ValueError(f"{job.setting}={job.cron!r} is no cron expression: {exc}") from exc


def _log_bug(event: JobExecutionEvent) -> None:
    log.error(
        "job.failed", exc_info=event.exception, extra={"job": event.job_id, "why": str(event.exception)}
    )


def _nothing(_ended: threading.Event) -> None:
    """Do nothing beside."""
