"""The server's HTTP against uvicorn's: the same answers to the same bytes, however cut."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis

from api.contract.keys import Keys
from api.http.exchange import Exchange
from api.http.protocol import FeedHttpProtocol
from api.main import create_app
from api.settings import Settings
from tests.http_bytes import (
    HEAD,
    NATIVE,
    PLAIN,
    exchange,
    one_by_one,
    plainly_served,
    request,
    same,
    served,
    status_of,
    until_closed,
)
from tests.world import AS_OF_S, TEXT, World

pytestmark = pytest.mark.integration


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the path of every request that goes to the app."""
    noted: list[str] = []
    run = Exchange.run

    async def noting(exchange: Exchange, app: Any, scope: Any) -> None:
        noted.append(exchange._url.decode())
        await run(exchange, app, scope)

    monkeypatch.setattr(Exchange, "run", noting)
    return noted


@pytest.fixture
def ports(store: redis.Redis, valkey_url: str) -> Iterator[tuple[int, int]]:
    """Give the ports of two servers of the same world: ours, and uvicorn."""
    World().publish(store).promote(store)
    with served(valkey_url) as own, plainly_served(valkey_url) as plain:
        yield own, plain


@pytest.fixture
def port(store: redis.Redis, valkey_url: str) -> Iterator[int]:
    """Give the port of our server."""
    World().publish(store).promote(store)
    with served(valkey_url) as own:
        yield own


@pytest.mark.parametrize(
    "target",
    [
        PLAIN,
        NATIVE,
        *(target + topic for target in (PLAIN, NATIVE) for topic in ("&topic=ev%65n", "&topic=odd")),
    ],
)
def test_a_plain_feed_request_needs_no_app_and_is_answered_alike(
    ports: tuple[int, int], exchanges: list[str], target: str
) -> None:
    own, plain = ports

    answers = one_by_one(own, [request(target)] * 4)

    assert exchanges == []
    assert {same(answer) for answer in answers} == {same(one_by_one(plain, [request(target)])[0])}
    assert len({re.findall(rb"\r\nx-request-id: ([0-9a-f]{16})\r\n", answer)[0] for answer in answers}) == 4


def test_all_that_is_not_plain_is_answered_alike(
    store: redis.Redis, ports: tuple[int, int], exchanges: list[str]
) -> None:
    store.sadd(Keys().takedowns(), 36)
    base = "/post/recommendations/?"
    asked = [request()]
    for target in [
        PLAIN,
        NATIVE,
        base + "id=2&time=2021-12-20T12:00:00&limit=100",
        base + "id=99&time=2021-12-20T12:00:00",
        base + "id=3&time=2021-12-20%2012:00:00",
        base + "id=3&time=2021-12-20T15:00:00+03:00",
        base + "id=two",
        base + "id=2&id=3",
        base + "id=2&more=1",
        base + "limit=0&id=1&time=x",
        base,
        "/post/recommendations?id=1&time=2021-12-20",
        "/users/2/feed?at=2021-12-20T12:00:00&limit=100",
        PLAIN + "&topic=odd",
        PLAIN + "&topic=even&topic=odd",
        PLAIN + "&topic=",
        PLAIN + "&topic=a%0Ab%FF",
        NATIVE + "&topic=ten",
        NATIVE + "&filter=third=a=1&not_topic=ten",
        NATIVE + "&filter=colour=red",
        "/users/two/feed",
        "/users/2/feed/",
        "http://localhost/health",
        "/he%61lth?x=%2F",
        "/health",
        "/nothing",
        "*",
    ]:
        asked += [request(target), request()]
    asked += [request(head="Host: other\r\n"), request(), request(method="POST"), request(method="OPTIONS")]
    asked += [request(head=HEAD + "X-Request-Id: mine\r\n")] * 2
    asked += [request("/users/2/feed/", HEAD + "X-Forwarded-Proto: https\r\n")]
    asked += [
        request("/post/recommendations/?id=4&time=2021-12-20", HEAD + "Content-Length: 2\r\n", body="ab")
    ]
    asked += [request(), request(head=HEAD + "Connection: close\r\n"), request()]

    answers = [one_by_one(port, asked) for port in ports]

    assert 5 < len(exchanges) < len(asked)
    assert [same(answer) for answer in answers[0]] == [same(answer) for answer in answers[1]]
    assert len(answers[0]) == len(asked) - 1  # the last came after a close


@pytest.mark.parametrize("seed", range(6))
def test_any_stream_cut_anywhere_is_answered_alike(ports: tuple[int, int], seed: int) -> None:
    rng = random.Random(seed)
    kinds = [
        request(),
        request("/post/recommendations/?id=3&time=2021-12-20T13:00:00&limit=5"),
        request("/post/recommendations/?id=99"),
        request("/post/recommendations/?id=x"),
        request("/health"),
        request(head=HEAD + "X-Trace: 1\r\n"),
        request("/post/recommendations/?id=1", HEAD + "Content-Length: 4\r\n", "POST", "abcd"),
        request("/recommendations/", HEAD + "Content-Length: 13\r\n", "POST", '{"user_id":2}'),
    ]
    asked = [request(), *(rng.choice(kinds) for _ in range(30))]
    stream = b"".join(asked)
    places = sorted(rng.randrange(1, len(stream)) for _ in range(25))
    pieces = [stream[low:high] for low, high in zip([0, *places], [*places, len(stream)], strict=True)]

    answers = [exchange(port, pieces, len(asked), pause_s=0.002) for port in ports]

    assert [same(answer) for answer in answers[0]] == [same(answer) for answer in answers[1]]
    assert len(answers[0]) == len(asked)


def test_a_request_hidden_in_another_ones_header_is_not_taken_for_one(ports: tuple[int, int]) -> None:
    first, cut_off = request(), b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Note: "

    answers = [exchange(port, [first, cut_off, request()], 2, pause_s=0.05) for port in ports]

    assert [same(answer) for answer in answers[0]] == [same(answer) for answer in answers[1]]


def test_a_request_hidden_in_a_body_is_not_taken_for_one(port: int, exchanges: list[str]) -> None:
    hidden = request().decode()
    carrier = request("/recommendations/", f"{HEAD}Content-Length: {len(hidden)}\r\n", "POST", hidden)

    answers = exchange(port, [carrier[:70], carrier[70:-20], carrier[-20:], request()], 2, pause_s=0.05)

    assert [status_of(answer) for answer in answers] == [422, 200]
    assert exchanges == ["/recommendations/"]


def test_changed_tokens_are_asked_anew(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted: list[bool] = []
    original = FeedHttpProtocol._admit

    def admit(connection: FeedHttpProtocol, headers: bytes, parsed: Exchange) -> bool:
        admitted.append(original(connection, headers, parsed))
        connection.server.state["tokens"].version += len(admitted) == 1
        return admitted[-1]

    monkeypatch.setattr(FeedHttpProtocol, "_admit", admit)

    assert len(one_by_one(port, [request()] * 5)) == 5
    assert admitted == [True, True]


READ = [
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    PLAIN,
    NATIVE,
    "/reco/default/2",
    "/posts/2/similar",
    "/pipelines/runs/2",
    "/nothing",
]


@pytest.mark.parametrize("target", [*READ, PLAIN + "&limit=4", "/users/99/feed", "/events"])
def test_a_head_is_answered_as_a_get_without_a_body(ports: tuple[int, int], target: str) -> None:
    def ask(port: int, method: str) -> bytes:
        answer = until_closed(port, request(target, HEAD + "Connection: close\r\n", method))
        # The counts grow with every answer.
        return re.sub(rb"content-length: \d+\r\n", b"", answer) if target == "/metrics" else answer

    own, plain, got = ask(ports[0], "HEAD"), ask(ports[1], "HEAD"), ask(ports[0], "GET")

    assert same(own) == same(plain)
    assert same(own)[:2] == same(got)[:2]
    assert own.endswith(b"\r\n\r\n")


def feed_of(user: str, query: str) -> bytes:
    """Write a request for a page of a user's feed."""
    return request(f"/users/{user}/feed?at=2021-12-20T12:00:00&{query}")


def test_every_text_is_a_user_whose_feed_is_answered_plainly_and_by_the_app(
    store: redis.Redis, valkey_url: str, exchanges: list[str]
) -> None:
    world = World(names=TEXT).publish(store).promote(store)
    users = [quote(str(TEXT.user(user)), safe="") for user in range(1, 17)]
    with served(valkey_url) as own, plainly_served(valkey_url) as plain:
        answers = one_by_one(own, [feed_of(user, "limit=3") for user in users])
        n_unplain = len(exchanges)
        again = one_by_one(own, [feed_of(user, "limit=3&exclude=none") for user in users])
        others = one_by_one(plain, [feed_of(user, "limit=3") for user in users])

    bucket_s = world.manifest.horizon.bucket_for(AS_OF_S + 5400)
    for place, answer in enumerate(answers, 1):
        told = json.loads(answer.partition(b"\r\n\r\n")[2])
        wanted = world.own(place, bucket_s)[:3] if place in world.users else world.popular(bucket_s)[:3]
        assert (told["user_id"], told["posts"]) == (TEXT.user(place), [world.post(post) for post in wanted])
    assert n_unplain == 8  # the unknown users', whom no own list answers
    assert list(map(same, answers)) == list(map(same, again)) == list(map(same, others))


def test_every_get_of_the_api_is_tried_as_a_head() -> None:
    documented = {
        path for path, methods in create_app(Settings()).openapi()["paths"].items() if "get" in methods
    }

    assert {re.sub(r"{[^}]*}", "2", path) for path in documented} <= {
        re.sub(r"default", "2", target.partition("?")[0]) for target in READ
    }


def test_behind_a_proxy_the_page_of_the_api_finds_its_description_under_the_prefix(
    store: redis.Redis, valkey_url: str
) -> None:
    World().publish(store).promote(store)

    with served(valkey_url, root_path="/feed") as port:  # the proxy took the prefix off
        page, described, plain = one_by_one(port, [request("/docs"), request("/openapi.json"), request()])

    assert b"'/feed/openapi.json'" in page
    assert b'"servers":[{"url":"/feed"}]' in described
    assert status_of(plain) == 200
