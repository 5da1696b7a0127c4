"""Plain feed requests: those whose target alone says all, read from its bytes and answered from the own list.

The HTTP protocol answers them itself. A request that is not plain (an unknown or repeated parameter, a value
that cannot be read) is left to the routes of `feed.py`, which answer plain ones the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from api.contract.experiment import Route
from api.contract.facets import Filter, Wanted
from api.feed import OWN_RUNGS, Answer, answer
from api.found import Lookup
from api.routes.feed import checker_body, native_body
from api.schemas.value import DEFAULT_LIMIT, read_limit, read_time, read_topics, read_user_id
from api.store.pending import PendingLookup

CHECKER = frozenset({"/post/recommendations/", "/post/recommendations"})
CHECKER_ROUTE, NATIVE_ROUTE = "/post/recommendations/", "/users/{user_id}/feed"  # as they are counted
ROUTES: Mapping[str, Route] = {CHECKER_ROUTE: "checker", NATIVE_ROUTE: "feed"}  # as experiments name them
NATIVE_HEAD, NATIVE_TAIL = "/users/", "/feed"

log = logging.getLogger(__name__)

Reply = Callable[["FeedLookup", Answer, bytes], None]
HandOver = Callable[["FeedLookup"], None]
SeeAll = Callable[[Lookup, Filter | None], Awaitable[Lookup]]

_limits = lru_cache(maxsize=256)(read_limit)
_minutes = lru_cache(maxsize=65_536)(read_time)  # six weeks of minutes
_SECONDS = {f":{second:02d}": second for second in range(60)}


class PlainFeed(NamedTuple):
    """A plain feed request; `at_s` in epoch seconds, None for now; `wish` one topic, or None for all."""

    route: str
    user_id: str
    at_s: int | None
    limit: int
    wish: Filter | None = None


def read_plain(target: bytes) -> PlainFeed | None:
    """Read the target of a feed request; None if it is not plain.

    >>> read_plain(b"/post/recommendations/?id=200&time=2021-12-20T00:00:00&limit=5")
    PlainFeed(route='/post/recommendations/', user_id='200', at_s=1639958400, limit=5, wish=None)
    >>> read_plain(b"/users/200/feed?at=2021-12-20T00:00:00")
    PlainFeed(route='/users/{user_id}/feed', user_id='200', at_s=1639958400, limit=10, wish=None)
    >>> read_plain(b"/users//feed") is read_plain(b"/users/1/feed?cursor=1.2.3.4.5") is None
    True
    """
    if not target.isascii() or b" " in target:
        return None
    path, _, query = target.decode().partition("?")
    if path in CHECKER:
        return _read(CHECKER_ROUTE, query, "id", "time", None)
    user_id = path[len(NATIVE_HEAD) : -len(NATIVE_TAIL)]
    if path.startswith(NATIVE_HEAD) and path.endswith(NATIVE_TAIL) and user_id:
        return _read(NATIVE_ROUTE, query, None, "at", unquote(user_id))
    return None


class FeedLookup(PendingLookup):
    """The look-up of a plain feed request: its answer goes to one call, the lack of one to another."""

    __slots__ = ("_fallback", "_given", "_hand_over", "_reply", "_see_all", "asked")

    def __init__(
        self, asked: PlainFeed, now_s: int, see_all: SeeAll, reply: Reply, hand_over: HandOver
    ) -> None:
        """Look up at `now_s`; `hand_over` is called where the own list does not answer, or nothing does.

        Where a filter leaves too little of the list, `see_all` reads what the ladder needs beside it.
        """
        at_s = now_s if asked.at_s is None else asked.at_s
        route = ROUTES[asked.route]
        super().__init__(asked.user_id, at_s, is_now=asked.at_s is None, route=route, now_s=now_s)
        self.asked = asked
        self._see_all = see_all
        self._reply = reply
        self._hand_over = hand_over
        self._fallback: asyncio.Task[None] | None = None
        self._given: Answer | None = None

    def choose(self, found: Lookup) -> None:
        """Choose from the own list.

        Raises:
            NotFiltered: The wish names a column that the generation has no facets of.
        """
        asked = self.asked
        wanted = None if asked.wish is None else found.generation.find_wanted(asked.wish)
        self._given = answer(found, asked.limit, paged=asked.route == NATIVE_ROUTE, wanted=wanted)

    def resolve(self, found: Lookup | Exception) -> None:
        """Answer, if the own list does; who answers else finds out again, and says what is lacking."""
        given = self._given
        if isinstance(found, Exception) or found.degraded or given is None:
            return self._hand_over(self)
        if given.is_final and given.rung in OWN_RUNGS:
            return self._give(given)
        wanted = given.wanted
        if wanted is None or found.is_past or len(wanted.ranked) < self.asked.limit:
            return self._hand_over(self)
        self._fallback = asyncio.get_running_loop().create_task(self._fall_back(found, wanted))
        return None

    async def _fall_back(self, found: Lookup, wanted: Wanted) -> None:
        """Answer from further down the ladder, if that fills the answer: many requests for topics need it."""
        is_native = self.asked.route == NATIVE_ROUTE
        try:
            whole = await self._see_all(found, self.asked.wish)
            given = answer(whole, self.asked.limit, paged=is_native, wanted=wanted)
            if given.is_final and not given.underfill:
                return self._give(given)
        except Exception as exc:  # who answers else meets it again, and says what is wrong
            log.debug("feed.handed_over", extra={"why": str(exc)})
        return self._hand_over(self)

    def _give(self, given: Answer) -> None:
        given.placed = self.placed
        is_native = self.asked.route == NATIVE_ROUTE
        self._reply(self, given, native_body(given) if is_native else checker_body(given))


def _read(
    route: str, query: str, user_name: str | None, time_name: str, user_id: str | None
) -> PlainFeed | None:
    """Read a query; the user is in it by a name, or known from the path."""
    at_s = limit = wish = None
    try:
        for part in query.split("&") if query else ():
            name, _, text = part.partition("=")
            if "%" in text or "+" in text:
                text = unquote_plus(text)
            if name == user_name and user_id is None:
                user_id = read_user_id(text)
            elif name == time_name and at_s is None:
                at_s = _time(text)
            elif name == "limit" and limit is None:
                limit = _limits(text)
            elif name == "topic" and wish is None:
                wish = _wish(text)
            else:
                return None
    except ValueError:
        return None
    if user_id is None:
        return None
    return PlainFeed(route, user_id, at_s, DEFAULT_LIMIT if limit is None else limit, wish)


@lru_cache(maxsize=1024)
def _wish(topic: str) -> Filter | None:
    """Return the wish for one topic."""
    return Filter.of(read_topics([topic]))


def _time(text: str) -> int:
    """Read a time as `read_time` does; the common form from its minute, which many requests share."""
    second = _SECONDS.get(text[16:])
    return read_time(text) if second is None else _minutes(text[:16]) + second
