"""The log's events of some names, on a thread of its own: who logs one waits for nothing."""

import logging
import queue
import threading
from collections.abc import Set
from contextlib import suppress

WAITING = 1_000  # events; more come only while whoever is told hangs


class Heard(logging.Handler):
    """Takes events of the log; what becomes of each, `take` of a kind of it says."""

    def __init__(self, name: str, events: Set[str], last_s: float) -> None:
        """Start the thread; `close` ends it, and waits `last_s` seconds for what is under way."""
        super().__init__(logging.INFO)
        self._events, self._last_s = events, last_s
        self._queue: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put an event in the queue; the thread that logs does no more."""
        if record.getMessage() in self._events:
            with suppress(queue.Full):
                self._queue.put_nowait(record)

    def close(self) -> None:
        """Take what waits, for a while, and end."""
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(self._last_s)
        super().close()

    def take(self, record: logging.LogRecord) -> None:
        """Do what an event asks for; it raises nothing."""
        raise NotImplementedError

    def _work(self) -> None:
        while (record := self._queue.get()) is not None:
            self.take(record)
