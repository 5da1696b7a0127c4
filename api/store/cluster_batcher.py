"""Batches look-ups over a cluster: each goes to the primary of its user's slot, all of a turn at once.

What is current is tracked at home (`nodes.py`), and a change there is told before home's later replies only.
So with each write goes a question to home, and no look-up counts before home has answered: what was changed
before the look-up was sent is known by then, as it is on a single store. The question is of a key, so that a
home that no longer has the slot says so.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import hiredis

from api.contract.keys import Keys
from api.store.batcher import LookupBatcher, Sent
from api.store.connection import Command, Refusal, Replies, RespConnection, pack
from api.store.errors import StoreUnavailable
from api.store.nodes import ClusterLifeline
from api.store.pending import PendingLookup
from api.store.slots import slot_of


@dataclass(slots=True, eq=False)
class _Group:
    """Look-ups of one write whose users lie on one primary."""

    parts: list[bytes] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    replies: Replies | None = None

    @property
    def n_replies(self) -> int:
        """Return how many replies they have."""
        return sum([lookup.n_replies for *_, lookups in self.sent for lookup in lookups])


class ClusterBatcher(LookupBatcher):
    """The look-ups that wait for an answer of what is current under one variant, in a cluster."""

    def __init__(self, variant: str, keys: Keys, lifeline: ClusterLifeline, *others: Any) -> None:
        """Read nothing yet; arguments as `LookupBatcher`."""
        super().__init__(variant, keys, lifeline, *others)
        self._nodes = lifeline
        self._question: Command = ("EXISTS", keys.states())
        self._packed_question = pack(*self._question)
        self._tasks: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().aclose()

    def _transmit(
        self,
        connection: RespConnection,
        sent: list[Sent],
        lookups: list[PendingLookup],  # noqa: ARG002 - a single store has them in one write
        parts: list[bytes],
    ) -> None:
        """Send look-ups to who has their users; where nobody is connected, connect first."""
        groups = self._group(sent, iter(parts))
        turn = _Turn(self, perf_counter())
        at_home = groups.pop(connection, None)
        question = (self._packed_question, 1, turn.pass_home)
        if at_home is not None:
            packed = b"".join(at_home.parts)
            connection.send((packed, at_home.n_replies, turn.reader_of(at_home)), question)
        elif groups:  # first, so that its answer is there when theirs are: one wake-up, not two
            connection.send(question)
        for to, group in groups.items():
            to.send((b"".join(group.parts), group.n_replies, turn.reader_of(group)))

    def _group(self, sent: list[Sent], parts: Iterator[bytes]) -> dict[RespConnection, _Group]:
        groups: dict[RespConnection, _Group] = {}
        for batcher, snapshot, n_changes, lookups in sent:
            tag, mine = snapshot.commands.tag, dict[RespConnection, list[PendingLookup]]()
            for lookup, part in zip(lookups, parts, strict=False):
                slot = slot_of(tag(lookup.user_id))
                to = self._nodes.find(slot)
                if to is None:
                    self._do(self._connect(batcher, lookup, slot))
                    continue
                if to not in groups:
                    groups[to] = _Group()
                if to not in mine:
                    mine[to] = []
                    groups[to].sent.append((batcher, snapshot, n_changes, mine[to]))
                groups[to].parts.append(part)
                mine[to].append(lookup)
        return groups

    async def _connect(self, batcher: LookupBatcher, lookup: PendingLookup, slot: int) -> None:
        """Send a look-up once there is a connection to who has its user."""
        try:
            await self._nodes.connect_slot(slot)
        except StoreUnavailable as exc:
            lookup.resolve(exc)
        else:
            batcher._repeat([lookup])

    def finish(self, group: _Group, n: int, took_s: float) -> None:
        """Take a group's replies, home having answered; what was sent elsewhere is asked there."""
        replies = group.replies
        assert replies is not None, "they have come"
        self._stats.record(n, took_s)
        if not any(type(reply) is Refusal for reply in replies):
            self._take(group.sent, replies)
            return
        end, parts = 0, iter(group.parts)
        for batcher, snapshot, n_changes, lookups in group.sent:
            for lookup, part in zip(lookups, parts, strict=False):
                start, end = end, end + lookup.n_replies
                share = (batcher, snapshot, n_changes, [lookup])
                if any(map(self._nodes.is_elsewhere, replies[start:end])):
                    self._do(self._ask_where_it_is(share, part))
                else:
                    self._take([share], replies[start:end])

    async def _ask_where_it_is(self, share: Sent, packed: bytes) -> None:
        """Ask for one look-up command by command: of a slot that moves, some keys are here, some there."""
        *_, (lookup,) = share
        try:
            replies = await self._nodes.call(*_unpack(packed), self._question)
        except StoreUnavailable as exc:
            lookup.resolve(exc)
        else:
            self._take([share], replies[:-1])

    def leave_home(self, reply: object) -> None:
        """Take note that home does not answer as home."""
        self._nodes.leave_home(reply)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Turn:
    """What was sent at once: its groups are read as their replies come, but not before home has answered."""

    def __init__(self, batcher: ClusterBatcher, sent_at: float) -> None:
        self._batcher = batcher
        self._sent_at = sent_at
        self._waiting: list[_Group] | None = []  # None: home has answered

    def reader_of(self, group: _Group) -> Any:
        """Return what takes a group's replies."""

        def read(replies: Replies | None) -> None:
            if replies is None:
                self._batcher._lose(group.sent)
                return
            group.replies = replies
            if self._waiting is None:
                self._finish(group)
            else:
                self._waiting.append(group)

        return read

    def pass_home(self, replies: Replies | None) -> None:
        """Take home's answer. Without one, or where its slot moves, everything counts as changed."""
        if replies is not None and type(replies[0]) is Refusal:
            self._batcher.leave_home(replies[0])
        waiting, self._waiting = self._waiting or [], None
        for group in waiting:
            self._finish(group)

    def _finish(self, group: _Group) -> None:
        n = sum([len(lookups) for *_, lookups in group.sent])
        self._batcher.finish(group, n, perf_counter() - self._sent_at)


def _unpack(packed: bytes) -> list[Command]:
    """Return packed commands one by one."""
    reader = hiredis.Reader()
    reader.feed(packed)
    commands: list[Command] = []
    while (command := reader.gets()) is not False:
        commands.append(tuple(command))
    return commands
