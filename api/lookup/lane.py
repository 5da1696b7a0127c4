"""One variant's look-ups: those of one loop turn leave in one write, all of one generation.

The pointer and the takedowns are read when they change, not per request: the server is asked to track both
keys and tells of a change on the same connection, before any reply that it gives later (RESP3, client
tracking). So when a look-up's replies are there and no change came with them, the pointer and the takedowns
in memory were right while it was under way; else it is repeated. A server that does not track, or does not
let us ask for it, is read before every write instead.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from api.contract.keys import Keys
from api.feed import Generation, LookUp, Pointer
from api.lookup.ask import Ask, Promise, settle, sound
from api.lookup.faults import NothingPublished, StoreUnavailable
from api.lookup.lifeline import Lifeline
from api.lookup.link import Link, LinkLost, Replies
from api.lookup.meter import Meter
from api.lookup.plan import Plan
from api.lookup.shelf import Loader, without

REPEATS = 5  # beyond them what was read last is right enough: it was current while the request was
TRACK = ("CLIENT", "CACHING", "YES")  # the next command's keys are tracked


class Lane:
    """What is current under one variant, and who waits for an answer of it."""

    def __init__(
        self, variant: str, keys: Keys, lifeline: Lifeline, loader: Loader, wait_s: float, meter: Meter
    ) -> None:
        """Read nothing yet. `wait_s` bounds the wait for a generation that is being loaded."""
        self.pointer: Pointer | None = None
        self.view: Generation | None = None  # the current generation without what is taken down
        self._plan: Plan | None = None
        self._taken_down: frozenset[int] = frozenset()
        self.variant = variant
        self._keys = keys
        self._lifeline = lifeline
        self._loader = loader
        self._wait_s = wait_s
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Ask] = []
        self._scheduled = False
        self._catching: asyncio.Task[None] | None = None
        self._slow: asyncio.TimerHandle | None = None
        self._stale = True
        self._n_asking = (
            0  # readings of pointer and takedowns that are under way: what was read before is stale
        )
        self._n_changes = 0
        self._n_reads = 0
        self._served_by = 0

    def look_up(self, user_id: int, at_s: int) -> "asyncio.Future[LookUp]":
        """Promise what a user's own list needs at a time.

        The promise may break with NothingPublished, GenerationUnreadable or StoreUnavailable.
        """
        answer: asyncio.Future[LookUp] = self._loop.create_future()
        self.ask(Promise(user_id, at_s, answer))
        return answer

    def ask(self, ask: Ask) -> None:
        """Answer with the other look-ups of this loop turn."""
        self._waiting.append(ask)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    async def current(self) -> tuple[Pointer, Generation]:
        """Read the pointer and return it with the generation that it names, loaded.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: There is none, or it cannot be read.
        """
        await self._read()
        assert self.pointer is not None
        assert self.view is not None
        return self.pointer, self.view

    async def opened(self, generation: Generation) -> Generation:
        """Return any generation without what is taken down now.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        await self._read()
        return without(generation, self._taken_down)

    def change(self) -> None:
        """Take note that the pointer or the takedowns may have changed."""
        self._stale = True
        self._n_changes += 1

    async def rest(self) -> None:
        """End what is under way."""
        if self._catching is not None:
            self._catching.cancel()
            await asyncio.gather(self._catching, return_exceptions=True)

    def _flush(self) -> None:
        """Send all that wait, if what is current is known; else find out first."""
        self._scheduled = False
        link, plan, view = self._lifeline.open, self._plan, self.view
        if link is None or plan is None or view is None or self._outdated(link):
            self._catch_up()
            return
        asks, self._waiting = self._waiting, []
        bucket_for, n_replies, parts = view.manifest.horizon.bucket_for, 0, []
        for ask in asks:
            ask.turns += 1
            ask.bucket_s = bucket_for(ask.at_s)
            packed, ask.n_replies = plan.own(ask.user_id, ask.at_s, ask.bucket_s)
            parts.append(packed)
            n_replies += ask.n_replies
        if asks:
            link.send(b"".join(parts), n_replies, self._reader_of(asks, self._n_changes))

    def _outdated(self, link: Link) -> bool:
        """Tell whether the pointer must be read again before anything is sent."""
        if link.tracks:
            return (self._stale or self._n_asking > 0) and all(ask.turns <= REPEATS for ask in self._waiting)
        return any(not ask.turns for ask in self._waiting)

    def _reader_of(self, asks: list[Ask], n_changes: int) -> Callable[[Replies | None], None]:
        pointer, view = self.pointer, self.view
        assert pointer is not None
        assert view is not None
        sent_at = self._loop.time()

        def read(replies: Replies | None) -> None:
            if replies is None:
                return self._repeat(asks)
            self._meter.looked_up(len(asks), self._loop.time() - sent_at)
            changed, end = n_changes != self._n_changes, 0
            for ask in asks:
                start, end = end, end + ask.n_replies
                if changed and ask.turns <= REPEATS:
                    self._repeat([ask])
                else:
                    settle(ask, pointer, view, replies[start:end])
            return None

        return read

    def _repeat(self, asks: list[Ask]) -> None:
        """Let some wait again; a lost connection is tried once more."""
        if self._lifeline.open is None:
            for ask in [ask for ask in asks if ask.lost]:
                ask.failed(StoreUnavailable("the connection was lost twice"))
            asks = [ask for ask in asks if not ask.lost]
            for ask in asks:
                ask.lost = True
        for ask in asks:
            self.ask(ask)

    def _catch_up(self) -> None:
        """Read what is current, then flush; nobody waits longer than `wait_s` for it."""
        if self._catching is not None:
            if self._slow is None:
                self._give_up(StoreUnavailable("a generation is still being loaded"))
            return
        # Only those who wait already are served by what is read from now on, where nothing is tracked.
        asked = self._waiting[:]
        self._catching = asyncio.create_task(self._read())
        self._catching.add_done_callback(lambda done: self._caught_up(asked, done))
        self._slow = self._loop.call_later(self._wait_s, self._lose_patience)

    def _caught_up(self, asked: list[Ask], done: "asyncio.Task[None]") -> None:
        self._catching = None
        if self._slow is not None:
            self._slow.cancel()
        if done.cancelled():
            self._give_up(StoreUnavailable("we are stopping"))
            return
        failure = done.exception()
        if failure is not None:
            self._give_up(cast("Exception", failure))
        for ask in asked:
            ask.turns += 1
        if self._waiting:
            self._flush()

    def _lose_patience(self) -> None:
        self._slow = None
        self._catch_up()

    def _give_up(self, why: Exception) -> None:
        asks, self._waiting = self._waiting, []
        for ask in asks:
            ask.failed(why)

    async def _read(self) -> None:
        """Read the pointer and the takedowns now, and load what is named."""
        self._n_reads += 1
        turn = self._n_reads
        for last in (False, True):
            try:
                await self._take(await self._lifeline.link(), turn)
            except LinkLost as exc:
                if last:
                    raise StoreUnavailable(exc) from exc
            else:
                return

    async def _take(self, link: Link, turn: int) -> None:
        self._stale = False  # a change that comes with the replies makes it true again
        try:
            pointer, taken_down = await self._named(link)
            self._hide(taken_down, turn)
            generation = await self._loader.load(pointer)
        except Exception as exc:
            self.change()  # what could not be read, or is not there, must be read again
            if isinstance(exc, ValueError):
                raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc
            raise
        if turn > self._served_by:  # else a later reading was loaded sooner
            self._served_by = turn
            self._serve(pointer, generation, taken_down)

    async def _named(self, link: Link) -> tuple[Pointer, frozenset[int]]:
        """Read what is current; until it is known, nobody is answered from what was."""
        self._n_asking += 1
        try:
            named, taken = map(sound, await self._ask(link))
        finally:
            self._n_asking -= 1
        return self._pointed(named), frozenset(map(int, taken))

    def _hide(self, taken: frozenset[int], turn: int) -> None:
        """Take posts out of what is served while another generation is still being loaded."""
        if self.view is not None and turn > self._served_by and not taken <= self._taken_down:
            self._n_changes += 1
            self.view, self._taken_down = without(self.view, taken), self._taken_down | taken

    async def _ask(self, link: Link) -> Replies:
        pointer = ("HMGET", self._keys.current(self.variant), "generation", "promoted_at")
        taken = ("SMEMBERS", self._keys.takedowns())
        if link.tracks:
            return (await link.call(TRACK, pointer, TRACK, taken))[1::2]
        return await link.call(pointer, taken)

    def _pointed(self, named: Sequence[bytes | None]) -> Pointer:
        generation, promoted_at = named
        if generation is None:
            raise NothingPublished(self.variant)
        return Pointer(int(generation), int(promoted_at or 0))

    def _serve(self, pointer: Pointer, generation: Generation, taken: frozenset[int]) -> None:
        if pointer == self.pointer and taken == self._taken_down and self._plan is not None:
            return
        self._n_changes += 1
        self.pointer, self._taken_down = pointer, taken
        self.view = without(generation, taken)
        self._plan = Plan(self._keys, generation.manifest)
