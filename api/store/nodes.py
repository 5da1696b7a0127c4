"""A cluster as the API reads it: one supervised connection a primary, and the map of who has which slot.

Keys that are no user's lie in one slot, that of their prefix; the primary that has it is called home.
Pointer, takedowns, pins, experiments are tracked there: docs/decisions/0102 says why nobody sees a mixture.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from api.address import Node, read_nodes
from api.store.connection import Address, Command, Replies, RespConnection, connect
from api.store.errors import StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.slots import N_SLOTS, Range, Redirect, is_passing, read_ranges, read_redirect, slot_of_key

ASK_EVERY_S = 0.2  # who has which slot, while a primary is away
MOST_REDIRECTS = 8  # of one call
PASSING_S = 0.02  # keys of one slot take milliseconds from node to node
_SLOTS: Command = ("CLUSTER", "SLOTS")
_ASKING: Command = ("ASKING",)


class ClusterLifeline:
    """Connections to a cluster's primaries, opened when first needed; stands where a `Lifeline` does.

    Attributes:
        home_slot: That of all keys that are no user's.
    """

    def __init__(self, address: Address, on_change: Callable[[], None], home_slot: int) -> None:
        """Open nothing yet; call `on_change` when a tracked key may have changed."""
        self.home_slot = home_slot
        self._nodes = read_nodes(address.url)
        self._address = address
        self._on_change = on_change
        self._lines: dict[Node, Lifeline] = {}
        self._at: list[Lifeline | None] = []  # by slot; empty while it is not known
        self._reading: asyncio.Task[None] | None = None  # of the map
        self._has_read = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._why: str | None = None  # no node says who has which slot
        self._is_closed = False

    @property
    def connection(self) -> RespConnection | None:
        """Return home's connection; None where there is none at this moment."""
        return self.find(self.home_slot)

    def find(self, slot: int) -> RespConnection | None:
        """Return the connection to the primary of a slot; None where there is none at this moment."""
        line = self._at[slot] if self._at else None
        return None if line is None else line.connection

    async def connect(self) -> RespConnection:
        """Return home's open connection; wait as `connect_slot` does.

        Raises:
            StoreUnavailable: It is not open.
        """
        return await self.connect_slot(self.home_slot)

    async def connect_slot(self, slot: int) -> RespConnection:
        """Return the open connection to the primary of a slot; wait for the first attempt to open it.

        Raises:
            StoreUnavailable: It is not open, or nobody has the slot.
        """
        return await (await self._line_of(slot)).connect()

    async def call(self, *commands: Command) -> Replies:
        """Send commands, each to who has its key, all at once, and return their replies in order.

        What is to be tracked is asked of home, all of a call.

        Raises:
            StoreUnavailable: A node did not answer in time, or slots move again and again.
        """
        if commands[0][0] == "CLIENT":
            return await self._call_home(commands)
        return await self.call_at([slot_of_key(_key_of(command)) for command in commands], commands)

    async def call_then(self, last: Command, *commands: Command) -> Replies:
        """Send commands, and the last one once the others have their replies."""
        replies = await self.call(*commands)
        return [*replies, *await self.call(last)]

    async def call_at(self, slots: list[int], commands: Iterable[Command]) -> Replies:
        """Send commands that have keys of given slots; raises as `call`."""
        every = list(commands)
        replies: Replies = [None] * len(every)
        todo: dict[int, Redirect | None] = dict.fromkeys(range(len(every)))
        for _ in range(MOST_REDIRECTS):
            places: dict[tuple[Lifeline, bool], list[int]] = {}
            for place, told in todo.items():
                asked = told is not None and not told.is_moved
                line = self._open(told.node) if told and asked else await self._line_of(slots[place])
                places.setdefault((line, asked), []).append(place)
            sent = [
                self._call_line(line, [every[place] for place in some], asking=asked)
                for (line, asked), some in places.items()
            ]
            found = await asyncio.gather(*sent, return_exceptions=True)
            todo = self._sort_out(places, found, slots, replies)
            if not todo:
                return replies
            if None in todo.values():
                self.refresh()
                await asyncio.sleep(PASSING_S)
        raise StoreUnavailable(f"its slots move: {replies[next(iter(todo))]}")

    def _sort_out(
        self,
        places: dict[tuple[Lifeline, bool], list[int]],
        found: list[Replies | BaseException],
        slots: list[int],
        replies: Replies,
    ) -> dict[int, Redirect | None]:
        """Put in place what was replied; return the places to be asked again, and where: None: as before.

        Raises:
            StoreUnavailable: Who still has a slot did not answer.
        """
        todo: dict[int, Redirect | None] = {}
        for ((line, _), some), of_line in zip(places.items(), found, strict=True):
            if isinstance(of_line, BaseException):
                if not isinstance(of_line, StoreUnavailable) or line in [self._at[slots[p]] for p in some]:
                    raise of_line
                todo |= dict.fromkeys(some)  # it was a primary when it was asked
                continue
            for place, reply in zip(some, of_line, strict=True):
                replies[place] = reply
                told = self.follow(reply)
                if told is not None or is_passing(reply):
                    todo[place] = told
        return todo

    def follow(self, reply: object) -> Redirect | None:
        """Take note of where a reply sends us; return that, or None where it is none that does."""
        told = read_redirect(reply, self._nodes.places[0])
        if told is not None and told.is_moved and self._at:
            if told.node not in self._lines:
                self.refresh()
            self._put(told.slot, self._open(told.node))
        return told

    def is_elsewhere(self, reply: object) -> bool:
        """Say whether a reply is that a slot is moved or being moved, and take note of where."""
        return self.follow(reply) is not None or is_passing(reply)

    def leave_home(self, reply: object) -> None:
        """Take note that home refused what it is asked as home: what is current may have changed unseen."""
        self.follow(reply)
        self._on_change()

    def refresh(self) -> None:
        """Begin to read who has which slot, unless that is under way."""
        if self._reading is None and not self._is_closed:
            self._has_read.clear()
            self._reading = asyncio.create_task(self._read_map())
            self._reading.add_done_callback(self._stop_reading)

    async def aclose(self) -> None:
        """End all connections and stop trying."""
        self._is_closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await asyncio.gather(*self._closing, *(line.aclose() for line in self._lines.values()))

    async def _call_home(self, commands: tuple[Command, ...]) -> Replies:
        """Send commands to home; what home no longer has, or not yet, counts as changed."""
        for _ in range(MOST_REDIRECTS):
            replies = await (await self._line_of(self.home_slot)).call(*commands)
            told = [self.follow(reply) for reply in replies]
            if any(one is not None and one.is_moved for one in told) or any(map(is_passing, replies)):
                self._on_change()
                await asyncio.sleep(PASSING_S)
                continue
            for place, one in enumerate(told):
                if one is not None:  # the key is on its way: it is read, and not tracked
                    self._on_change()
                    (replies[place],) = await self._call_line(
                        self._open(one.node), [commands[place]], asking=True
                    )
            return replies
        raise StoreUnavailable("its slots move again and again")

    async def _call_line(self, line: Lifeline, commands: list[Command], *, asking: bool) -> Replies:
        if not asking:
            return await line.call(*commands)
        replies = await line.call(*(part for command in commands for part in (_ASKING, command)))
        return replies[1::2]

    async def _line_of(self, slot: int) -> Lifeline:
        """Return the line to the primary of a slot; read the map first where it is not known.

        Raises:
            StoreUnavailable: It cannot be read, or nobody has the slot.
        """
        if not self._at and not self._is_closed:
            self.refresh()
            if self._why is None:
                await self._has_read.wait()
        line = self._at[slot] if self._at else None
        if line is None:
            raise StoreUnavailable(self._why or f"nobody in the cluster has slot {slot}")
        return line

    def _stop_reading(self, _: object) -> None:
        self._reading = None
        self._has_read.set()

    async def _read_map(self) -> None:
        """Read who has which slot, again and again while a primary is away."""
        while True:
            try:
                ranges = await self._ask_for_ranges()
            except StoreUnavailable as exc:
                self._why = str(exc)
            else:
                self._why = None
                self._take(ranges)
            self._has_read.set()
            if self._why is None and not any(line.is_away for line in self._lines.values()):
                return
            await asyncio.sleep(ASK_EVERY_S)

    async def _ask_for_ranges(self) -> list[Range]:
        """Ask a node after another, those first to which we are connected.

        Raises:
            StoreUnavailable: None says it.
        """
        why: object = "it has no nodes"
        for node in sorted({*self._lines, *self._nodes.places}, key=lambda node: not self._is_open(node)):
            try:
                (reply,) = await self._ask(node)
                ranges = [*read_ranges(reply, node)]
            except (OSError, ValueError, TypeError) as exc:  # an error reply is no list of ranges
                why = exc
                continue
            if ranges:
                return ranges
        raise StoreUnavailable(why)

    async def _ask(self, node: Node) -> Replies:
        line = self._lines.get(node)
        if line is not None and line.connection is not None:
            return await line.connection.call(_SLOTS)
        ended = replace(self._address, url=self._nodes.url_of(node))
        connection = await connect(ended, lambda: None, lambda: None)
        try:
            return await connection.call(_SLOTS)
        finally:
            connection.drop("it was asked once")

    def _is_open(self, node: Node) -> bool:
        line = self._lines.get(node)
        return line is not None and line.connection is not None

    def _take(self, ranges: list[Range]) -> None:
        """Take the map; connections to who is a primary no longer end."""
        if not self._at:
            self._at = [None] * N_SLOTS
        home = self._at[self.home_slot]
        for first, last, primary, _ in ranges:
            self._at[first : last + 1] = [self._open(primary)] * (last + 1 - first)
        if self._at[self.home_slot] is not home:
            self._on_change()
        primaries = {one.primary for one in ranges}
        for node in self._lines.keys() - primaries:
            task = asyncio.create_task(self._lines.pop(node).aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _put(self, slot: int, line: Lifeline) -> None:
        if self._at[slot] is not line:
            self._at[slot] = line
            if slot == self.home_slot:
                self._on_change()

    def _open(self, node: Node) -> Lifeline:
        """Return the line to a node; it connects when somebody waits for it."""
        if node not in self._lines:
            address = replace(self._address, url=self._nodes.url_of(node))
            self._lines[node] = Lifeline(address, partial(self._note_change, node))
        return self._lines[node]

    def _note_change(self, node: Node) -> None:
        """Take note that tracked keys of a node may have changed, or its connection was lost or is back."""
        line = self._lines.get(node)
        if line is None:
            return
        if self._at and self._at[self.home_slot] is line:
            self._on_change()
        if line.connection is None:
            self.refresh()


def _key_of(command: Command) -> str | bytes:
    """Return the first key of a command as we use them."""
    with suppress(IndexError):
        key = command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]
        if not isinstance(key, int):
            return key
    raise ValueError(f"{command[0]!r} has no key")
