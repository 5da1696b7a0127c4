"""Records of what experiments' answers were, on their way into the store.

A request leaves its record in memory and goes on; a task writes what has gathered, hundreds in one entry of
the stream. A feed never waits for that: where the store is away, or has too many records that the batch has
not drained, records are dropped, and counted.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from api.contract.exposure import FIELD, MOST_RECORDS, pack, write, write_shared
from api.contract.keys import Keys
from api.feed import Answer
from api.store.connection import ConnectionLost, Refusal, RespConnection
from api.store.errors import StoreUnavailable
from api.store.lifeline import Lifeline

FLUSH_S = 0.1
MOST_HELD = 10_000  # records in memory: a second or two of all that one process can answer
MB = 1 << 20

log = logging.getLogger(__name__)


class Exposures:
    """The records of one process that are not written yet.

    Attributes:
        counts: What became of them, `accepted` by the store or `dropped`, to records.
        answered: (experiment, arm) to answers that the arm gave, recorded or not.
    """

    def __init__(self, lifeline: Lifeline, keys: Keys, most_mb: int) -> None:
        """Hold nothing. `most_mb`: of the stream, in the store; beyond it nothing is added."""
        self.counts: Counter[str] = Counter()
        self.answered: Counter[tuple[str, str]] = Counter()
        self._lifeline = lifeline
        self._key = keys.exposures()
        self._most_bytes = most_mb * MB
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
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
        if len(self._held) >= MOST_HELD:
            self._drop(1, f"{MOST_HELD} records wait to be written")
            return
        found = given.found
        number, answered_ms = found.pointer.generation, int(clock() * 1000)
        shared = write_shared(placed.experiment.name, placed.arm.name, number, found.bucket_s, given.rung)
        who = found.user_id.encode(), request_id
        self._held.append(write(shared, found.at_s, answered_ms, *who, given.posts, given.propensities))
        if self._writing is None and (self._timer is None or len(self._held) == MOST_RECORDS):
            self._write_in(FLUSH_S if self._timer is None else 0.0)

    async def aclose(self) -> None:
        """Write what is held, if the store takes it."""
        if self._writing is not None:
            await self._writing
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
        if self._held:
            self._write_in(FLUSH_S)

    async def _write_all(self) -> None:
        """Write all that is held; while no connection can be had it stays held."""
        while self._held:
            try:
                connection = await self._lifeline.connect()
            except StoreUnavailable:
                return
            records, self._held = self._held[:MOST_RECORDS], self._held[MOST_RECORDS:]
            await self._write(connection, records)

    async def _write(self, connection: RespConnection, records: list[bytes]) -> None:
        """Write an entry. Once it is sent it is not sent again: the store may have taken it."""
        look = ("MEMORY", "USAGE", self._key)
        add = () if self._is_full else (("XADD", self._key, "*", FIELD, pack(records)),)
        try:
            used, *added = await connection.call(look, *add)
        except ConnectionLost as exc:
            self._drop(len(records), str(exc))
            return
        if refused := [str(reply) for reply in (used, *added) if isinstance(reply, Refusal)]:
            self._drop(len(records), refused[0])
            return
        self._is_full = (used or 0) >= self._most_bytes
        if not added:
            self._drop(len(records), f"the stream has {used} bytes that no batch has drained")
            return
        self.counts["accepted"] += len(records)
        self._is_warned = False

    def _drop(self, n: int, why: str) -> None:
        """Count records that are lost; say so once, until some are taken again."""
        self.counts["dropped"] += n
        if not self._is_warned:
            self._is_warned = True
            log.warning("exposures.dropped", extra={"why": why})
