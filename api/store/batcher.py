"""One variant's look-ups: those of one loop turn leave in one write, all of one generation.

When a look-up's replies are there and no change came with them, the pointer and the takedowns in memory were
right while it was under way (`served.py`); else it is repeated.

Nobody waits without end: for a generation that is being loaded the one before stands in after PATIENCE_S;
where there is none, who waits is told so after `wait_s`. Whatever goes wrong, each who waits hears of it.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from api.contract.keys import Keys
from api.feed import Generation, Lookup, Pointer
from api.store.cache import GenerationCache
from api.store.commands import LookupCommands
from api.store.connection import Replies, RespConnection
from api.store.current import CurrentGeneration
from api.store.errors import LOADING, StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.pending import FutureLookup, PendingLookup, resolve
from api.store.stats import LookupStats

AT_ONCE = 16  # look-ups a write: the store works on them while we read what else has come
REPEATS = 5  # beyond them what was read last is right enough: it was current while the request was
PATIENCE_S = 0.1  # 7,000 posts are loaded in 0.02 s: who comes after a flip mostly sees the new lists


class LookupBatcher:
    """Who waits for an answer of what is current under one variant."""

    def __init__(
        self,
        variant: str,
        keys: Keys,
        lifeline: Lifeline,
        cache: GenerationCache,
        wait_s: float,
        stats: LookupStats,
    ) -> None:
        """Read nothing yet. `wait_s` bounds the wait for a generation that is being loaded."""
        self.variant = variant
        self.served = CurrentGeneration(variant, keys, lifeline, cache)
        self._lifeline = lifeline
        self._wait_s = wait_s
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._waiting: list[PendingLookup] = []
        self._scheduled = False
        self._catching: asyncio.Task[None] | None = None
        self._slow: asyncio.TimerHandle | None = None

    def look_up(self, user_id: int, at_s: int) -> "asyncio.Future[Lookup]":
        """Promise what a user's own list needs at a time.

        The promise may break with NothingPublished, GenerationUnreadable or StoreUnavailable.
        """
        answer: asyncio.Future[Lookup] = self._loop.create_future()
        self.ask(FutureLookup(user_id, at_s, answer))
        return answer

    def ask(self, ask: PendingLookup) -> None:
        """Answer with the other look-ups of this loop turn."""
        self._waiting.append(ask)
        if len(self._waiting) >= AT_ONCE:
            self._flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_turn)

    async def current(self, *, patient: bool = False) -> tuple[Pointer, Generation]:
        """Read the pointer and return it with the generation that it names, loaded.

        Where loading takes longer than anyone may wait it goes on, and what was current before is returned;
        who is patient waits for it.

        Raises:
            NothingPublished, GenerationUnreadable, StoreUnavailable: There is none, or it cannot be read.
        """
        await self.served.read(None if patient else self._wait_s)
        assert self.served.pointer is not None
        assert self.served.view is not None
        return self.served.pointer, self.served.view

    async def aclose(self) -> None:
        """End what is under way."""
        if self._catching is not None:
            self._catching.cancel()
            await asyncio.gather(self._catching, return_exceptions=True)

    def _flush_turn(self) -> None:
        self._scheduled = False
        self._flush()

    def _flush(self) -> None:
        """Send all that wait, if what is current is known; else find out first."""
        link, plan, view = self._lifeline.open, self.served.plan, self.served.view
        try:
            if link is None or plan is None or view is None or self._outdated(link):
                self._catch_up()
            elif self._waiting:
                self._send(link, plan, view)
        except Exception as exc:  # a bug of ours, told to whom it meets: else they would wait for ever
            self._give_up(exc)

    def _outdated(self, link: RespConnection) -> bool:
        """Tell whether the pointer must be read again before anything is sent."""
        if link.tracks:
            return self.served.stale and all(ask.turns <= REPEATS for ask in self._waiting)
        return any(not ask.turns for ask in self._waiting)

    def _send(self, link: RespConnection, plan: LookupCommands, view: Generation) -> None:
        """Send the look-ups of all who wait; one that cannot be written keeps no other from being sent."""
        waiting, self._waiting = self._waiting, []
        bucket_for, n_replies = view.manifest.horizon.bucket_for, 0
        asks: list[PendingLookup] = []
        parts: list[bytes] = []
        for ask in waiting:
            try:
                ask.turns += 1
                ask.bucket_s = bucket_for(ask.at_s)
                packed, ask.n_replies = plan.own(ask.user_id, ask.at_s, ask.bucket_s)
            except Exception as exc:  # as in `_flush`
                ask.failed(exc)
            else:
                asks.append(ask)
                parts.append(packed)
                n_replies += ask.n_replies
        if not asks:
            return
        try:
            link.send(b"".join(parts), n_replies, self._reader_of(asks, view))
        except Exception as exc:
            for ask in asks:
                ask.failed(exc)

    def _reader_of(self, asks: list[PendingLookup], view: Generation) -> Callable[[Replies | None], None]:
        served, n_changes, sent_at = self.served, self.served.n_changes, self._loop.time()
        pointer, reach = served.pointer, served.reach
        assert pointer is not None

        def read(replies: Replies | None) -> None:
            if replies is None:
                return self._repeat(asks)
            self._stats.record(len(asks), self._loop.time() - sent_at)
            changed, end = n_changes != served.n_changes, 0
            for ask in asks:
                start, end = end, end + ask.n_replies
                if changed and ask.turns <= REPEATS:
                    self._repeat([ask])
                    continue
                try:
                    resolve(ask, pointer, view, replies[start:end], reach)
                except Exception as exc:  # as in `_flush`
                    ask.failed(exc)
            return None

        return read

    def _repeat(self, asks: list[PendingLookup]) -> None:
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
                self._give_up(StoreUnavailable(LOADING))
            return
        # Only those who wait already are served by what is read from now on, where nothing is tracked.
        asked = self._waiting[:]
        patience_s = None if self.served.view is None else min(PATIENCE_S, self._wait_s)
        self._catching = asyncio.create_task(self.served.read(patience_s))
        self._catching.add_done_callback(lambda done: self._caught_up(asked, done))
        self._slow = self._loop.call_later(self._wait_s, self._lose_patience)

    def _caught_up(self, asked: list[PendingLookup], done: "asyncio.Task[None]") -> None:
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
