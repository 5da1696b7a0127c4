"""A run that is tried again where that can help: while database or store are away, until its time is over."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_before_delay,
    wait_exponential,
)
from tenacity.stop import stop_when_event_set

from api.address import hide_passwords
from batch.errors import is_away
from batch.runs.recorded import RunStopped

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 300.0


def try_until(work: Callable[[], object], job: str, within_s: float, stopped: threading.Event) -> None:
    """Do work, and again with growing waits while database or store are away, for so many seconds in all.

    Bad facts, a gate that holds back and bugs are tried once: the same would come of it again. What fails for
    good has its record and its line in the log, and is no error here.

    Raises:
        RunStopped: It was stopped, or was to be before it began.
    """

    failed: list[Exception] = []

    def begin() -> None:
        if stopped.is_set():
            raise RunStopped("stopped", "the scheduler was stopped before it began")
        try:
            work()
        except Exception as exc:
            failed.append(exc)
            raise

    def say(state: RetryCallState) -> None:
        exc = state.outcome.exception() if state.outcome else None
        figures = {"attempt": state.attempt_number, "in_s": round(state.upcoming_sleep, 1)}
        log.warning("run.retried", extra={"job": job, **figures, "why": hide_passwords(str(exc))})

    retrying = Retrying(
        retry=retry_if_exception(is_away),
        wait=wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=stop_before_delay(within_s) | stop_when_event_set(stopped),
        sleep=sleep_using_event(stopped),
        before_sleep=say,
        reraise=True,
    )
    try:
        retrying(begin)
    except RunStopped:
        raise
    except Exception as exc:
        if exc not in failed:
            raise


@contextmanager
def deadline(stop: Callable[[str], None], hours: float) -> Iterator[None]:
    """Call `stop` with a sentence if the block takes longer."""
    said = f"it took longer than ALMANAC_DEADLINE_H={hours:g} hours"
    timer = threading.Timer(hours * 3600, stop, [said])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
