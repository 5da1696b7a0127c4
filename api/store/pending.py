"""Look-ups that wait for their replies, whoever asked."""

import asyncio
from abc import ABC, abstractmethod

from api.contract.experiment import Placement, Route
from api.found import Lookup


class PendingLookup(ABC):
    """A look-up that waits; subclasses say what becomes of it."""

    __slots__ = (
        "at_s",
        "bucket_s",
        "is_now",
        "n_replies",
        "n_tries",
        "now_s",
        "placed",
        "route",
        "user_id",
        "was_lost",
    )

    def __init__(
        self, user_id: str, at_s: int, *, is_now: bool = False, route: Route | None = None, now_s: int = 0
    ) -> None:
        """Wait for a user's own list at a time; where nobody asked for it, what they did lately counts.

        Route, and when it is asked, are for an experiment to say whose lists answer; None: none may.
        """
        self.user_id = user_id
        self.at_s = at_s
        self.bucket_s = 0
        self.is_now = is_now
        self.route = route
        self.now_s = now_s
        self.n_replies = 0
        self.n_tries = 0  # how often it was sent, or what is current was read for it
        self.was_lost = False  # with a connection, once
        self.placed: Placement | None = None  # by the experiment, when it was last sent

    def choose(self, found: Lookup) -> None:  # noqa: B027 - who awaits a look-up chooses later
        """Choose what to answer: right before `resolve`, but with all look-ups of the round trip in turn.

        So the same code runs many times at once, in half of the time that it takes between other code.
        """

    @abstractmethod
    def resolve(self, found: Lookup | Exception) -> None:
        """Take what was found, or why nothing was: an error of the store's, or a bug. This may not raise."""


class FutureLookup(PendingLookup):
    """A look-up that somebody awaits."""

    __slots__ = ("future",)

    def __init__(
        self, user_id: str, at_s: int, future: "asyncio.Future[Lookup]", *, is_now: bool = False
    ) -> None:
        """Resolve a future, unless whoever awaits it has gone."""
        super().__init__(user_id, at_s, is_now=is_now)
        self.future = future

    def resolve(self, found: Lookup | Exception) -> None:
        """Set the result or the exception."""
        if self.future.done():
            return
        if isinstance(found, Exception):
            self.future.set_exception(found)
        else:
            self.future.set_result(found)
