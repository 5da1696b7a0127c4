"""What is current under one variant, as it was last read: pointer, takedowns, and the generation in memory.

The pointer and the takedowns are read when they change, not per request: the server is asked to track both
keys and tells of a change on the same connection, before any reply that it gives later (RESP3, client
tracking). A server that does not track, or does not let us ask for it, is read before every write instead.
"""

import asyncio
import logging
from typing import NamedTuple

from api.contract.history import NOWHERE, Reach
from api.contract.keys import Keys
from api.contract.profile import Fields, segment
from api.feed import Generation, Lookup, Pointer
from api.store.cache import GenerationCache, drop_posts
from api.store.commands import LookupCommands
from api.store.connection import ConnectionLost, Replies, RespConnection
from api.store.errors import LOADING, GenerationTooNew, NothingPublished, StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.pending import check_reply

TRACK = ("CLIENT", "CACHING", "YES")  # the next command's keys are tracked
FIELDS = ("generation", "promoted_at", "since", "past", "previous")  # of `current`, see `keys.py`

log = logging.getLogger(__name__)


class Named(NamedTuple):
    """What the store names: current, first promotion, first backfilled second, previous, taken down."""

    pointer: Pointer
    first_s: int | None
    past_s: int | None
    previous: int | None
    taken_down: frozenset[int]


class CurrentGeneration:
    """What is current under a variant.

    Attributes:
        pointer: What is named; None before the first reading.
        view: The generation that it names, without what is taken down.
        plan: What to ask of that generation.
        reach: The times that another generation may answer.
        n_changes: Differs from before when what stands here may have changed, or has.
    """

    def __init__(self, variant: str, keys: Keys, lifeline: Lifeline, cache: GenerationCache) -> None:
        """Read nothing yet."""
        self.pointer: Pointer | None = None
        self.view: Generation | None = None
        self.plan: LookupCommands | None = None
        self.reach = NOWHERE
        self.n_changes = 0
        self._variant = variant
        self._keys = keys
        self._lifeline = lifeline
        self._cache = cache
        self._whole: Generation | None = None
        self._taken_down: frozenset[int] = frozenset()
        self._refused: Pointer | None = None
        self._stale = True
        self._n_asking = 0  # readings of pointer and takedowns under way: what was read before is stale
        self._n_reads = 0
        self._served_by = 0

    @property
    def stale(self) -> bool:
        """Say whether pointer and takedowns must be read before anything is answered.

        Not while a generation that was named is still being loaded: the one before may answer until then,
        without what is taken down by now.
        """
        return self._stale or self._n_asking > 0

    def change(self) -> None:
        """Take note that the pointer or the takedowns may have changed."""
        self._stale = True
        self.n_changes += 1

    def remember(self, user_id: int, at_s: int, why: Exception, profile: Fields) -> Lookup:
        """Return what memory has when the store cannot be read: popular posts, nothing of the user.

        Raises:
            Exception: `why` itself, if nothing was ever loaded.
        """
        if self.pointer is None or self.view is None:
            raise why
        manifest = self.view.manifest
        return Lookup(
            user_id=user_id,
            at_s=at_s,
            bucket_s=manifest.horizon.bucket_for(at_s),
            pointer=self.pointer,
            generation=self.view,
            own=(),
            segment=segment(manifest.segment_by, profile),
            hidden=frozenset(),
            sees_all=True,
            degraded="store" if isinstance(why, StoreUnavailable) else "generation",
        )

    async def read(self, wait_s: float | None = None) -> None:
        """Read the pointer and the takedowns now, and load what is named.

        Args:
            wait_s: Longest wait for the loading, which goes on all the same: until it is done, what was
                current before is served. None waits for its end.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: There is none, or it cannot be read.
        """
        self._n_reads += 1
        turn = self._n_reads
        for last in (False, True):
            try:
                await self._take(await self._lifeline.connect(), turn, wait_s)
            except ConnectionLost as exc:
                if last:
                    raise StoreUnavailable(exc) from exc
            else:
                return

    async def _take(self, link: RespConnection, turn: int, wait_s: float | None) -> None:
        self._stale = False  # a change that comes with the replies makes it true again
        try:
            named = await self._named(link)
            self._hide(named.taken_down, turn)
            async with asyncio.timeout(wait_s):
                pointer, generation = await self._load(named)
        except TimeoutError as exc:
            if self.view is None:
                self.change()
                raise StoreUnavailable(LOADING) from exc
            self._cache.then(named.pointer, self.change)
            return
        except BaseException as exc:
            self.change()  # what could not be read, or is not there, or nobody waited for, must be read again
            if isinstance(exc, ValueError):
                raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc
            raise
        if turn > self._served_by:  # else a later reading was loaded sooner
            self._served_by = turn
            as_of_s = generation.manifest.as_of_s
            self.reach = Reach.of(named.first_s, pointer.promoted_at_s, named.past_s, as_of_s)
            self._serve(pointer, generation, named.taken_down)

    async def _load(self, named: Named) -> tuple[Pointer, Generation]:
        """Return what is named as current; where it is too new for us, what we served or the previous one.

        Raises:
            GenerationTooNew: It is, and there is no other.
        """
        pointer = named.pointer
        try:
            return pointer, self._held(pointer) or await self._cache.load(pointer)
        except GenerationTooNew as exc:
            if self._refused != pointer:
                self._refused = pointer
                log.warning("generation.refused", extra={"generation": pointer.generation, "why": str(exc)})
            if self.pointer is not None and self._whole is not None:
                return self.pointer, self._whole
            if named.previous is None:
                raise
        older = await self._cache.load(Pointer(named.previous, pointer.promoted_at_s))
        return Pointer(named.previous, older.manifest.created_at_s), older

    async def _named(self, link: RespConnection) -> Named:
        """Read what is current; until it is known, nobody is answered from what was."""
        self._n_asking += 1
        try:
            (generation, *fields), taken = map(check_reply, await self._ask(link))
        finally:
            self._n_asking -= 1
        if generation is None:
            raise NothingPublished(self._variant)
        promoted_at_s, first_s, past_s, previous = (int(field) if field else None for field in fields)
        pointer = Pointer(int(generation), promoted_at_s or 0)
        return Named(pointer, first_s, past_s, previous, frozenset(map(int, taken)))

    def _hide(self, taken: frozenset[int], turn: int) -> None:
        """Take posts out of what is served while another generation is still being loaded."""
        if self.view is not None and turn > self._served_by and not taken <= self._taken_down:
            self.n_changes += 1
            self.view, self._taken_down = drop_posts(self.view, taken), self._taken_down | taken

    async def _ask(self, link: RespConnection) -> Replies:
        pointer = ("HMGET", self._keys.current(self._variant), *FIELDS)
        taken = ("SMEMBERS", self._keys.takedowns())
        if link.tracks:
            return (await link.call(TRACK, pointer, TRACK, taken))[1::2]
        return await link.call(pointer, taken)

    def _held(self, pointer: Pointer) -> Generation | None:
        """Return what is served, if a pointer names it: of many variants the shelf holds but a few."""
        return self._whole if pointer == self.pointer else None

    def _serve(self, pointer: Pointer, generation: Generation, taken: frozenset[int]) -> None:
        if pointer == self.pointer and taken == self._taken_down and self.plan is not None:
            return
        self.n_changes += 1
        self.pointer, self._taken_down = pointer, taken
        self._whole, self.view = generation, drop_posts(generation, taken)
        self.plan = LookupCommands(self._keys, generation.manifest)
