"""One look-up that waits, and how its replies become an answer."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from api.contract.codec import decode
from api.contract.history import Reach
from api.feed import Degraded, Generation, Lookup, Pointer
from api.store.connection import Refusal, Replies
from api.store.errors import StoreUnavailable

_NOBODY: frozenset[int] = frozenset()


class PendingLookup(ABC):
    """A look-up that waits; subclasses say what becomes of it. Neither call may raise."""

    __slots__ = ("at_s", "bucket_s", "lost", "n_replies", "turns", "user_id")

    def __init__(self, user_id: int, at_s: int) -> None:
        """PendingLookup for a user's feed at a time."""
        self.user_id = user_id
        self.at_s = at_s
        self.turns = 0  # how often the pointer was read, or the look-up sent, since it waits
        self.bucket_s = 0
        self.n_replies = 0
        self.lost = False

    @abstractmethod
    def found(self, found: Lookup) -> None:
        """Take the answer."""

    @abstractmethod
    def failed(self, why: Exception) -> None:
        """Take note that there is none: NothingPublished, GenerationUnreadable or StoreUnavailable."""


class FutureLookup(PendingLookup):
    """A look-up that somebody awaits."""

    __slots__ = ("answer",)

    def __init__(self, user_id: int, at_s: int, answer: "asyncio.Future[Lookup]") -> None:
        """Answer into a future, unless its owner has gone."""
        super().__init__(user_id, at_s)
        self.answer = answer

    def found(self, found: Lookup) -> None:
        """Take the answer."""
        if not self.answer.done():
            self.answer.set_result(found)

    def failed(self, why: Exception) -> None:
        """Take note that there is none."""
        if not self.answer.done():
            self.answer.set_exception(why)


def resolve(ask: PendingLookup, pointer: Pointer, view: Generation, replies: Replies, reach: Reach) -> None:
    """Answer from the replies to `LookupCommands.own`; a list that cannot be read is empty, and labelled."""
    degraded: Degraded = ""
    try:
        hidden = read_ids(replies[1:])
        try:
            ranked = decode(check_reply(replies[0]))
        except ValueError:  # somebody else's value: all but the own list is still known
            ranked, degraded = [], "value"
    except ValueError as exc:
        return ask.failed(StoreUnavailable(f"it holds a value that cannot be read: {exc}"))
    except StoreUnavailable as exc:
        return ask.failed(exc)
    found = Lookup(
        user_id=ask.user_id,
        at_s=ask.at_s,
        bucket_s=ask.bucket_s,
        pointer=pointer,
        generation=view,
        own=ranked,
        segment=None,
        hidden=hidden,
        sees_all=False,
        degraded=degraded,
        is_past=ask.at_s < reach.end_s and reach.holds(ask.at_s),
    )
    return ask.found(found)


def read_ids(replies: Replies) -> frozenset[int]:
    """Return the post ids of several replies; most have none.

    Raises:
        ValueError: One of them is no list of ids.
        StoreUnavailable: The server did not carry out the command.
    """
    hidden = _NOBODY
    for reply in replies:
        if reply:
            hidden = hidden.union(map(int, check_reply(reply)))
    return hidden


def check_reply(reply: Any) -> Any:
    """Return a reply that is none of the server's errors.

    Raises:
        ValueError: The key holds another type.
        StoreUnavailable: The server is loading, busy, or does not let us.
    """
    if isinstance(reply, Refusal):
        if str(reply).startswith("WRONGTYPE"):
            raise ValueError(str(reply))
        raise StoreUnavailable(str(reply))
    return reply
