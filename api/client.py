"""A typed client of the API, sync and async; `pip install 'almanac-feed[client]'`.

It needs the API's shapes and httpx2, nothing of the server and nothing of the batch.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from api.calls import (
    Call,
    Id,
    Patience,
    RequestFailed,
    SimilarWishes,
    Wishes,
    ask_feed,
    ask_similar,
    tell_events,
)
from api.schemas.answer import Feed, Post, Similar
from api.schemas.event_body import NewEvent, Result, Results

__all__ = [
    "AsyncClient",
    "Client",
    "Feed",
    "NewEvent",
    "Post",
    "RequestFailed",
    "Result",
    "Results",
    "Similar",
    "SimilarWishes",
    "Wishes",
]

T = TypeVar("T")


class Client:
    """Asks the API; use it in a `with`, or close it. Threads may share one."""

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        timeout_s: float = 5.0,
        tries: int = 4,
        patience_s: float = 10.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: Where the API is, such as http://127.0.0.1:8000.
            token: Who asks; only where the API wants to know.
            timeout_s: Longest wait for a connection, and for each part of an answer.
            tries: How often to ask in all while the answer is a 503.
            patience_s: Longest wait between two tries; where the API says more, it is not asked again.
            transport: How to connect; None: as httpx2 does.
        """
        self._http = httpx2.Client(**_options(base_url, token, timeout_s), transport=transport)
        self._patience = Patience(tries, patience_s)

    def feed(self, user_id: Id, *, cursor: str | None = None, **wishes: Unpack[Wishes]) -> Feed:
        """Return a page of a user's feed; `cursor` is the `next` of the page before.

        Raises:
            RequestFailed: There is no answer, or not to this.
        """
        return self._send(ask_feed(user_id, cursor, wishes))

    def pages(self, user_id: Id, **wishes: Unpack[Wishes]) -> Iterator[Feed]:
        """Yield a feed's pages until its end: all of one generation and time, no post twice.

        Raises:
            RequestFailed: There is no answer, or not to this; 410: the generation is no longer kept.
        """
        page = self.feed(user_id, **wishes)
        yield page
        while page.next is not None:
            page = self.feed(user_id, cursor=page.next, **wishes)
            yield page

    def similar(self, post_id: Id, **wishes: Unpack[SimilarWishes]) -> Similar:
        """Return posts like a post, nearest first.

        Raises:
            RequestFailed: There is no answer, or not to this; 404: there is no such post.
        """
        return self._send(ask_similar(post_id, wishes))

    def events(self, events: Iterable[NewEvent]) -> Results:
        """Record events, up to 1,000, each once; one without an id gets one, so that trying again is safe.

        Raises:
            RequestFailed: There is no answer; 422: none of them can be read.
        """
        return self._send(tell_events(events))

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def __enter__(self) -> Self:
        """Give the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""
        self.close()

    def _send(self, call: Call[T]) -> T:
        n_asked = 0
        while True:
            try:
                reply = self._http.request(call.method, call.path, **_parts(call))
            except httpx2.HTTPError as exc:
                raise _name_failure(call, exc) from exc
            n_asked += 1
            pause_s = _pause(self._patience, n_asked, reply)
            if pause_s is None:
                return call.read(reply.status_code, reply.content)
            time.sleep(pause_s)


class AsyncClient:
    """Asks the API as `Client` does, for whoever awaits; use it in an `async with`, or close it."""

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        timeout_s: float = 5.0,
        tries: int = 4,
        patience_s: float = 10.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Open nothing yet; arguments as of `Client`."""
        self._http = httpx2.AsyncClient(**_options(base_url, token, timeout_s), transport=transport)
        self._patience = Patience(tries, patience_s)

    async def feed(self, user_id: Id, *, cursor: str | None = None, **wishes: Unpack[Wishes]) -> Feed:
        """Return a page of a user's feed, as `Client.feed`."""
        return await self._send(ask_feed(user_id, cursor, wishes))

    async def pages(self, user_id: Id, **wishes: Unpack[Wishes]) -> AsyncIterator[Feed]:
        """Yield a feed's pages, as `Client.pages`."""
        page = await self.feed(user_id, **wishes)
        yield page
        while page.next is not None:
            page = await self.feed(user_id, cursor=page.next, **wishes)
            yield page

    async def similar(self, post_id: Id, **wishes: Unpack[SimilarWishes]) -> Similar:
        """Return posts like a post, as `Client.similar`."""
        return await self._send(ask_similar(post_id, wishes))

    async def events(self, events: Iterable[NewEvent]) -> Results:
        """Record events, as `Client.events`."""
        return await self._send(tell_events(events))

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Give the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""
        await self.aclose()

    async def _send(self, call: Call[T]) -> T:
        n_asked = 0
        while True:
            try:
                reply = await self._http.request(call.method, call.path, **_parts(call))
            except httpx2.HTTPError as exc:
                raise _name_failure(call, exc) from exc
            n_asked += 1
            pause_s = _pause(self._patience, n_asked, reply)
            if pause_s is None:
                return call.read(reply.status_code, reply.content)
            await asyncio.sleep(pause_s)


def _options(base_url: str, token: str, timeout_s: float) -> dict[str, Any]:
    head = {"Authorization": f"Bearer {token}"} if token else {}
    return {"base_url": base_url, "headers": head, "timeout": timeout_s}


def _parts(call: Call[T]) -> dict[str, Any]:
    head = {} if call.content is None else {"Content-Type": "application/json"}
    return {"params": list(call.params), "content": call.content, "headers": head}


def _pause(patience: Patience, n_asked: int, reply: httpx2.Response) -> float | None:
    return patience.pause_after(n_asked, reply.status_code, reply.headers.get("Retry-After"))


def _name_failure(call: Call[T], exc: httpx2.HTTPError) -> RequestFailed:
    why = str(exc) or type(exc).__name__
    return RequestFailed(None, f"{call.method} {call.path} has no answer: {why}")
