"""A look-up that waits for its replies, and how these become what `feed.answer` takes."""

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from api.contract.codec import decode
from api.feed import Degraded, Lookup
from api.store.connection import Refusal, Replies
from api.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from api.store.current import Snapshot

_NO_POSTS: frozenset[int] = frozenset()


class PendingLookup(ABC):
    """A look-up that waits; subclasses say what becomes of it. Neither call may raise."""

    __slots__ = ("at_s", "bucket_s", "n_replies", "n_tries", "user_id", "was_lost")

    def __init__(self, user_id: int, at_s: int) -> None:
        """Wait for a user's own list at a time."""
        self.user_id = user_id
        self.at_s = at_s
        self.bucket_s = 0
        self.n_replies = 0
        self.n_tries = 0  # how often it was sent, or what is current was read for it
        self.was_lost = False  # with a connection, once

    @abstractmethod
    def succeed(self, found: Lookup) -> None:
        """Take what was found."""

    @abstractmethod
    def fail(self, why: Exception) -> None:
        """Take why nothing was: NothingPublished, GenerationUnreadable, StoreUnavailable, or a bug."""


class FutureLookup(PendingLookup):
    """A look-up that somebody awaits."""

    __slots__ = ("_future",)

    def __init__(self, user_id: int, at_s: int, future: "asyncio.Future[Lookup]") -> None:
        """Resolve a future, unless whoever awaits it has gone."""
        super().__init__(user_id, at_s)
        self._future = future

    def succeed(self, found: Lookup) -> None:
        """Set the result."""
        if not self._future.done():
            self._future.set_result(found)

    def fail(self, why: Exception) -> None:
        """Set the exception."""
        if not self._future.done():
            self._future.set_exception(why)


def resolve(pending: PendingLookup, snapshot: "Snapshot", replies: Replies) -> None:
    """Resolve a look-up from the replies to `LookupCommands.pack_own`.

    An own list that cannot be read is an empty one, and labelled so.
    """
    degraded: Degraded = ""
    try:
        hidden = read_ids(replies[1:])
        try:
            ranked = decode(check_reply(replies[0]))
        except ValueError:  # somebody else's value: all but the own list is still known
            ranked, degraded = [], "value"
    except ValueError as exc:
        return pending.fail(StoreUnavailable(f"it holds a value that cannot be read: {exc}"))
    except StoreUnavailable as exc:
        return pending.fail(exc)
    found = Lookup(
        user_id=pending.user_id,
        at_s=pending.at_s,
        bucket_s=pending.bucket_s,
        pointer=snapshot.pointer,
        generation=snapshot.generation,
        own=ranked,
        segment=None,
        hidden=hidden,
        sees_all=False,
        degraded=degraded,
        is_past=pending.at_s < snapshot.reach.end_s and snapshot.reach.holds(pending.at_s),
    )
    return pending.succeed(found)


def read_ids(replies: Replies) -> frozenset[int]:
    """Return the post ids of several replies; most have none.

    Raises:
        ValueError: One of them is no list of ids.
        StoreUnavailable: The server did not carry out the command.
    """
    hidden = _NO_POSTS
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
