"""Batches the look-ups of one variant: those of one turn of the event loop leave in one write.

How an answer is known to be of what is current, though nobody reads the pointer for it: pointer and takedowns
are in memory (`current.py`), and the server tells of a change before it sends any later reply. So when the
replies to a look-up have come and no change came before them, memory was right while the server worked on it.
Otherwise the look-up is sent once more.

While an experiment runs, the batcher of the API's own variant hands look-ups on to those of their users'
arms. One that needs another try comes back to it: of experiments the server tells as of pointers.

Waits are bounded. While a generation is being loaded the one before it answers, after PATIENCE_S at the
latest; where there is none, a look-up fails after `wait_s`. An error, a bug of ours included, fails the
look-ups that it meets: they would wait for ever otherwise.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter  # the loop's own clock, uvloop's, counts whole milliseconds

from api.contract.experiment import Route
from api.contract.keys import Keys
from api.found import Lookup
from api.store.cache import GenerationCache
from api.store.connection import Replies, RespConnection
from api.store.current import CurrentGeneration
from api.store.errors import LOADING, StoreUnavailable
from api.store.experiments import Experiments
from api.store.lifeline import Line
from api.store.pending import FutureLookup, PendingLookup
from api.store.snapshot import Snapshot
from api.store.stats import LookupStats

LARGEST_BATCH = 16  # look-ups a write: the store works on them while we read the next requests
MOST_TRIES = 5  # then what was read last answers: it was current while the request was under way
PATIENCE_S = 0.1  # 7,000 posts are loaded in 0.02 s, so most requests after a flip see the new lists

Share = tuple["LookupBatcher", Snapshot, list["PendingLookup"]]
Sent = tuple["LookupBatcher", Snapshot, int, list["PendingLookup"]]  # and `n_changes` of what is current


class LookupBatcher:
    """The look-ups that wait for an answer of what is current under one variant."""

    def __init__(
        self,
        variant: str,
        keys: Keys,
        lifeline: Line,
        cache: GenerationCache,
        wait_s: float,
        stats: LookupStats,
        experiments: Experiments,
        overlay_places: int,
        find_batcher: Callable[[str], "LookupBatcher"],
        home: "LookupBatcher | None" = None,
    ) -> None:
        """Read nothing yet.

        `wait_s` bounds the wait for a generation that is being loaded. `overlay_places` is 0 where the
        overlay is off. `home` is the batcher of the API's own variant, None where it is this one;
        `find_batcher` gives that of any.
        """
        self.variant = variant
        self.current = CurrentGeneration(variant, keys, lifeline, cache, experiments)
        self._experiments = experiments
        self._overlay_places = overlay_places
        self._find_batcher = find_batcher
        self._home = home or self
        self._lifeline = lifeline
        self._wait_s = wait_s
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._waiting: list[PendingLookup] = []
        self._is_scheduled = False
        self._reading: asyncio.Task[None] | None = None  # of what is current

    def look_up(self, user_id: str, at_s: int, *, is_now: bool = False) -> "asyncio.Future[Lookup]":
        """Return a future look-up of a user's own list at a time, which may be now.

        It may raise NothingPublished, GenerationUnreadable or StoreUnavailable.
        """
        future: asyncio.Future[Lookup] = self._loop.create_future()
        self.add(FutureLookup(user_id, at_s, future, is_now=is_now))
        return future

    def add(self, lookup: PendingLookup) -> None:
        """Send a look-up with the others of this turn of the event loop."""
        self._waiting.append(lookup)
        if len(self._waiting) >= LARGEST_BATCH:
            self._flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._end_turn)

    async def aclose(self) -> None:
        """End what is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._fail_all(StoreUnavailable("we are stopping"))

    def _end_turn(self) -> None:
        self._is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        """Send all look-ups that wait, if what is current is known; else read that first."""
        connection, snapshot = self._lifeline.connection, self.current.snapshot
        try:
            if connection is None or snapshot is None or self._must_read_first(connection):
                self._read_first()
            elif self._waiting:
                self._send(connection, snapshot)
        except Exception as exc:  # a bug of ours must not leave anyone waiting
            self._fail_all(exc)

    def _must_read_first(self, connection: RespConnection) -> bool:
        """Say whether what is current must be read before anything is sent.

        Without tracking it must be for every look-up that came after the last reading.
        """
        if connection.tracks:
            return self.current.is_stale and all(lookup.n_tries <= MOST_TRIES for lookup in self._waiting)
        return any(not lookup.n_tries for lookup in self._waiting)

    def _send(self, connection: RespConnection, snapshot: Snapshot) -> None:
        """Send all look-ups that wait."""
        shares = [(self, snapshot, self._waiting)]
        if self._experiments.running and self._home is self:
            shares = self._share_out(connection, snapshot)
        self._waiting = []
        parts: list[bytes] = []
        sent = [
            (batcher, of, batcher.current.n_changes, batcher._pack(waiting, of, parts))
            for batcher, of, waiting in shares
        ]
        if not parts:
            return
        lookups = [lookup for *_, of_one in sent for lookup in of_one]
        try:
            self._transmit(connection, sent, lookups, parts)
        except Exception as exc:  # as in `_flush`
            for lookup in lookups:
                lookup.resolve(exc)

    def _transmit(
        self, connection: RespConnection, sent: list[Sent], lookups: list[PendingLookup], parts: list[bytes]
    ) -> None:
        """Send what was packed, a part a look-up."""
        n_replies = sum([lookup.n_replies for lookup in lookups])
        connection.send((b"".join(parts), n_replies, self._reader_of(sent, len(lookups))))

    def _share_out(self, connection: RespConnection, snapshot: Snapshot) -> list[Share]:
        """Return the look-ups that wait by the batchers of their users' arms, with what they are of.

        Those of a variant that must be read first wait for that with its own batcher.
        """
        own: list[PendingLookup] = []
        others: dict[str, list[PendingLookup]] = {}
        route: Route | None = None
        now_s, place = 0, None
        for lookup in self._waiting:
            if lookup.now_s != now_s or lookup.route != route:  # most of a turn ask the same, now
                route, now_s = lookup.route, lookup.now_s
                place = self._experiments.find_place(route, now_s)
            placed = lookup.placed = None if place is None else place(lookup.user_id)
            if placed is None or placed.arm.variant == self.variant:
                own.append(lookup)
            else:
                others.setdefault(placed.arm.variant, []).append(lookup)
        shares: list[Share] = [(self, snapshot, own)]
        for variant, lookups in others.items():
            batcher = self._find_batcher(variant)
            current = batcher.current
            if connection.tracks and current.snapshot is not None and not current.is_stale:
                shares.append((batcher, current.snapshot, lookups))
                continue
            for lookup in lookups:
                if lookup.n_tries == 1 and not connection.tracks:
                    lookup.n_tries = 0  # what was read for it is not the other variant's
                batcher.add(lookup)
        return shares

    def _pack(
        self, waiting: list[PendingLookup], snapshot: Snapshot, parts: list[bytes]
    ) -> list[PendingLookup]:
        """Add look-ups to what is sent; one that cannot be written keeps no other from being sent."""
        bucket_for, overlay_places = snapshot.generation.manifest.horizon.bucket_for, self._overlay_places
        lookups: list[PendingLookup] = []
        for lookup in waiting:
            try:
                lookup.n_tries += 1
                lookup.bucket_s = bucket_for(lookup.at_s)
                with_session = lookup.is_now and overlay_places > 0
                command, lookup.n_replies = snapshot.pack(
                    lookup.user_id, lookup.at_s, lookup.bucket_s, with_session=with_session
                )
            except Exception as exc:  # as in `_flush`
                lookup.resolve(exc)
            else:
                lookups.append(lookup)
                parts.append(command)
        return lookups

    def _reader_of(self, sent: list[Sent], n_lookups: int) -> Callable[[Replies | None], None]:
        """Return what takes the replies to some look-ups; None: the connection was lost."""
        sent_at = perf_counter()

        def read(replies: Replies | None) -> None:
            if replies is None:
                self._lose(sent)
                return
            self._stats.record(n_lookups, perf_counter() - sent_at)
            self._take(sent, replies)

        return read

    def _lose(self, sent: list[Sent]) -> None:
        """Send look-ups again whose connection was lost."""
        for batcher, *_, lookups in sent:
            batcher._repeat(lookups, is_lost=True)

    def _take(self, sent: list[Sent], replies: Replies) -> None:
        """Take the replies to look-ups."""
        read_so_far: list[tuple[PendingLookup, Lookup]] = []
        start = 0
        for batcher, snapshot, n_changes, lookups in sent:
            start = batcher._read(lookups, snapshot, n_changes, replies, start, read_so_far)
        _resolve_all(read_so_far)

    def _read(
        self,
        lookups: list[PendingLookup],
        snapshot: Snapshot,
        n_changes: int,
        replies: Replies,
        end: int,
        done: list[tuple[PendingLookup, Lookup]],
    ) -> int:
        """Read the replies to look-ups, from a place on; return where the next ones begin."""
        is_changed = n_changes != self.current.n_changes
        for lookup in lookups:
            start, end = end, end + lookup.n_replies
            if is_changed and lookup.n_tries <= MOST_TRIES:
                self._repeat([lookup])
                continue
            try:
                asked = (lookup.user_id, lookup.at_s, lookup.bucket_s)
                n_places = self._overlay_places if lookup.is_now else 0
                done.append((lookup, snapshot.read(*asked, replies[start:end], n_places)))
            except Exception as exc:  # as in `_flush`
                lookup.resolve(exc)
        return end

    def _repeat(self, lookups: list[PendingLookup], *, is_lost: bool = False) -> None:
        """Send some look-ups again; one that loses its connection twice fails."""
        for lookup in lookups:
            if is_lost and lookup.was_lost:
                lookup.resolve(StoreUnavailable("the connection was lost twice"))
            else:
                lookup.was_lost |= is_lost
                lookup.placed = None
                (self if lookup.route is None else self._home).add(lookup)

    def _read_first(self) -> None:
        """Read what is current, then flush."""
        if self._reading is None:
            # Where nothing is tracked, this reading counts for those only that wait already.
            self._reading = asyncio.create_task(self._read_and_flush(self._waiting[:]))

    async def _read_and_flush(self, waiting: list[PendingLookup]) -> None:
        """Read what is current, then flush; no look-up waits longer than `wait_s` for it."""
        patience_s = None if self.current.snapshot is None else PATIENCE_S
        try:
            async with asyncio.timeout(self._wait_s):
                await self.current.read(patience_s)
        except TimeoutError:
            self._fail_all(StoreUnavailable(LOADING))
        except Exception as exc:
            self._fail_all(exc)
        self._reading = None
        for lookup in waiting:
            lookup.n_tries += 1
        if self._waiting:
            self._flush()

    def _fail_all(self, why: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for lookup in waiting:
            lookup.resolve(why)


def _resolve_all(read: list[tuple[PendingLookup, Lookup]]) -> None:
    """Choose for all, then answer all."""
    chosen: list[tuple[PendingLookup, Lookup]] = []
    for lookup, found in read:
        try:
            lookup.choose(found)
            chosen.append((lookup, found))
        except Exception as exc:  # as in `_flush`
            lookup.resolve(exc)
    for lookup, found in chosen:
        try:
            lookup.resolve(found)
        except Exception as exc:  # likewise
            lookup.resolve(exc)
