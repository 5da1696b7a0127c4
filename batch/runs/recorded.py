"""A run while it goes on: its progress into the record, and out of it whether it is to end.

Progress tells each stage and each step forward. What somebody asks of a run, or SIGTERM, is done there: at
the next checkpoint, which is any step forward but those of the last writes, that make lists current.
"""

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from batch.errors import describe, exit_code_of, is_of_inputs
from batch.progress import Ended, Progress
from batch.runs.record import BY_HAND, Asked, Kind, Outcome, Run, Stage
from batch.runs.runs import Runs

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 1.0  # between two looks into the file; a step forward may come a thousand times a second
UNBROKEN = frozenset({"promote", "retire"})  # a stop in the middle would leave what is served done and untold


class RunStopped(RuntimeError):
    """A run ended before its end, since somebody wanted it to; what is served stays."""

    exit_code = 130

    def __init__(self, outcome: Outcome, why: str) -> None:
        """Say how and why."""
        self.outcome = outcome
        super().__init__(f"the run was {outcome}: {why}; what was served is served on")


class Record:
    """The record of the run that goes on in this process; a `batch.progress.Watcher`.

    A record that cannot be written is said once, and never ends a run.
    """

    def __init__(self, runs: Runs, number: int | None, before: Run | None = None) -> None:
        """Write into `runs`; without a number nothing is written. `before` is the run before, of its kind.

        `fingerprint` is that of what the stages from now on are computed from; `result` what `run.done` says.
        """
        self.runs, self.number, self.before = runs, number, before
        self.fingerprint, self.result = "", dict[str, object]()
        self._stop: tuple[Outcome, str] | None = None
        self._looked, self._kept, self._is_told = 0.0, set[str](), False

    def stop(self, outcome: Outcome, why: str) -> None:
        """End the run at its next checkpoint; safe in a signal's handler."""
        self._stop = self._stop or (outcome, why)

    def tell(self, **values: int | str | None) -> None:
        """Note `generation`, `as_of_s`, `chosen` or `resumed_from`."""
        self._write(lambda number: self.runs.tell(number, **values))

    def describe(self, **made: object) -> None:
        """Note more of what the run is made of, see `batch.runs.record.Run.made`."""
        self._write(lambda number: self.runs.describe(number, **made))

    def keep(self, stage: str) -> None:
        """Take note that a stage takes what an earlier run has left."""
        self._kept.add(stage)

    def began(self, stage: str) -> None:
        """Note that a stage begins.

        Raises:
            RunStopped: The run is to end here.
        """
        self._look(stage, 0, None)

    def moved(self, stage: str, done: int, total: int | None) -> None:
        """Note a step forward, every second at most.

        Raises:
            RunStopped: The run is to end here.
        """
        if self._stop is not None or time.monotonic() - self._looked >= LOOK_S:
            self._look(stage, done, total)

    def ended(self, stage: Ended) -> None:
        """Note a stage that has ended, well or not."""
        how: Literal["done", "kept", "failed"] = "kept" if stage.name in self._kept else "done"
        values = (stage.begun_s, stage.seconds, stage.cpu_s, stage.peak_mb, stage.rows)
        row = Stage(stage.name, self.fingerprint, *values, "failed" if stage.failed else how)
        self._write(lambda number: self.runs.add_stage(number, row))

    def end(self, exc: BaseException | None) -> tuple[Outcome, str, int | None]:
        """Note how the run ended; return outcome, sentence and exit code."""
        if exc is None:
            how: tuple[Outcome, str, int | None] = ("done", "", None)
        else:
            outcome: Outcome = "stopped" if isinstance(exc, KeyboardInterrupt) else "failed"
            outcome = exc.outcome if isinstance(exc, RunStopped) else outcome
            said = describe(exc, self.runs.path.parent) or type(exc).__name__
            how = (outcome, said, exit_code_of(exc))
        resumes = exc is None or not is_of_inputs(exc)
        self._write(lambda number: self.runs.end(number, *how, resumes=resumes))
        return how

    def _look(self, stage: str, done: int, total: int | None) -> None:
        self._looked = time.monotonic()
        asked = self._write(lambda number: self.runs.note(number, stage, done, total))
        self._stop = self._stop or asked
        if self._stop is not None and stage not in UNBROKEN:
            raise RunStopped(*self._stop)

    def _write(self, write: Callable[[int], T]) -> T | None:
        if self.number is None:
            return None
        try:
            return write(self.number)
        except (OSError, sqlite3.Error) as exc:
            if not self._is_told:
                log_unrecorded(self.runs, exc)
            self._is_told = True
            return None


@contextmanager
def recorded(
    runs: Runs,
    progress: Progress,
    kind: Kind,
    variant: str,
    asked: Asked = BY_HAND,
    *,
    kept: int = 100,
) -> Iterator[Record]:
    """Record what the block runs, and log its begin and its end; the end's estimate is the last run's.

    In the main thread SIGTERM ends the run at its next checkpoint, a second one at once.

    Args:
        runs: The file of runs.
        progress: Of the run; it is watched meanwhile.
        kind: What is run.
        variant: Under which name it publishes.
        asked: Who began it, and for which time.
        kept: Runs whose records stay.

    Raises:
        RunStopped: Somebody wanted it to end.
    """
    number, last, before = None, None, None
    try:
        before = runs.latest(kind, variant)
        last = runs.latest(kind, variant, "done")
        number = runs.begin(kind, variant, asked)
        runs.prune(kept)
    except (OSError, sqlite3.Error) as exc:
        log_unrecorded(runs, exc)
    record, began = Record(runs, number, before), time.monotonic()
    if last is not None:
        progress.expect(sum_seconds(last.stages), pace=1.0)
    about = {"run": number, "kind": kind, "variant": variant, "asked_by": asked.by}
    with progress.watched_by(record), _stopped_by_sigterm(record):
        log.info("run.begun", extra={**about, "slot_s": asked.slot_s})
        try:
            yield record
        except BaseException as exc:
            outcome, why, code = record.end(exc)
            told = {**about, "outcome": outcome, "why": why, "exit_code": code}
            log.error("run.failed", extra=told, exc_info=exc if code == 1 else None)  # noqa: TRY400 - bugs alone
            raise
        log.info("run.done", extra={**about, "took_s": round(time.monotonic() - began, 3), **record.result})
        record.end(None)


def sum_seconds(stages: Iterable[Stage]) -> dict[str, float]:
    """Return the seconds of each stage, in the order in which they first ended; one may come twice."""
    seconds: dict[str, float] = {}
    for stage in stages:
        seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    return seconds


def log_unrecorded(runs: Runs, exc: Exception) -> None:
    """Say that a run has no record, or not all of it."""
    log.warning("run.unrecorded", extra={"place": str(runs.path), "why": str(exc)})


@contextmanager
def _stopped_by_sigterm(record: Record) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        record.stop("stopped", "SIGTERM came")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
