"""When to run: APScheduler, one run at a time, missed times coalesced into one."""

import logging
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger

log = logging.getLogger(__name__)


def scheduler(cron: str, job: Callable[[], object], *, at_start: bool = False) -> BlockingScheduler:
    """Return a scheduler that runs `job` at a cron expression's times, UTC, and `at_start` once before.

    A run that is still going when the next is due lets that one pass; times missed while the machine
    slept become one run. A job that fails is logged and waits for its next time: what is served stays.

    Raises:
        ValueError: The expression is no cron expression; the message holds it.
    """
    try:
        trigger = CronTrigger.from_crontab(cron, timezone=UTC)
    except ValueError as exc:
        raise ValueError(f"ALMANAC_SCHEDULE={cron!r} is no cron expression of five fields: {exc}") from exc
    planned = BlockingScheduler(timezone=UTC)
    first = {"next_run_time": datetime.now(UTC)} if at_start else {}
    planned.add_job(
        _guarded(job), trigger, id="run", max_instances=1, coalesce=True, misfire_grace_time=None, **first
    )
    return planned


def run_forever(planned: BlockingScheduler) -> None:
    """Run the scheduler until SIGTERM or Ctrl-C; a run in progress is let end, and killing it is safe."""
    signal.signal(signal.SIGTERM, lambda *_: planned.shutdown(wait=False))
    log.info("schedule.started", extra={"trigger": str(planned.get_job("run"))})
    try:
        planned.start()
    except KeyboardInterrupt:
        planned.shutdown(wait=False)
    log.info("schedule.stopped")


def _guarded(job: Callable[[], object]) -> Callable[[], None]:
    def guarded() -> None:
        try:
            job()
        except Exception as exc:
            log.exception("run.failed", extra={"why": str(exc)})

    return guarded
