"""The generation that is current under one variant, as it was last read: pointer, takedowns, pins, the rest.

Pointer, takedowns and pins are read when they change, not per request: the server is asked to track their
keys and tells of a change on the same connection, before any reply that it gives later (RESP3, client
tracking). A server that does not track, or does not let us ask for it, is read before every write instead.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from api.contract.codec import decode
from api.contract.history import Reach
from api.contract.keys import Keys
from api.contract.pin import Pin, Pins
from api.contract.profile import Fields, segment
from api.found import Degraded, Generation, Lookup, Pointer
from api.store.cache import GenerationCache, drop_posts, read_hash_of_pins, read_members, translate_errors
from api.store.commands import LookupCommands, check_reply, read_hidden
from api.store.connection import Replies
from api.store.errors import LOADING, GenerationTooNew, NothingPublished, StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.pinned import PinCommands

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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was current when it was last read.

    Attributes:
        pointer: What was named.
        whole: The generation that it names.
        generation: The same without what is taken down.
        taken_down: Ids of posts that no answer may hold.
        commands: What to ask of the generation.
        reach: The times that another generation may answer.
        pins: What is pinned, by the post's id.
        numbered: The same, as look-ups have it.
        pin_commands: What to ask beside where a pin may hold; None where that is known without.
    """

    pointer: Pointer
    whole: Generation
    generation: Generation
    taken_down: frozenset[str]
    commands: LookupCommands
    reach: Reach
    pins: Pins
    numbered: Sequence[tuple[int, Pin]]
    pin_commands: PinCommands | None

    def pack(self, user_id: str, at_s: int, bucket_s: int) -> tuple[bytes, int]:
        """Pack what a look-up of a user's own list asks, and count replies."""
        if self.pin_commands is None or not self._may_pin(at_s):
            return self.commands.pack_own(user_id, at_s, bucket_s)
        packed, n_replies = self.commands.pack_own(user_id, at_s, bucket_s)
        return packed + self.pin_commands.pack(user_id), n_replies + self.pin_commands.n_replies

    def read(self, user_id: str, at_s: int, bucket_s: int, replies: Replies) -> Lookup:
        """Return the look-up of which these are the replies to what `pack` packed.

        An own list that cannot be read is an empty one, and labelled so.

        Raises:
            StoreUnavailable: What the user has seen cannot be read, or a command was not carried out.
        """
        of_pins: Replies = []
        if self.pin_commands is not None and self._may_pin(at_s):
            n_own = len(replies) - self.pin_commands.n_replies
            replies, of_pins = replies[:n_own], replies[n_own:]
        degraded: Degraded = ""
        try:
            hidden = read_hidden(replies[1:], self.whole)
        except ValueError as exc:
            raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc
        name: bytes | None = None
        try:
            own = check_reply(replies[0])
            if self.commands.sees_all:
                own, name = own
            ranked = decode(own)
        except ValueError:  # somebody else's value: all but the own list is still known
            ranked, degraded = [], "value"
        found = Lookup(
            user_id=user_id,
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=self.pointer,
            generation=self.generation,
            own=ranked,
            segment=name.decode() if name else None,
            hidden=hidden,
            sees_all=self.commands.sees_all,
            degraded=degraded,
            is_past=at_s < self.reach.end_s and self.reach.holds(at_s),
            pins=self.numbered,
        )
        if of_pins and not degraded:
            found.segment, seen = self._read_pins(of_pins, at_s)
            found.hidden, found.sees_pins = hidden | seen, True
        return found

    def remember(self, user_id: str, at_s: int, why: Exception, profile: Fields) -> Lookup:
        """Return what memory has when the store cannot be read: popular posts, nothing of the user."""
        manifest = self.generation.manifest
        return Lookup(
            user_id=user_id,
            at_s=at_s,
            bucket_s=manifest.horizon.bucket_for(at_s),
            pointer=self.pointer,
            generation=self.generation,
            own=(),
            segment=segment(manifest.segment_by, profile),
            hidden=frozenset(),
            sees_all=True,
            degraded="store" if isinstance(why, StoreUnavailable) else "generation",
            pins=self.numbered,
        )

    def _may_pin(self, at_s: int) -> bool:
        return any(pin.holds_at(at_s) for _, pin in self.numbered)

    def _read_pins(self, replies: Replies, at_s: int) -> tuple[str | None, frozenset[int]]:
        """Return the user's segment, and which pinned posts they have seen by a time."""
        assert self.pin_commands is not None, "it asked for them"
        try:
            return self.pin_commands.read(replies, at_s)
        except ValueError as exc:
            raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc


class CurrentGeneration:
    """What is current under a variant.

    Attributes:
        snapshot: As it was last read; None before the first reading.
        n_changes: Differs from before when the snapshot has changed, or what it is of may have.
        is_stale: Whether pointer, takedowns and pins must be read before anything is answered. Not while a
            generation that was named is still being loaded: the one before may answer until then, without
            what is taken down by now, and with what is pinned.
    """

    def __init__(self, variant: str, keys: Keys, lifeline: Lifeline, cache: GenerationCache) -> None:
        """Read nothing yet."""
        self.snapshot: Snapshot | None = None
        self.n_changes = 0
        self.is_stale = True
        self._variant = variant
        self._keys = keys
        self._lifeline = lifeline
        self._cache = cache
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
        replies = await self._lifeline.call(TRACK, names, TRACK, taken, TRACK, pinned)
        with translate_errors():
            (generation, *fields), taken_down, pins = map(check_reply, replies[1::2])
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
            numbered, asked = _prepare_pins(held.whole, held.commands, named.pins)
            self.snapshot = replace(held, pins=named.pins, numbered=numbered, pin_commands=asked)

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
        of_pins = _prepare_pins(whole, commands, named.pins)
        self.snapshot = Snapshot(
            pointer, whole, generation, named.taken_down, commands, reach, named.pins, *of_pins
        )


def _prepare_pins(
    whole: Generation, commands: LookupCommands, pins: Pins
) -> tuple[Sequence[tuple[int, Pin]], PinCommands | None]:
    """Return the pins as look-ups have them, and what to ask beside because of them."""
    numbered = whole.number_pins(pins)
    if not numbered or commands.sees_all:
        return numbered, None
    return numbered, PinCommands(commands, (post for post, _ in numbered))
