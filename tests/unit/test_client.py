"""Our client: what it asks, how it pages, when it asks again and when it gives up; sync and async alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, assert_type

import httpx2
import orjson
import pytest

from api.client import AsyncClient, Client, Feed, NewEvent, RequestFailed, Results, Similar

Answer = Callable[[httpx2.Request], httpx2.Response]
BASE = "http://almanac.test/feeds"


def page(next_: str | None = None) -> dict[str, Any]:
    """Return a page as the API writes it."""
    shown = {"user_id": 200, "at": "2021-12-20T12:00:00+00:00", "variant": "default", "generation": 1}
    shown |= {"bucket": "2021-12-20T12:00:00+00:00", "time": "exact", "rung": "own", "degraded": ""}
    return shown | {"underfill": None, "next": next_, "posts": [{"id": 17, "text": "", "topic": "tech"}]}


class Sync:
    """Drives the sync client."""

    def __init__(self, answer: Answer, **how: Any) -> None:
        """Answer by a function."""
        self.client = Client(BASE, "secret", transport=httpx2.MockTransport(answer), **how)

    def feed(self, *args: Any, **wishes: Any) -> Feed:
        """Ask for a feed."""
        return self.client.feed(*args, **wishes)

    def pages(self, *args: Any, **wishes: Any) -> list[Feed]:
        """Ask for all pages."""
        with self.client as client:
            return list(client.pages(*args, **wishes))

    def events(self, events: list[NewEvent]) -> Results:
        """Tell of events."""
        return self.client.events(events)


class Async:
    """Drives the async client the same way."""

    def __init__(self, answer: Answer, **how: Any) -> None:
        """Answer by a function."""
        self._answer, self._how = answer, how

    def _run(self, ask: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            transport = httpx2.MockTransport(self._answer)
            async with AsyncClient(BASE, "secret", transport=transport, **self._how) as client:
                return await ask(client)

        return asyncio.run(run())

    def feed(self, *args: Any, **wishes: Any) -> Any:
        """Ask for a feed."""
        return self._run(lambda client: client.feed(*args, **wishes))

    def pages(self, *args: Any, **wishes: Any) -> Any:
        """Ask for all pages."""

        async def ask(client: AsyncClient) -> list[Feed]:
            return [one async for one in client.pages(*args, **wishes)]

        return self._run(ask)

    def events(self, events: list[NewEvent]) -> Any:
        """Tell of events."""
        return self._run(lambda client: client.events(events))


Driven = type[Sync] | type[Async]
both = pytest.mark.parametrize("driven", [Sync, Async])


@both
def test_what_is_wished_for_is_asked_for(driven: Driven) -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json=page())

    found = driven(answer).feed(
        "ann smith/100%41",
        limit=5,
        at=datetime(2021, 12, 20, 12, tzinfo=UTC),
        exclude=[17, "a,b"],
        topic="tech",
        not_topic=["sport", "war"],
        filter={"brand": ["acme", "b=c"]},
        variant="bold",
        profile={"age": 25},
    )

    assert found.posts[0].id == 17
    assert asked[0].url.raw_path.partition(b"?")[0] == b"/feeds/users/ann%20smith%2F100%2541/feed"
    assert asked[0].url.params.multi_items() == [
        ("limit", "5"),
        ("at", "2021-12-20T12:00:00+00:00"),
        ("exclude", "17,a,,b"),
        ("topic", "tech"),
        ("not_topic", "sport"),
        ("not_topic", "war"),
        ("filter", "brand=acme"),
        ("filter", "brand=b=c"),
        ("variant", "bold"),
        ("profile", "age=25"),
    ]
    assert asked[0].headers["authorization"] == "Bearer secret"


@both
def test_pages_follow_one_another_with_the_same_wishes(driven: Driven) -> None:
    following = {None: "p1", "p1": "p2", "p2": None}

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.params["topic"] == "tech"
        return httpx2.Response(200, json=page(following[request.url.params.get("cursor")]))

    assert [one.next for one in driven(answer).pages(200, topic="tech")] == ["p1", "p2", None]


@both
def test_an_event_keeps_its_id_however_often_it_is_told(driven: Driven) -> None:
    told: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        told.append(orjson.loads(request.content))
        if len(told) < 3:
            return httpx2.Response(503, headers={"Retry-After": "0"})
        return httpx2.Response(200, json={"results": [], "counts": {"accepted": 2}})

    events = [
        NewEvent(user_id=200, post_id=17, action="view"),
        NewEvent(user_id="u", post_id=3, action="like", id="e1"),
    ]

    assert driven(answer).events(events).counts == {"accepted": 2}
    assert len(told) == 3
    assert told[0] == told[1] == told[2]
    assert (len(told[0][0]["id"]), told[0][1]["id"]) == (32, "e1")


@both
@pytest.mark.parametrize(
    ("status", "head", "body", "sentence", "n_asked"),
    [
        (503, {"Retry-After": "0"}, b'{"detail":"nothing is published"}', "nothing is published", 3),
        (503, {"Retry-After": "11"}, b'{"detail":"closed"}', "closed", 1),
        (410, {}, b'{"detail":"generation 3 is gone"}', "generation 3 is gone", 1),
        (422, {}, b'{"detail":[{"msg":"limit=0"},{"msg":"at=x"}]}', "limit=0; at=x", 1),
        (502, {}, b"<html>bad gateway</html>", "<html>bad gateway</html>", 1),
        (500, {}, b"", "there is no sentence with it", 1),
        (200, {}, b"<html>a portal</html>", "was not answered by an Almanac", 1),
    ],
)
def test_what_is_no_answer_is_an_error_with_its_status_and_sentence(
    driven: Driven, status: int, head: dict[str, str], body: bytes, sentence: str, n_asked: int
) -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, headers=head, content=body)

    with pytest.raises(RequestFailed) as failed:
        driven(answer, tries=3).feed(200)

    assert failed.value.status == status
    assert sentence in failed.value.sentence
    assert len(asked) == n_asked


@both
def test_who_does_not_answer_at_all_is_an_error_of_ours_too(driven: Driven) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused", request=request)

    with pytest.raises(
        RequestFailed, match="GET /users/200/feed has no answer: connection refused"
    ) as failed:
        driven(answer).feed(200)

    assert failed.value.status is None


def test_types_are_those_of_the_answers() -> None:
    def typed(client: Client) -> None:  # for mypy, which checks the tests too
        assert_type(client.feed(200, limit=5, topic=["a"], filter={"brand": "acme"}), Feed)
        assert_type(client.feed("u").posts[0].id, int | str)
        assert_type(client.events([NewEvent(user_id=1, post_id=2, action="view")]), Results)
        assert_type(next(client.pages(200)), Feed)
        assert_type(client.similar(17, user_id=200, limit=5), Similar)
        client.feed(200, limit="5")  # type: ignore[arg-type]  # a wrong one is found
        client.feed(200, colour="red")  # type: ignore[call-arg]  # and one that there is not

    assert callable(typed)
