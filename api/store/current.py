"""The generation that is current under one variant, as it was last read: pointer, takedowns, pins, the rest.

Pointer, takedowns, pins and experiments are read when they change, not per request: the server is asked to
track their keys and tells of a change on the same connection, before any reply that it gives later (RESP3,
client tracking). A server that does not track, or does not let us ask for it, is read before every write
instead.
"""

import asyncio
import logging
from dataclasses import replace
from typing import NamedTuple

from api.contract.history import Reach
from api.contract.keys import Keys
from api.contract.pin import Pins
from api.found import Generation, Pointer
from api.store.cache import GenerationCache, drop_posts, read_hash_of_pins, read_members, translate_errors
from api.store.commands import LookupCommands, check_reply
from api.store.errors import LOADING, GenerationTooNew, NothingPublished, StoreUnavailable
from api.store.experiments import Experiments
from api.store.lifeline import Line
from api.store.snapshot import Snapshot, prepare_pins

TRACK = ("CLIENT", "CACHING", "YES")  # the next command's keys are tracked
FIELDS = ("generation", "promoted_at", "since", "past", "previous")  # of `current`, see `keys.py`

log = logging.getLogger(__name__)


class Named(NamedTuple):
    """What the store names: current, first promotion, first backfilled second, previous, taken down, pins."""

    pointer: Pointer
    first_s: int | None
    past_s: int | None
    previous: int | None
    taken_down: frozenset[str]
    pins: Pins


class CurrentGeneration:
    """What is current under a variant.

    Attributes:
        snapshot: As it was last read; None before the first reading.
        n_changes: Differs from before when the snapshot has changed, or what it is of may have.
        is_stale: Whether pointer, takedowns and pins must be read before anything is answered. Not while a
            generation that was named is still being loaded: the one before may answer until then, without
            what is taken down by now, and with what is pinned.
    """

    def __init__(
        self, variant: str, keys: Keys, lifeline: Line, cache: GenerationCache, experiments: Experiments
    ) -> None:
        """Read nothing yet."""
        self.snapshot: Snapshot | None = None
        self.n_changes = 0
        self.is_stale = True
        self._variant = variant
        self._keys = keys
        self._lifeline = lifeline
        self._cache = cache
        self._experiments = experiments
        self._refused: Pointer | None = None
        self._n_reads = 0
        self._snapshot_read = 0  # the reading that the snapshot is of

    def mark_stale(self) -> None:
        """Take note that the pointer, the takedowns or the pins may have changed."""
        self.is_stale = True
        self.n_changes += 1

    async def read(self, wait_s: float | None = None) -> Snapshot:
        """Read pointer, takedowns and pins now, load what is named, and return what is served from now on.

        Args:
            wait_s: Longest wait for the loading, which goes on all the same: until it is done, what was
                current before is served. None waits for its end.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: There is none, or it cannot be read.
        """
        self._n_reads += 1
        turn = self._n_reads
        named = await self._read_names()
        self._hide_and_pin(named, turn)
        try:
            async with asyncio.timeout(wait_s):
                pointer, whole = await self._load(named)
        except TimeoutError as exc:
            if self.snapshot is None:
                self.mark_stale()
                raise StoreUnavailable(LOADING) from exc
            self._cache.call_when_loaded(named.pointer, self.mark_stale)
            return self.snapshot
        except BaseException:
            self.mark_stale()  # what could not be loaded, or nobody waited for, must be read again
            raise
        if turn > self._snapshot_read:  # else a later reading was loaded sooner
            self._snapshot_read = turn
            self._take(pointer, whole, named)
        assert self.snapshot is not None
        return self.snapshot

    async def _load(self, named: Named) -> tuple[Pointer, Generation]:
        """Return what is named as current; where it is too new for us, what we served or the previous one.

        Raises:
            GenerationTooNew: It is, and there is no other.
        """
        pointer, held = named.pointer, self.snapshot
        if held is not None and held.pointer == pointer:  # the cache may have dropped it for other variants'
            return pointer, held.whole
        try:
            return pointer, await self._cache.load(pointer)
        except GenerationTooNew as exc:
            if self._refused != pointer:
                self._refused = pointer
                log.warning("generation.refused", extra={"generation": pointer.generation, "why": str(exc)})
            if held is not None:
                return held.pointer, held.whole
            if named.previous is None:
                raise
        older = await self._cache.load(Pointer(named.previous, pointer.promoted_at_s))
        return Pointer(named.previous, older.manifest.created_at_s), older

    async def _read_names(self) -> Named:
        """Read what is current; until it is known, nobody is answered from what was."""
        names = ("HMGET", self._keys.current(self._variant), *FIELDS)
        await self._lifeline.connect()  # a new connection makes everything stale
        n_changes = self.n_changes
        # Where the server does not track, it refuses TRACK, and nothing else.
        taken, pinned = ("SMEMBERS", self._keys.takedowns()), ("HGETALL", self._keys.pins())
        run = ("HGETALL", self._keys.experiments())  # of the whole store, so whoever reads tells everyone
        replies = await self._lifeline.call(TRACK, names, TRACK, taken, TRACK, pinned, TRACK, run)
        *of_variant, running = replies[1::2]
        self._experiments.take(running)
        with translate_errors():
            (generation, *fields), taken_down, pins = map(check_reply, of_variant)
            if generation is None:
                raise NothingPublished(self._variant)
            promoted_at_s, first_s, past_s, previous = (int(field) if field else None for field in fields)
            pointer = Pointer(int(generation), promoted_at_s or 0)
            named = Named(
                pointer, first_s, past_s, previous, read_members(taken_down), read_hash_of_pins(pins)
            )
        if n_changes == self.n_changes:
            self.is_stale = False
        return named

    def _hide_and_pin(self, named: Named, turn: int) -> None:
        """Take posts out of what is served, and pin some, while another generation is still being loaded."""
        held = self.snapshot
        if held is None or turn <= self._snapshot_read:
            return
        if not named.taken_down <= held.taken_down:
            self.n_changes += 1
            held = self.snapshot = replace(
                held,
                generation=drop_posts(held.generation, named.taken_down),
                taken_down=held.taken_down | named.taken_down,
            )
        if named.pins != held.pins:
            self.n_changes += 1
            numbered, asked, of_seen = prepare_pins(held.whole, held.commands, named.pins)
            self.snapshot = replace(
                held, pins=named.pins, numbered=numbered, pin_commands=asked, asked_of_seen=of_seen
            )

    def _take(self, pointer: Pointer, whole: Generation, named: Named) -> None:
        """Serve a generation from now on."""
        reach = Reach.of(named.first_s, pointer.promoted_at_s, named.past_s, whole.manifest.as_of_s)
        held = self.snapshot
        known = (pointer, named.taken_down, named.pins)
        if held is not None and (held.pointer, held.taken_down, held.pins) == known:
            self.snapshot = replace(held, reach=reach)
            return
        self.n_changes += 1
        generation = drop_posts(whole, named.taken_down)
        commands = LookupCommands(self._keys, whole.manifest)
        of_pins = prepare_pins(whole, commands, named.pins)
        self.snapshot = Snapshot(
            pointer, whole, generation, named.taken_down, commands, reach, named.pins, *of_pins
        )
