"""The store as the API reads it: every Redis read begins here.

The hot path is one round trip, shared with all requests of the same loop turn (`api/store/batcher.py`). Only
an answer from below the user's own list, or a page of an older generation (`history.py`), needs more.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, cast

from redis.asyncio import Redis

from api.contract.codec import decode
from api.contract.facets import Filter
from api.contract.ids import unquote
from api.contract.keys import Keys
from api.contract.profile import Fields, segment, signature
from api.cursor import Cursor
from api.feed import Answer, answer
from api.found import Generation, Lookup, Pointer
from api.similar import SimilarPosts, choose_similar
from api.store.asked import Desk
from api.store.batcher import LookupBatcher
from api.store.cache import GenerationCache, Shelf, translate_errors
from api.store.cluster_batcher import ClusterBatcher
from api.store.cluster_events import ClusterJournal
from api.store.commands import LookupCommands, check_reply, read_hidden, read_topics
from api.store.connection import Address
from api.store.errors import DEGRADABLE_ERRORS
from api.store.events import Journal
from api.store.experiments import Experiments
from api.store.exposures import Exposures
from api.store.history import HistoryReader
from api.store.lifeline import Lifeline, Line
from api.store.nodes import ClusterLifeline
from api.store.pending import PendingLookup
from api.store.similar import SimilarReader
from api.store.slots import slot_of_key
from api.store.stats import LookupStats
from api.store.texts import SharedTexts

NO_FIELDS: Fields = {}
WARM_BYTES, WARM_USERS = 4096, 256
VARIANTS_HELD = 64  # more names than anyone publishes; a name that is not published is not held


class Store:
    """Reads for one event loop. `shelf` may outlive it: it holds plain values only."""

    def __init__(
        self,
        client: Redis,
        address: Address,
        keys: Keys,
        variant: str,
        shelf: Shelf,
        wait_s: float = 1.0,
        *,
        experiments: bool = True,
        exposures_mb: int = 256,
        overlay_places: int = 0,
        texts: SharedTexts | None = None,
        n_copies: int = 0,
    ) -> None:
        """Open nothing.

        `wait_s` bounds how long a request waits for a generation that is being loaded; `experiments` says
        whether they decide anything, `exposures_mb` bounds what their records may take in the store,
        `overlay_places` is how far what a user did lately may move a post; 0: nothing is moved, or counted;
        `texts` is where the processes of an address share posts; `n_copies` is how many replicas must have
        what is acknowledged.
        """
        self.variant = variant
        self.stats = LookupStats()
        how: dict[str, Any] = {"counts_sessions": overlay_places > 0, "n_copies": n_copies, "wait_s": wait_s}
        self.journal = (
            ClusterJournal(client, keys, address, **how) if keys.in_cluster else Journal(client, keys, **how)
        )
        self.desk = Desk(client, keys)
        self._client = client
        self._keys = keys
        self._wait_s = wait_s
        self.experiments = Experiments(is_on=experiments)
        self._overlay_places = overlay_places
        self._lifeline: Line = (
            ClusterLifeline(address, self._mark_stale, slot_of_key(keys.states()))
            if keys.in_cluster
            else Lifeline(address, self._mark_stale)
        )
        self.exposures = Exposures(self._lifeline, keys, exposures_mb)
        self._cache = GenerationCache(client, keys, shelf, texts)
        self._history = HistoryReader(self._lifeline, keys, self._cache, wait_s)
        self._similar = SimilarReader(self._lifeline, keys, wait_s)
        self._batchers: dict[str, LookupBatcher] = {}
        self._own = self._batchers[variant] = self._make_batcher(variant)

    async def read_current(self, *, patient: bool = False) -> Generation:
        """Read the pointer of our own variant and return the generation that it names, loaded.

        Where loading takes longer than a request may wait it goes on, and what was current before is
        returned, unless the caller is patient.

        Raises:
            NothingPublished: There is no current generation.
            GenerationUnreadable: There is one, but it lacks a part.
            StoreUnavailable: The store did not answer in time, or the first generation is being loaded.
        """
        return (await self._own.current.read(None if patient else self._wait_s)).generation

    async def warm_up(self) -> int:
        """Look up some real users, so that the first request finds all paths walked; return how many.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `read_current`.
        """
        manifest = (await self.read_current()).manifest
        with translate_errors():
            start = await self._client.getrange(self._keys.users(manifest.generation), 0, WARM_BYTES)
            quoted = cast("bytes", start).decode(errors="replace").split(" ")[:-1]
            users = list(map(unquote, quoted[:WARM_USERS]))
        at_s = manifest.start_s + manifest.width_s
        found = await asyncio.gather(*(self.look_up(user_id, at_s) for user_id in users))
        await asyncio.gather(*map(self.see_all, found[:4]))
        return len(users)

    async def answer(
        self,
        user_id: str,
        at_s: int,
        limit: int,
        *,
        variant: str | None = None,
        profile: Fields = NO_FIELDS,
        excluded: Collection[str] = (),
        cursor: Cursor | None = None,
        paged: bool = False,
        wish: Filter | None = None,
        is_now: bool = False,
    ) -> Answer:
        """Answer a user's feed at a time; where the store cannot be read, from memory, and labelled so.

        Args:
            user_id: Whose feed.
            at_s: The time, epoch seconds; with a cursor its own counts.
            limit: How many posts at most.
            variant: Whose lists; ours if None. With a cursor its generation's.
            profile: What is told of the user; it counts where there is no list of theirs.
            excluded: Ids of posts that are not wanted.
            cursor: Where a later page begins; such a page is never from memory, since it must repeat nothing.
            paged: Whether to find out where the next page begins.
            wish: Which posts are wanted by their columns; None: all.
            is_now: Whether nobody asked for this time, so that what the user did lately counts.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            NotFiltered: The filter names a column that the generation has no facets of.
            GenerationGone: The cursor's generation is no longer kept.
            NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
        """
        if cursor is not None:
            found = await self._history.look_up_in(
                cursor.generation, cursor.created_at_s, user_id, cursor.at_s, wish
            )
            found = await self._introduce(found, profile)
            return _choose(found, limit, excluded, cursor, paged=paged, wish=wish)
        try:
            found = await self.look_up(user_id, at_s, variant, is_now=is_now)
            if found.is_past:
                past = await self._history.look_up_past(variant or self.variant, user_id, at_s, wish)
                found = past or replace(found, is_past=False)
            found = await self._introduce(found, profile)
            given = _choose(found, limit, excluded, paged=paged, wish=wish)
            if given.is_final:
                return given
            found = await self.see_all(found, wish)
        except DEGRADABLE_ERRORS as exc:
            snapshot = self._find_batcher(variant).current.snapshot
            if snapshot is None:
                raise
            found = snapshot.remember(user_id, at_s, exc, profile)
        return _choose(found, limit, excluded, paged=paged, wish=wish)

    async def answer_similar(
        self, post_id: str, limit: int, user_id: str | None, at_s: int, variant: str | None = None
    ) -> SimilarPosts:
        """Answer the posts of the current generation that are like a post, without what a user has seen.

        Args:
            post_id: Which post.
            limit: How many posts at most.
            user_id: Who asks; None: nobody in particular, who has seen nothing.
            at_s: By when what they saw counts, epoch seconds.
            variant: Whose generation; ours if None.

        Raises:
            PostUnknown: The generation has no such post.
            NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
        """
        batcher = self._find_batcher(variant)
        found = await self._similar.look_up(batcher.current, post_id, user_id, at_s)
        self._hold(batcher)
        return choose_similar(found, limit)

    async def look_up(
        self, user_id: str, at_s: int, variant: str | None = None, *, is_now: bool = False
    ) -> Lookup:
        """Read in one round trip what a user's own list needs at a time, all of the current generation.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: As `read_current`.
        """
        batcher = self._find_batcher(variant)
        found = await batcher.look_up(user_id, at_s, is_now=is_now)
        self._hold(batcher)
        return found

    def add(self, lookup: PendingLookup) -> None:
        """Look up in the API's own variant, or in an arm's, for a caller who does not await."""
        self._own.add(lookup)

    def list_current(self) -> list[tuple[Pointer, Generation]]:
        """Return what is in memory as current, of each variant that was asked for."""
        snapshots = [batcher.current.snapshot for batcher in self._batchers.values()]
        return [(one.pointer, one.generation) for one in snapshots if one is not None]

    async def aclose(self) -> None:
        """End what is still under way; write what has been recorded."""
        await self.exposures.aclose()
        await self.journal.aclose()
        for batcher in self._batchers.values():
            await batcher.aclose()
        await self._cache.aclose()
        await self._lifeline.aclose()

    async def see_all(self, found: Lookup, wish: Filter | None = None) -> Lookup:
        """Return the look-up with what fallback lists need: segment, all posts seen by its time, topics.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        if found.sees_all:
            return found
        commands = LookupCommands(self._keys, found.generation.manifest)
        own = commands.layout.ask_segment(commands.list_key(found.user_id))
        seen = commands.list_seen(found.user_id, found.at_s)
        topics = commands.list_topics(found.user_id, wish)
        with translate_errors():
            stored, *replies = await self._lifeline.call(own, *seen, *topics)
            # Of a value that is not ours nothing is told.
            name = None if found.degraded else commands.layout.read_segment(check_reply(stored))
            hidden = found.hidden | read_hidden(replies[: len(seen)], found.generation, found.at_s)
            ranked = read_topics(replies[len(seen) :])
        return replace(found, segment=name or found.segment, hidden=hidden, topics=ranked, sees_all=True)

    async def _introduce(self, found: Lookup, profile: Fields) -> Lookup:
        """Return the look-up with what a profile gives a user who has no list: its list, its segment.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            StoreUnavailable: The store did not answer in time.
        """
        if not profile:
            return found
        manifest = found.generation.manifest
        name = signature(manifest.profile, profile)
        if found.own:
            return found
        key = self._keys.profile(manifest.generation, name)
        with translate_errors():
            ranked = decode(check_reply((await self._lifeline.call(("HGET", key, str(found.bucket_s))))[0]))
        return replace(found, segment=found.segment or segment(manifest.segment_by, profile), profile=ranked)

    def _hold(self, batcher: LookupBatcher) -> None:
        if len(self._batchers) < VARIANTS_HELD:
            self._batchers.setdefault(batcher.variant, batcher)

    def _find_batcher(self, variant: str | None) -> LookupBatcher:
        """Return a variant's batcher; a new one is held only once something is found in it."""
        name = variant or self.variant
        return self._batchers.get(name) or self._make_batcher(name, self._own)

    def _find_arm(self, variant: str) -> LookupBatcher:
        """Return the batcher of an arm's variant, and hold it: experiments name few."""
        return self._batchers.setdefault(variant, self._find_batcher(variant))

    def _make_batcher(self, variant: str, home: LookupBatcher | None = None) -> LookupBatcher:
        shared = (self._cache, self._wait_s, self.stats, self.experiments, self._overlay_places)
        others = (*shared, self._find_arm, home)
        if isinstance(self._lifeline, ClusterLifeline):
            return ClusterBatcher(variant, self._keys, self._lifeline, *others)
        return LookupBatcher(variant, self._keys, self._lifeline, *others)

    def _mark_stale(self) -> None:
        for batcher in self._batchers.values():
            batcher.current.mark_stale()


def _choose(
    found: Lookup,
    limit: int,
    excluded: Collection[str],
    page: Cursor | None = None,
    *,
    paged: bool,
    wish: Filter | None,
) -> Answer:
    """Choose, without posts given by their ids, among those that a filter leaves, from a cursor's place on.

    Raises:
        NotFiltered: The filter names a column that the generation has no facets of.
    """
    wanted = None if wish is None else found.generation.find_wanted(wish)
    out = found.generation.numbers_of(excluded)
    start, before = (0, None) if page is None else (page.start, page.pinned)
    return answer(found, limit, out, start, paged=paged, wanted=wanted, pinned_before=before)
