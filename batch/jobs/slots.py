"""The times of a schedule, and which of them a run stands for: each is run, or said to be missed."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger

from api.contract.buckets import DAY_S, moment
from batch.runs.record import Run

log = logging.getLogger(__name__)

LOOK_BACK_S = 7 * DAY_S  # times that lie further back are of no use to anybody, and not listed
MOST_BEGUN = 3  # of a time whose runs are lost: what kills a run may kill the next


def list_slots(trigger: BaseTrigger, after_s: float, until_s: float) -> list[int]:
    """Return the times at which a trigger is due in (after, until], epoch seconds, of a week at most."""
    return list(_slots(trigger, max(after_s, until_s - LOOK_BACK_S), until_s))


def _slots(trigger: BaseTrigger, after_s: float, until_s: float) -> Iterator[int]:
    last = datetime.fromtimestamp(after_s, UTC)
    while (due := trigger.get_next_fire_time(last, last)) is not None and due.timestamp() <= until_s:
        yield int(due.timestamp())
        last = due


@dataclass(slots=True)
class Slots:
    """The times of one job, from the last that is accounted for on.

    Attributes:
        job: Its name in the log.
        trigger: When it is due.
        last_s: The last time that was run or said to be missed, epoch seconds.
    """

    job: str
    trigger: BaseTrigger
    last_s: float

    def is_due(self, now_s: float) -> bool:
        """Say whether a time is due by now that is not accounted for."""
        return bool(list_slots(self.trigger, self.last_s, now_s))

    def take(self, now_s: float) -> int | None:
        """Return the newest time that is due by now, for a run to stand for; those before it are missed."""
        due = list_slots(self.trigger, self.last_s, now_s)
        if not due:
            return None
        self._miss(due[:-1], "a later time was due by then")
        self.last_s = due[-1]
        return due[-1]

    def pass_over(self, now_s: float, why: str) -> None:
        """Take note that nothing will stand for the times that are due by now."""
        due = list_slots(self.trigger, self.last_s, now_s)
        self._miss(due, why)
        self.last_s = max(self.last_s, now_s)

    def next_s(self, now_s: float) -> float | None:
        """Return when it is due next after now."""
        due = self.trigger.get_next_fire_time(None, datetime.fromtimestamp(now_s, UTC))
        return None if due is None else due.timestamp()

    def _miss(self, due: list[int], why: str) -> None:
        if due:
            slots = [moment(slot_s).isoformat() for slot_s in due]
            log.warning("slot.missed", extra={"job": self.job, "slots": slots, "why": why})


def begin_after(begun: Sequence[Run], now_s: float) -> float:
    """Return the time from which a job's times are open after a start: what was due since is to be run once.

    Args:
        begun: The runs that stand for the newest time of this job that any does, newest first.
        now_s: When the scheduler starts.

    Returns:
        The last time that is accounted for, epoch seconds; without any run, now. A time whose run was lost or
        stopped is not accounted for, until it was begun three times.
    """
    if not begun or begun[0].slot_s is None:
        return now_s
    undone = begun[0].outcome in ("lost", "stopped") and len(begun) < MOST_BEGUN
    return min(begun[0].slot_s - 1 if undone else begun[0].slot_s, now_s)
