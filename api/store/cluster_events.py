"""What the API writes in a cluster: an event is recorded at home, then hidden from its user where they lie.

The two are one step on a single store. Here who is killed in between leaves an event that is recorded and not
acknowledged, and hides nothing: sent again, it is hidden, and recorded once. The connections are the writes'
own, since WAIT keeps whatever comes after it waiting, too.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from api.contract.event import Event
from api.contract.keys import Keys
from api.found import Generation
from api.store.connection import Address, Command, Refusal, Replies
from api.store.errors import StoreUnavailable
from api.store.events import FORGOTTEN, OTHER_KEY, Journal, Write
from api.store.nodes import ClusterLifeline
from api.store.slots import slot_of_key

_INFO: Command = ("INFO", "persistence")


class ClusterJournal(Journal):
    """Writes for one event loop, in a cluster."""

    def __init__(self, client: Redis, keys: Keys, address: Address, **more: Any) -> None:
        """Open nothing; arguments as `Journal`."""
        super().__init__(client, keys, **more)
        self._home_slot = slot_of_key(keys.states())
        self._nodes = ClusterLifeline(address, lambda: None, self._home_slot)

    async def aclose(self) -> None:
        """End the connections."""
        await self._nodes.aclose()

    async def _record(self, attempt: str, events: Sequence[Event], served: Generation | None) -> list[Any]:
        writes = [self._describe(f"{attempt}-{place}", event, served) for place, event in enumerate(events)]
        recorded = await self._run("record", writes, [self._home_slot] * len(writes), _record_keys)
        if OTHER_KEY in recorded:
            return recorded
        places = [place for place, reply in enumerate(recorded) if reply != FORGOTTEN]
        rest = [writes[place] for place in places]
        hidden = await self._run("hide", rest, [slot_of_key(write.gone) for write in rest], _hide_keys)
        for place, reply in zip(places, hidden, strict=True):
            if reply == FORGOTTEN:  # meanwhile
                recorded[place] = FORGOTTEN
        return recorded

    async def _run(
        self, part: str, writes: list[Write], slots: list[int], keys_of: Callable[[Write], tuple[str, ...]]
    ) -> Replies:
        """Run a part of the script for each event; return the replies once all are safe."""
        if not writes:
            return []
        if not self._sha:
            await self._load(slots)
        commands: list[Command] = []
        for write in writes:
            keys = keys_of(write)
            commands.append(("EVALSHA", self._sha, len(keys), *keys, *write.about, part, *write.entry))
        replies = await self._write_at(slots, commands)
        lost = [slot for slot, reply in zip(slots, replies, strict=True) if _is_unknown(reply)]
        if lost:  # a server that has just begun to be a primary
            await self._load(lost)
            replies = await self._write_at(slots, commands)
        for reply in replies:
            if isinstance(reply, Refusal):
                raise StoreUnavailable(reply)
        return replies

    async def _load(self, slots: list[int]) -> None:
        every = sorted(set(slots))
        shas = await self._nodes.call_at(every, [("SCRIPT", "LOAD", self._script)] * len(every))
        for sha in shas:
            if isinstance(sha, Refusal):
                raise StoreUnavailable(sha)
            self._sha = sha.decode()

    async def _write(self, *commands: Command) -> list[Any]:
        replies = await self._write_at([self._home_slot] * len(commands), list(commands))
        for reply in replies:
            if isinstance(reply, Refusal):
                raise StoreUnavailable(reply)
        return replies

    async def _write_at(self, slots: list[int], commands: list[Command]) -> Replies:
        """Carry out commands; return their replies once all are in their servers' logs, and copied."""
        every = sorted(set(slots))
        wait: list[Command] = [("WAIT", self._n_copies, self._wait_ms)] if self._n_copies else []
        asked = [(slot, command) for slot in every for command in (*wait, _INFO)]
        replies = await self._nodes.call_at(
            [*slots, *(slot for slot, _ in asked)], [*commands, *(command for _, command in asked)]
        )
        replies, told = replies[: len(commands)], iter(replies[len(commands) :])
        for slot in every:
            if wait:
                n = next(told)
                if isinstance(n, Refusal):
                    raise StoreUnavailable(n)
                self._check_copies(n)
            await self._await_log(_read_info(next(told)), self._asker(slot))
        return replies

    def _asker(self, slot: int) -> Callable[[], Awaitable[Any]]:
        async def ask() -> Any:
            (said,) = await self._nodes.call_at([slot], [_INFO])
            return _read_info(said)

        return ask


def _record_keys(write: Write) -> tuple[str, ...]:
    return write.shared


def _hide_keys(write: Write) -> tuple[str, ...]:
    return (write.gone, *write.own)


def _is_unknown(reply: object) -> bool:
    return isinstance(reply, Refusal) and str(reply).startswith("NOSCRIPT")


def _read_info(said: Any) -> Any:
    """Return what INFO says, numbers as such; an error reply as redis-py has it."""
    if isinstance(said, Refusal):
        return ResponseError(str(said))
    lines = (line.partition(":") for line in said.decode().splitlines())
    return {name: int(text) if text.isdecimal() else text for name, _, text in lines}
