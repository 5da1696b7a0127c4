"""The store as the API reads it: every Redis read begins here.

The hot path is one round trip, shared with all requests of the same loop turn (`api/store/batcher.py`). Only
an answer from below the user's own list, or a page of an older generation, needs more (`supplement.py`).
"""

import asyncio
from collections.abc import Awaitable, Collection
from dataclasses import replace
from typing import cast

from redis.asyncio import Redis

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.profile import Fields
from api.feed import Answer, Cursor, Generation, Lookup, Pointer, answer
from api.store.batcher import LookupBatcher
from api.store.cache import GenerationCache, Shelf, translate_errors
from api.store.errors import DEGRADABLE_ERRORS
from api.store.events import Journal
from api.store.history import HistoryReader
from api.store.lifeline import Lifeline
from api.store.pending import PendingLookup
from api.store.stats import LookupStats
from api.store.supplement import Supplement

NO_FIELDS: Fields = {}
WARM_BYTES, WARM_USERS = 4096, 256
VARIANTS_HELD = 64  # more names than anyone publishes; a name that is not published is not held


class Store:
    """Reads for one event loop. `shelf` may outlive it: it holds plain values only."""

    def __init__(
        self, client: Redis, lifeline: Lifeline, keys: Keys, variant: str, shelf: Shelf, wait_s: float = 1.0
    ) -> None:
        """Open nothing. `wait_s` bounds how long a request waits for a generation that is being loaded."""
        self.variant = variant
        self.stats = LookupStats()
        self.journal = Journal(client, keys)
        self._client = client
        self._lifeline = lifeline
        self._keys = keys
        self._wait_s = wait_s
        self._cache = GenerationCache(client, keys, shelf)
        self._history = HistoryReader(client, keys, self._cache, wait_s)
        self._supplement = Supplement(keys, lifeline)
        self._batchers: dict[str, LookupBatcher] = {}
        self._own = self._batcher(variant)
        self._batchers[variant] = self._own
        lifeline.on_change = self._mark_stale

    async def read_current(self, *, patient: bool = False) -> Generation:
        """Read the pointer of our own variant and return the generation that it names, loaded.

        Where loading takes longer than a request may wait it goes on, and what was current before is
        returned, unless the caller is patient.

        Raises:
            NothingPublished: There is no current generation.
            GenerationUnreadable: There is one, but it lacks a part.
            StoreUnavailable: The store did not answer in time, or the first generation is being loaded.
        """
        return (await self._own.read_current(patient=patient)).generation

    async def warm_up(self) -> int:
        """Look up some real users, so that the first request finds all paths walked; return how many.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `read_current`.
        """
        manifest = (await self.read_current()).manifest
        with translate_errors():
            start = await self._client.getrange(self._keys.users(manifest.generation), 0, WARM_BYTES)
            users = decode(cast("bytes", start).rpartition(b" ")[0])[:WARM_USERS]
        at_s = manifest.start_s + manifest.width_s
        found = await asyncio.gather(*(self.look_up(user_id, at_s) for user_id in users))
        await asyncio.gather(*map(self._supplement.see_all, found[:4]))
        return len(users)

    async def answer(
        self,
        user_id: int,
        at_s: int,
        limit: int,
        *,
        variant: str | None = None,
        profile: Fields = NO_FIELDS,
        excluded: Collection[int] = (),
        cursor: Cursor | None = None,
        paged: bool = False,
    ) -> Answer:
        """Answer a user's feed at a time; where the store cannot be read, from memory, and labelled so.

        Args:
            user_id: Whose feed.
            at_s: The time, epoch seconds; with a cursor its own counts.
            limit: How many posts at most.
            variant: Whose lists; ours if None. With a cursor its generation's.
            profile: What is told of the user; it counts where there is no list of theirs.
            excluded: Posts that are not wanted.
            cursor: Where a later page begins; such a page is never from memory, since it must repeat nothing.
            paged: Whether to find out where the next page begins.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            GenerationGone: The cursor's generation is no longer kept.
            NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
        """
        if cursor is not None:
            found = await self._history.look_up_in(
                cursor.generation, cursor.created_at_s, user_id, cursor.at_s
            )
            found = await self._supplement.introduce(found, profile)
            return answer(found, limit, excluded, cursor.start, paged=paged)
        try:
            found = await self.look_up(user_id, at_s, variant)
            if found.is_past:
                past = await self._history.look_up_past(variant or self.variant, user_id, at_s)
                found = past or replace(found, is_past=False)
            if profile:
                found = await self._supplement.introduce(found, profile)
            given = answer(found, limit, excluded, paged=paged)
            if given.is_final:
                return given
            found = await self._supplement.see_all(found)
        except DEGRADABLE_ERRORS as exc:
            snapshot = self._batcher(variant).current.snapshot
            if snapshot is None:
                raise
            found = snapshot.remember(user_id, at_s, exc, profile)
        return answer(found, limit, excluded, paged=paged)

    def look_up(self, user_id: int, at_s: int, variant: str | None = None) -> Awaitable[Lookup]:
        """Read in one round trip what a user's own list needs at a time, all of the current generation.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `read_current`, when awaited.
        """
        if variant is None or variant == self.variant:
            return self._own.look_up(user_id, at_s)
        return self._elsewhere(self._batcher(variant), user_id, at_s)

    def add(self, lookup: PendingLookup) -> None:
        """Look up in the API's own variant, for a caller who does not await."""
        self._own.add(lookup)

    def list_current(self) -> list[tuple[Pointer, Generation]]:
        """Return what is in memory as current, of each variant that was asked for."""
        snapshots = [batcher.current.snapshot for batcher in self._batchers.values()]
        return [(one.pointer, one.generation) for one in snapshots if one is not None]

    async def aclose(self) -> None:
        """End what is still under way."""
        for batcher in (self._own, *self._batchers.values()):
            await batcher.aclose()
        await self._cache.aclose()
        await self._lifeline.close()

    async def _elsewhere(self, batcher: LookupBatcher, user_id: int, at_s: int) -> Lookup:
        found = await batcher.look_up(user_id, at_s)
        self._keep(batcher)
        return found

    def _batcher(self, variant: str | None) -> LookupBatcher:
        """Return a variant's batcher; a new one is held only once something is found in it."""
        name = variant or self.variant
        batcher = self._batchers.get(name)
        return batcher or LookupBatcher(
            name, self._keys, self._lifeline, self._cache, self._wait_s, self.stats
        )

    def _keep(self, batcher: LookupBatcher) -> None:
        if len(self._batchers) < VARIANTS_HELD:
            self._batchers.setdefault(batcher.variant, batcher)

    def _mark_stale(self) -> None:
        for batcher in self._batchers.values():
            batcher.current.mark_stale()
