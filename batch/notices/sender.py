"""A thread of its own that tells people: from the log's events to apprise. No failure of it reaches a run."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from batch.heard import Heard
from batch.notices.addresses import Address
from batch.notices.finding import Notice
from batch.notices.memory import Memory
from batch.notices.rules import EVENTS, Rules

log = logging.getLogger(__name__)

Send = Callable[[Notice], bool]

TRIES_AFTER_S = (0.0, 5.0, 30.0)  # a blip of the network must not swallow the news
LAST_S = 15.0  # a process that ends waits so long for what is under way


class Notices(Heard):
    """Takes the events that may be news from the log, and sends what becomes of them."""

    def __init__(self, targets: Sequence[tuple[Address, Send]], rules: Rules, memory: Memory) -> None:
        """Start the thread; `close` ends it."""
        self._targets, self._rules, self._memory = targets, rules, memory
        self._ending = threading.Event()
        super().__init__("notices", EVENTS, LAST_S)

    def close(self) -> None:
        """Send what waits, for a while, and end."""
        self._ending.set()
        super().close()

    def take(self, record: logging.LogRecord) -> None:
        """Tell what an event says, where it is news."""
        try:
            for finding in self._rules.read(record.getMessage(), vars(record)):
                notice = self._memory.take(finding)
                if notice is not None:
                    self._tell(notice)
        except Exception as exc:  # a fault of ours in a notice is no fault of the run
            log.warning("notice.failed", extra={"why": type(exc).__name__, "about": record.getMessage()})

    def _tell(self, notice: Notice) -> None:
        for address, send in self._targets:
            if not address.wants(notice.severity):
                continue
            told = {"title": notice.title, "severity": notice.severity, "address": address.place}
            if self._try(send, notice):
                log.info("notice.sent", extra=told)
            else:
                log.warning("notice.failed", extra=told)

    def _try(self, send: Send, notice: Notice) -> bool:
        for wait_s in TRIES_AFTER_S:
            self._ending.wait(wait_s)  # where the process ends, the next try comes at once
            with suppress(Exception):  # whatever an address' own code raises, it may hold the URL
                if send(notice):
                    return True
        return False
