"""What no client can do to the server's HTTP, and what an app can: endings, faults, and bounds."""

import asyncio
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
from fastapi import FastAPI, Request, Response

from api.http import protocol, server
from api.http.protocol import MOST_HEAD, MOST_LINES, FeedHttpProtocol
from api.http.server import READ_SIZE, Life, Server
from api.settings import Settings
from tests.http_bytes import HEAD, one_by_one, request, running, served, status_of, until_closed
from tests.world import World

pytestmark = pytest.mark.integration

HEAD_LINES = request().count(b"\n")


@pytest.fixture
def port(store: redis.Redis, valkey_url: str) -> Iterator[int]:
    """Give the port of our server."""
    World().publish(store).promote(store)
    with served(valkey_url) as own:
        yield own


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Give what lets the app of `narrow` answer what is slow."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def narrow(release: threading.Event) -> Iterator[int]:
    """Give the port of a server of three connections, whose app is slow when asked to be."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.to_thread(release.wait)
        return "done"

    @app.post("/echo")
    async def back(request: Request) -> Response:
        return Response(await request.body())

    with running(Server(app, Life(), Settings(max_connections=3))) as port:
        yield port


@pytest.fixture
def echo() -> Iterator[int]:
    """Give the port of a server whose app sends bodies back, or fails."""
    app = FastAPI()

    @app.post("/echo")
    async def back(request: Request) -> Response:
        return Response(await request.body())

    @app.post("/pieces")
    async def pieces(request: Request) -> Response:
        sizes = [len(piece) async for piece in request.stream()]
        return Response(f"{max(sizes)} {sum(sizes)}")

    @app.get("/slip")
    async def slip() -> None:
        raise ValueError("a fault of ours")

    async def whole(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/silent":
            return
        if scope.get("path") == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ValueError("another")
        await app(scope, receive, send)

    with running(Server(whole, Life(), Settings())) as port:
        yield port


@pytest.fixture
def most_held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many bytes a connection holds whenever some have come."""
    noted: list[int] = [0]
    original = FeedHttpProtocol.data_received

    def data_received(connection: FeedHttpProtocol, data: bytes) -> None:
        original(connection, data)
        noted[0] = max(noted[0], len(connection._held))

    monkeypatch.setattr(FeedHttpProtocol, "data_received", data_received)
    return noted


def test_a_body_in_chunks_is_read_and_what_follows_it_is_not(echo: int) -> None:
    head = request("/echo", HEAD + "Transfer-Encoding: chunked\r\n", "POST")

    received = until_closed(echo, head, b"2\r\nab\r\n3\r\ncde\r\n", b"0\r\n\r\n" + request("/echo"))

    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in received
    assert received.endswith(b"\r\n\r\nabcde")


def test_a_client_that_waits_to_be_told_to_go_on_is_told(echo: int) -> None:
    head = HEAD + "Content-Length: 4\r\nExpect: 100-continue\r\n"

    first, second = one_by_one(echo, [request("/echo", head, "POST"), b"abcd"])

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert second.endswith(b"\r\n\r\nabcd")


@pytest.mark.parametrize("target", ["/slip", "/silent", "/half"])
def test_an_app_that_comes_to_no_end_is_an_answer_of_500(echo: int, target: str) -> None:
    received = until_closed(echo, request(target) + request("/echo"))

    assert received.startswith(b"HTTP/1.1 500 ")
    assert received.count(b"HTTP/1.1 ") == 1 + (target == "/slip")  # there the app itself answered


def test_a_long_body_reaches_the_app_in_pieces(echo: int, most_held: list[int]) -> None:
    size = 8 << 20
    asked = request("/pieces", HEAD + f"Content-Length: {size}\r\n", "POST", " " * size)

    answers = one_by_one(echo, [asked, asked])

    assert [int(answer.split()[-1]) for answer in answers] == [size, size]
    assert all(int(answer.split()[-2]) < 1 << 20 for answer in answers)
    assert most_held[0] <= READ_SIZE


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(head=HEAD + "Upgrade: websocket\r\nConnection: Upgrade\r\n"), 200),
        (request("/health", HEAD + "Upgrade: h2c\r\nConnection: Upgrade\r\n"), 200),
        (request("/health", HEAD + "Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 99\r\n"), 200),
        (request(head=HEAD + "Connection: close\r\n"), 200),
        (request("/health", HEAD + "Connection: close\r\n"), 200),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
        (b"no HTTP at all\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /health\r\n\r\n", 200),
        (b"GET /health HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET /he alth HTTP/1.1\r\n\r\n", 400),
        (b"GET /post/recommendations/?id=2&time=2021-12-20 12:00:00 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", 400),
        (request(head="Bad Name: 1\r\n"), 400),
        (request(head=HEAD + "Folded: a\r\n b\r\n"), 400),
        (request(head=HEAD + "Content-Length: 1\r\nContent-Length: 2\r\n", method="POST"), 400),
        (request(head=HEAD + "Content-Length: +1\r\n", method="POST"), 400),
        (request(head=HEAD + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", method="POST"), 400),
        (request(head=HEAD + "Transfer-Encoding: gzip\r\n", method="POST"), 400),
        (request("/recommendations/", HEAD + "Transfer-Encoding: chunked\r\n", "POST", "nothex\r\n"), 400),
        (request(head=HEAD + f"X: {'a' * MOST_HEAD}\r\n"), 431),
        (request(head=HEAD + "".join(f"X-{i}: a\r\n" for i in range(5000))), 431),
        (request(head=HEAD + "Connection: close\r\n" + "a:\r\n" * (MOST_LINES - HEAD_LINES - 1)), 200),
        (request(head=HEAD + "a:\r\n" * (MOST_LINES - HEAD_LINES + 1)), 431),
        (request(head=HEAD + "a:\r\n" * 8000), 431),
        (request(head=HEAD + "a:\r\n" * 10_000), 431),
        (b"GET /" + b"a" * 2 * MOST_HEAD, 431),
    ],
)
def test_the_last_request_of_a_connection_is_answered_once_and_nothing_behind_it(
    port: int, asked: bytes, status: int
) -> None:
    received = until_closed(port, asked, request())

    assert received.count(b"HTTP/1.1 ") == 1
    assert status_of(received) == status


@pytest.mark.parametrize(
    ("sent", "starts", "limit"),
    [
        (b"GET /health HTTP/1.1\r\n", b"HTTP/1.1 408 ", "HEAD_S"),
        (request("/echo", HEAD + "Content-Length: 9\r\n", "POST", "a"), b"", "BODY_S"),
    ],
)
def test_who_sends_nothing_for_too_long_is_let_go(
    echo: int, monkeypatch: pytest.MonkeyPatch, sent: bytes, starts: bytes, limit: str
) -> None:
    monkeypatch.setattr(protocol, limit, 0.2)

    began = time.monotonic()
    received = until_closed(echo, sent)

    assert received.startswith(starts)
    assert bool(received) == bool(starts)
    assert time.monotonic() - began < 5


def test_an_idle_connection_is_closed_after_the_time_that_is_set(store: redis.Redis, valkey_url: str) -> None:
    World().publish(store).promote(store)
    with served(valkey_url, idle_timeout_s=0.2) as port:
        received = until_closed(port, request())

    assert received.count(b"HTTP/1.1 200 ") == 1


def test_a_head_that_comes_in_two_after_a_long_wait_is_in_time(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 3.0)
    World().publish(store).promote(store)
    with served(valkey_url, idle_timeout_s=60) as port, connect_to(port) as connection:
        asked = request("/health")
        time.sleep(4)

        connection.sendall(asked[:20])
        time.sleep(1.2)  # connections are looked at once a second
        connection.sendall(asked[20:])

        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def connect_to(port: int) -> socket.socket:
    """Connect."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_open(connection: socket.socket, wait_s: float = 0.5) -> bool:
    """Tell whether the other side does not end a connection, on which nothing is to come, within a time."""
    connection.settimeout(wait_s)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def test_who_has_sent_no_whole_request_for_longest_makes_room_a_half_body_too(narrow: int) -> None:
    with ExitStack() as stack:
        half, *others = [stack.enter_context(connect_to(narrow)) for _ in range(3)]
        half.sendall(request("/echo", HEAD + "Content-Length: 9\r\n", "POST", "a"))
        for connection in others:
            time.sleep(0.01)  # a loop's clock counts milliseconds
            connection.sendall(request("/echo", HEAD + "Content-Length: 1\r\n", "POST", "b"))
            assert connection.recv(4096).endswith(b"b")

        half.sendall(b"a")
        stack.enter_context(connect_to(narrow))

        assert not is_open(half, wait_s=3)
        assert [is_open(connection) for connection in others] == [True, True]


def test_who_has_been_answered_makes_room_after_who_never_was(
    narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.server.KNOWN_S", 600.0)  # however long this machine sleeps meanwhile
    with ExitStack() as stack:
        answered = stack.enter_context(connect_to(narrow))
        answered.sendall(request("/echo", HEAD + "Content-Length: 1\r\n", "POST", "b"))
        assert answered.recv(4096).endswith(b"b")
        time.sleep(0.01)  # a loop's clock counts milliseconds
        silent = [stack.enter_context(connect_to(narrow)) for _ in range(3)]

        # Which of those that came in one millisecond is left open.
        assert [is_open(one, wait_s=1.5) for one in silent].count(False) == 1
        assert is_open(answered)


def test_a_request_that_is_under_way_makes_no_room(narrow: int, release: threading.Event) -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(connect_to(narrow)) for _ in range(3)]
        for connection in busy:
            connection.sendall(request("/slow"))
        assert all(is_open(connection) for connection in busy)  # and by now each is under way

        refused = stack.enter_context(connect_to(narrow))

        assert not is_open(refused, wait_s=10)
        release.set()
        for connection in busy:
            connection.settimeout(10)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_beyond_the_most_connections_the_one_that_waits_longest_makes_room(
    store: redis.Redis, valkey_url: str
) -> None:
    World().publish(store).promote(store)
    with served(valkey_url, max_connections=3) as port, ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))

        def answers(connection: socket.socket) -> bool:
            time.sleep(0.01)  # a loop's clock counts milliseconds
            with suppress(ConnectionError):
                connection.sendall(request("/health"))
                return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            return False

        held = [connect() for _ in range(3)]
        asked = [answers(connection) for connection in reversed(held)]  # so the last has waited longest

        assert asked == [True] * 3
        assert answers(connect())
        assert not answers(held[2])
        assert answers(held[0])


def sent_unread(port: int, asked: bytes, n_bytes: int, seconds: float) -> int:
    """Send a request over and over, read nothing, and return the bytes that the server took."""
    sent, many, give_up = 0, asked * 2000, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        try:
            while sent < n_bytes and time.monotonic() < give_up:
                sent += connection.send(many[sent % len(many) :])
        except (TimeoutError, ConnectionError):
            pass
    return sent


def test_a_client_that_sends_and_never_reads_is_not_read_from_for_ever(
    store: redis.Redis, valkey_url: str, most_held: list[int]
) -> None:
    World(posts=range(1, 200), depth=100).publish(store).promote(store)
    posted = request("/events", HEAD + "Content-Length: 3\r\n", "POST", "[7]")

    with served(valkey_url) as port:
        sent = sent_unread(port, request("/post/recommendations/?id=2&limit=100"), 128 << 20, 60)
        sent_unread(port, posted, 128 << 20, 1)
        alive = one_by_one(port, [request("/health")])

    assert sent < 64 << 20  # what the system's own buffers hold, and what was answered until they were full
    assert 0 < most_held[0] <= READ_SIZE
    assert alive[0].startswith(b"HTTP/1.1 200 ")


def send_for_ever(port: int, data: bytes) -> None:
    """Send, and read nothing."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        while True:
            connection.sendall(data)


def test_a_client_that_never_reads_its_answers_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_S", 0.5)
    many = request("/openapi.json") * 500

    with pytest.raises(ConnectionError):
        send_for_ever(port, many)


def test_where_clients_leave_too_much_unread_together_those_go_who_have_for_longest(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_UNREAD", 256 << 10)
    World().publish(store).promote(store)
    n_asked = 50  # of 40 KB: more than the system takes

    def read_answers(connection: socket.socket) -> int:
        received, n_answers = b"", 0
        with suppress(ConnectionError):
            while n_answers < n_asked and (more := connection.recv(1 << 20)):
                received += more
                n_answers = received.count(b"HTTP/1.1 200 ") * received.endswith(b"}")
        return n_answers

    with served(valkey_url) as port, ExitStack() as stack:
        unread = [stack.enter_context(socket.socket()) for _ in range(20)]
        for connection in unread:
            connection.settimeout(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(request("/openapi.json") * n_asked)
            time.sleep(0.02)
        time.sleep(0.5)  # they are looked at ten times a second

        assert read_answers(unread[0]) < n_asked
        assert read_answers(unread[-1]) == n_asked


def test_a_client_that_reads_late_is_answered_all_the_same(store: redis.Redis, valkey_url: str) -> None:
    World(posts=range(1, 200), depth=100).publish(store).promote(store)
    kinds = [
        request(),
        request("/post/recommendations/?id=2&limit=100"),
        request("/users/1/feed?limit=50"),
        request("/events", HEAD + "Content-Length: 3\r\n", "POST", "[7]"),
    ]
    asked = [random.Random(3).choice(kinds) for _ in range(1500)]
    received = b""

    with served(valkey_url) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10)
        sending = threading.Thread(target=connection.sendall, args=(b"".join(asked),))
        sending.start()
        time.sleep(0.5)
        while received.count(b"HTTP/1.1 ") < len(asked):
            received += connection.recv(1 << 20)
        sending.join()

    statuses = re.findall(rb"HTTP/1.1 (\d+) ", received)
    wanted = {kinds[3]: b"401"}
    assert statuses == [wanted.get(one, b"200") for one in asked]
