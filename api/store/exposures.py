"""Records of what experiments' answers were, on their way into the store.

A request adds its record to an entry of the stream that grows in memory, and goes on; a task writes what has
gathered. A feed never waits for that: where the store is away, or has too many records that the batch has not
drained, records are dropped, and counted. What a cluster refused because its slots move is sent again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from api.contract.experiment import Placement
from api.contract.exposure import FIELD, MOST_RECORDS, Entry
from api.contract.keys import Keys
from api.feed import Answer
from api.store.connection import ConnectionLost, Refusal, RespConnection
from api.store.errors import StoreUnavailable
from api.store.lifeline import Line

FLUSH_S = 0.1
MOST_FRESH = 16  # answers, with all that they were chosen from
MOST_ENTRIES = 20  # in memory: less than a second of all that one process can answer
MB = 1 << 20

log = logging.getLogger(__name__)


class Exposures:
    """The records of one process that are not written yet.

    Attributes:
        counts: What became of them, `accepted` by the store or `dropped`, to records.
        answered: (experiment, arm) to answers that the arm gave, recorded or not.
    """

    def __init__(self, lifeline: Line, keys: Keys, most_mb: int) -> None:
        """Hold nothing. `most_mb`: of the stream, in the store; beyond it nothing is added."""
        self.counts: Counter[str] = Counter()
        self.answered: Counter[tuple[str, str]] = Counter()
        self._lifeline = lifeline
        self._key = keys.exposures()
        self._most_bytes = most_mb * MB
        self._loop = asyncio.get_running_loop()
        self._fresh: list[tuple[Answer, Placement, bytes, float]] = []  # not in an entry yet
        self._entries: list[Entry] = []  # the last one grows
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_full = False  # the stream, when it was last looked at
        self._is_warned = False

    def note(self, given: Answer, request_id: bytes, clock: Callable[[], float]) -> None:
        """Count an answer of an experiment's arm, and hold its record if its user is recorded."""
        placed = given.placed
        if placed is None or not placed.by_arm:
            return
        self.answered[placed.experiment.name, placed.arm.name] += 1
        if not placed.is_recorded:
            return
        fresh = self._fresh
        fresh.append((given, placed, request_id, clock()))
        if len(fresh) == MOST_FRESH:
            n_entries = len(self._entries)
            self._add_fresh()
            if n_entries < 2 and self._entries[0].n == MOST_RECORDS and self._writing is None:
                self._write_in(0.0)
        elif self._timer is None and self._writing is None:
            self._write_in(FLUSH_S)

    def _add_fresh(self) -> None:
        """Add what has been answered to the entry that grows: some at a time costs half of one by one."""
        fresh, self._fresh = self._fresh, []
        entries = self._entries
        for given, placed, request_id, answered_at in fresh:
            if not entries or entries[-1].n == MOST_RECORDS:
                if len(entries) >= MOST_ENTRIES:
                    self._drop(1, f"{MOST_ENTRIES * MOST_RECORDS} records wait to be written")
                    continue
                entries.append(Entry())
            found = given.found
            of_arm = (placed.experiment.name, placed.arm.name)
            shared = (*of_arm, found.pointer.generation, found.bucket_s, given.rung)
            ids, chances = (found.user_id.encode(), request_id), given.propensities if given.drawn else ()
            entries[-1].add(shared, found.at_s, int(answered_at * 1000), *ids, given.posts, chances)

    async def aclose(self) -> None:
        """Write what is held, if the store takes it."""
        if self._writing is not None:
            await self._writing
        for _ in range(2):  # the first may do no more than learn where the stream is now
            await self._write_all()
        if self._timer is not None:
            self._timer.cancel()

    def _write_in(self, pause_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(pause_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._writing = self._loop.create_task(self._write_all())
        self._writing.add_done_callback(self._end)

    def _end(self, _: object) -> None:
        self._writing = None
        if self._entries or self._fresh:
            self._write_in(FLUSH_S)

    async def _write_all(self) -> None:
        """Write all that is held; while no connection can be had, or the stream moves, it stays held."""
        self._add_fresh()
        while self._entries:
            try:
                connection = await self._lifeline.connect()
            except StoreUnavailable:
                return
            entry = self._entries.pop(0)
            if not await self._write(connection, entry):
                self._entries.insert(0, entry)
                return

    async def _write(self, connection: RespConnection, entry: Entry) -> bool:
        """Write an entry and count it; return False where it is to be sent again.

        Once it is sent it is not, since the store may have it, unless the reply says that it is elsewhere.
        """
        look = ("MEMORY", "USAGE", self._key)
        add = () if self._is_full else (("XADD", self._key, "*", FIELD, entry.pack()),)
        try:
            replies = await connection.call(look, *add)
        except ConnectionLost as exc:
            self._drop(entry.n, str(exc))
            return True
        used, last = replies[0], replies[-1]
        if self._lifeline.is_elsewhere(last):
            return False
        self._is_full = isinstance(used, Refusal) or (used or 0) >= self._most_bytes
        if isinstance(last, Refusal):
            self._drop(entry.n, str(last))
        elif not add:
            self._drop(entry.n, f"the stream has {used} bytes that no batch has drained")
        else:
            self.counts["accepted"] += entry.n
            self._is_warned = False
        return True

    def _drop(self, n: int, why: str) -> None:
        """Count records that are lost; say so once, until some are taken again."""
        self.counts["dropped"] += n
        if not self._is_warned:
            self._is_warned = True
            log.warning("exposures.dropped", extra={"why": why})
