"""The store as the API reads it: every Redis read begins here.

The hot path is one round trip, shared with all requests of the same loop turn (`api/store/batcher.py`). Only
who goes below his own list, or asks for a page of an older generation, needs a second one.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import cast

from redis.asyncio import Redis

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.profile import Fields, segment, signature
from api.feed import Generation, LookUp, Pointer
from api.store.batcher import Lane
from api.store.cache import GENERATIONS_HELD, Loader, Shelf, reading
from api.store.commands import Plan
from api.store.connection import LinkLost, Replies
from api.store.errors import (
    LOADING,
    GenerationGone,
    GenerationUnreadable,
    NothingPublished,
    StoreUnavailable,
)
from api.store.events import Journal
from api.store.history import Past
from api.store.lifeline import Lifeline
from api.store.pending import Ask, ids_of, sound
from api.store.stats import Meter

__all__ = [
    "GENERATIONS_HELD",
    "GenerationGone",
    "GenerationUnreadable",
    "NothingPublished",
    "Shelf",
    "Store",
    "StoreUnavailable",
]

BAD_DAY = (NothingPublished, GenerationUnreadable, StoreUnavailable)  # what memory may answer for
WARM_BYTES, WARM_USERS = 4096, 256
VARIANTS_HELD = 64  # more names than anyone publishes; a name that is not published is not held


class Store:
    """Reads for one event loop. `shelf` may outlive it: it holds plain values only."""

    def __init__(
        self, client: Redis, lifeline: Lifeline, keys: Keys, variant: str, shelf: Shelf, wait_s: float = 1.0
    ) -> None:
        """Open nothing. `wait_s` bounds how long a request waits for a generation that is being loaded."""
        self.variant = variant
        self.meter = Meter()
        self.journal = Journal(client, keys)
        self._client = client
        self._lifeline = lifeline
        self._keys = keys
        self._wait_s = wait_s
        self._loader = Loader(client, keys, shelf)
        self._past = Past(client, keys)
        self._lanes: dict[str, Lane] = {}
        self._own = self._lane(variant)
        self._lanes[variant] = self._own
        lifeline.changed = self._change

    async def current(
        self, variant: str | None = None, *, patient: bool = False
    ) -> tuple[Pointer, Generation]:
        """Read the pointer and return it with the generation that it names, loaded.

        Where loading takes longer than a request may wait it goes on, and what was current before is
        returned; who is patient waits for it.

        Raises:
            NothingPublished: There is no current generation.
            GenerationUnreadable: There is one, but it lacks a part.
            StoreUnavailable: The store did not answer in time, or the first generation is being loaded.
        """
        lane = self._lane(variant)
        current = await lane.current(patient=patient)
        self._keep(lane)
        return current

    async def warm_up(self) -> int:
        """Look up some real users, so that the first request finds all paths walked; return how many.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `current`.
        """
        pointer, generation = await self._own.current()
        with reading():
            start = await self._client.getrange(self._keys.users(pointer.generation), 0, WARM_BYTES)
            users = decode(cast("bytes", start).rpartition(b" ")[0])[:WARM_USERS]
        at_s = generation.manifest.start_s + generation.manifest.width_s
        found = await asyncio.gather(*(self.look_up(user_id, at_s) for user_id in users))
        await asyncio.gather(*map(self.see_all, found[:4]))
        return len(users)

    def look_up(self, user_id: int, at_s: int, variant: str | None = None) -> Awaitable[LookUp]:
        """Read in one round trip what a user's own list needs at a time, all of the current generation.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `current`, when awaited.
        """
        if variant is None or variant == self.variant:
            return self._own.look_up(user_id, at_s)
        return self._elsewhere(self._lane(variant), user_id, at_s)

    def ask(self, ask: Ask) -> None:
        """Look up in the API's own variant for somebody who does not await."""
        self._own.ask(ask)

    async def look_up_pinned(self, user_id: int, at_s: int, number: int, created_at_s: int) -> LookUp:
        """Read what a user's feed needs of a certain generation, which need not be current.

        Raises:
            GenerationGone: It is no longer kept.
            GenerationUnreadable, StoreUnavailable: As `current`.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                pointer, generation = await self._loader.pinned(number, created_at_s)
        except TimeoutError as exc:
            raise StoreUnavailable(LOADING) from exc
        view = await self._own.opened(generation)
        plan, bucket_s = Plan(self._keys, view.manifest), view.manifest.horizon.bucket_for(at_s)
        packed, n_replies = plan.own(user_id, at_s, bucket_s)
        with reading():
            # The state comes last: a generation is marked before its first list goes.
            own, *seen, state = await self._call(packed + plan.kept(), n_replies + 1)
            if sound(state) != b"sealed":
                raise GenerationGone(number)
            found = LookUp(
                user_id=user_id,
                at_s=at_s,
                bucket_s=bucket_s,
                pointer=pointer,
                generation=view,
                own=decode(sound(own)),
                segment=None,
                hidden=ids_of(seen),
                sees_all=False,
            )
        return await self.see_all(found)

    async def see_all(self, found: LookUp) -> LookUp:
        """Return the look-up with the user's segment, and all that he saw by its time hidden.

        Fallback lists need both.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        if found.sees_all:
            return found
        packed, n_replies = Plan(self._keys, found.generation.manifest).all(found.user_id, found.at_s)
        with reading():
            stored, *seen = await self._call(packed, n_replies)
            name = None if found.degraded else sound(stored)  # then it is no hash, or not ours
            hidden = found.hidden | ids_of(seen)
        return replace(found, segment=name.decode() if name else found.segment, hidden=hidden, sees_all=True)

    async def introduce(self, found: LookUp, fields: Fields) -> LookUp:
        """Return the look-up with what his profile gives a user who has no list: its list, his segment.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            StoreUnavailable: The store did not answer in time.
        """
        manifest = found.generation.manifest
        name = signature(manifest.profile, fields)
        if found.own:
            return found
        packed = Plan(self._keys, manifest).profile(name, found.bucket_s)
        with reading():
            ranked = decode(sound((await self._call(packed, 1))[0]))
        return replace(found, segment=found.segment or segment(manifest.segment_by, fields), profile=ranked)

    def remembered(
        self, user_id: int, at_s: int, why: Exception, variant: str | None, told: Fields
    ) -> LookUp:
        """Return what memory still knows, on a day on which the store does not: popular posts, no user.

        Raises:
            Exception: `why` itself, if nothing was ever loaded.
        """
        served = self._lane(variant).served
        if served.pointer is None or served.view is None:
            raise why
        bucket_s = served.view.manifest.horizon.bucket_for(at_s)
        return LookUp(
            user_id=user_id,
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=served.pointer,
            generation=served.view,
            own=(),
            segment=segment(served.view.manifest.segment_by, told),
            hidden=frozenset(),
            sees_all=True,
            degraded="store" if isinstance(why, StoreUnavailable) else "generation",
        )

    def served(self) -> list[tuple[Pointer, Generation]]:
        """Return what is in memory as current, of each variant that was asked for."""
        served = [lane.served for lane in self._lanes.values()]
        return [(one.pointer, one.view) for one in served if one.pointer is not None and one.view is not None]

    async def rest(self) -> None:
        """End what is still under way."""
        for lane in (self._own, *self._lanes.values()):
            await lane.rest()
        await self._loader.rest()
        await self._past.rest()
        await self._lifeline.close()

    async def _elsewhere(self, lane: Lane, user_id: int, at_s: int) -> LookUp:
        found = await lane.look_up(user_id, at_s)
        self._keep(lane)
        return found

    def _lane(self, variant: str | None) -> Lane:
        """Return a variant's lane; a new one is held only once something is found in it."""
        name = variant or self.variant
        lane = self._lanes.get(name)
        return lane or Lane(
            name, self._keys, self._lifeline, self._loader, self._past, self._wait_s, self.meter
        )

    def _keep(self, lane: Lane) -> None:
        if len(self._lanes) < VARIANTS_HELD:
            self._lanes.setdefault(lane.variant, lane)

    def _change(self) -> None:
        for lane in self._lanes.values():
            lane.served.change()

    async def _call(self, packed: bytes, n_replies: int) -> Replies:
        """Send packed reads, once more if the connection was lost."""
        for last in (False, True):
            try:
                return await (await self._lifeline.link()).exchange(packed, n_replies)
            except LinkLost as exc:
                if last:
                    raise StoreUnavailable(exc) from exc
        raise AssertionError("the last attempt returns or raises")
