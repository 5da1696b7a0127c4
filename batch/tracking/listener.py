"""From the log's events to the tracking server, on a thread of its own; no failure of it reaches a run."""

import logging
import sqlite3

from batch.heard import Heard
from batch.jobs.resume import MODELS
from batch.runs.runs import Runs, RunUnknown
from batch.settings import Settings
from batch.tracking.hand_over import LONGEST_S, hand_over, name_model
from batch.tracking.record import Served, Tracked
from batch.tracking.runs import track_run

log = logging.getLogger(__name__)

ENDED = ("run.done", "run.failed")
FLIPPED = {  # event to the field that names what is served now
    "generation.promoted": "generation",
    "generation.rolled_back": "generation",
    "generation.quarantined": "current",
}
EVENTS = frozenset({"run.begun", *ENDED, *FLIPPED})


class Tracker(Heard):
    """Takes events of runs and of what is served from the log, and hands over what becomes of them.

    What a run makes current is told with the run, whose model has its number only then.
    """

    def __init__(self, settings: Settings) -> None:
        """Start the thread; `close` ends it."""
        self._settings, self._runs = settings, Runs(settings.state_dir)
        self._served: dict[str, Served] = {}  # by variant, what is not told yet
        self._n_running = 0
        super().__init__("tracking", EVENTS, LONGEST_S)

    def take(self, record: logging.LogRecord) -> None:
        """Tell what has ended, and what is served by then."""
        try:
            told = self._read(record)
            if not self._n_running:
                told += self._served.values()
                self._served = {}
            if told:
                hand_over(self._settings, told)
        except Exception as exc:  # a fault of ours in what is told is no fault of the run
            log.warning("tracking.failed", extra={"n": 1, "why": f"{type(exc).__name__}: {exc}"})

    def _read(self, record: logging.LogRecord) -> list[Tracked | Served]:
        """Take note of an event; return what it makes of a run that has ended."""
        event, fields = record.getMessage(), vars(record)
        if event in FLIPPED:
            registered = name_model(self._settings, fields["variant"])
            self._served[fields["variant"]] = Served(registered, fields[FLIPPED[event]], fields["previous"])
        elif event == "run.begun":
            self._n_running += 1
        else:
            self._n_running = max(self._n_running - 1, 0)
            if fields.get("base", 0) == fields.get("generation"):
                return []  # a refresh of what has not changed
            return self._track(fields.get("run"), fields.get("outcome", "done"), record.created)
        return []

    def _track(self, number: int | None, outcome: str, ended_s: float) -> list[Tracked | Served]:
        if number is None:
            return []
        try:
            run = self._runs.show(number)
        except (RunUnknown, OSError, sqlite3.Error):
            return []
        models = self._settings.state_dir / MODELS
        told = track_run(run, outcome, ended_s, models, name_model(self._settings, run.variant))
        return [] if told is None else [told]
