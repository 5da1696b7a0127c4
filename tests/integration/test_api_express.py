"""The express lane against uvicorn's own protocol: the same answers to the same bytes, however cut."""

import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.contract.keys import Keys
from api.feed import Answer
from api.http.protocol import MOST_HELD, SLICE, Express
from api.main import create_app
from api.settings import Settings
from tests.conftest import free_port
from tests.world import PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

HEAD = "Host: localhost\r\nAccept: */*\r\n"
PLAIN = "/post/recommendations/?id=2&time=2021-12-20T12:00:00&limit=3"


class Counting(Express):
    """The express lane, with a count of what it answered."""

    n_answered = 0

    def reply(self, given: Answer, now_s: int) -> None:
        """Count, and answer."""
        Counting.n_answered += 1
        super().reply(given, now_s)


@contextmanager
def served(url: str, protocol: type[HttpToolsProtocol]) -> Iterator[int]:
    """Run a server in a thread and give its port."""
    app, port = create_app(Settings(redis_url=url), clock=lambda: PROMOTED_AT_S + 60), free_port()
    config = uvicorn.Config(
        app,
        port=port,
        http=protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def ports(store: redis.Redis, valkey_url: str) -> Iterator[tuple[int, int]]:
    """Give the ports of two servers of the same world: one with the express lane, one without."""
    World().publish(store).promote(store)
    Counting.n_answered = 0
    with served(valkey_url, Counting) as express, served(valkey_url, HttpToolsProtocol) as plain:
        yield express, plain


def request(target: str = PLAIN, head: str = HEAD, method: str = "GET", body: str = "") -> bytes:
    """Write a request."""
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n{body}".encode()


def exchange(port: int, pieces: list[bytes], n_answers: int, pause_s: float = 0.0) -> list[bytes]:
    """Send pieces one by one on one connection; return the answers, or fewer if it was closed."""
    received = b""
    answers: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)
        while len(answers) < n_answers:
            answer, received = cut(received)
            if answer:
                answers.append(answer)
                continue
            more = connection.recv(65_536)
            if not more:
                break
            received += more
    return answers


def cut(received: bytes) -> tuple[bytes, bytes]:
    """Return the first whole answer, or nothing, and what follows it."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return b"", received
    length = re.search(rb"content-length: ([0-9]+)", received[:end])
    size = end + 4 + (int(length[1]) if length else 0)
    return (received[:size], received[size:]) if len(received) >= size else (b"", received)


def one_by_one(port: int, requests: list[bytes]) -> list[bytes]:
    """Send requests on one connection, each after the answer to the one before."""
    answers: list[bytes] = []
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for asked in requests:
            answer = b""
            try:
                connection.sendall(asked)
                while not answer:
                    answer, received = cut(received)
                    if not answer:
                        more = connection.recv(65_536)
                        if not more:
                            return answers
                        received += more
            except ConnectionError:
                return answers
            answers.append(answer)
    return answers


def same(answer: bytes) -> tuple[bytes, frozenset[bytes], bytes]:
    """Return status line, headers in any order but for the request's drawn id, and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, frozenset(line for line in headers if not line.startswith(b"x-request-id")), body


def test_the_second_request_of_a_connection_takes_the_lane_and_is_answered_alike(
    ports: tuple[int, int],
) -> None:
    express, plain = ports

    answers = one_by_one(express, [request()] * 4)

    assert Counting.n_answered == 3
    assert {same(answer) for answer in answers} == {same(one_by_one(plain, [request()])[0])}
    assert len({re.findall(rb"\r\nx-request-id: ([0-9a-f]{16})\r\n", answer)[0] for answer in answers}) == 4


def test_all_that_is_not_plain_goes_the_long_way_and_is_answered_alike(
    store: redis.Redis, ports: tuple[int, int]
) -> None:
    store.sadd(Keys().takedowns(), 36)
    base = "/post/recommendations/?"
    asked = [request()]
    for target in [
        PLAIN,
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
        "/users/2/feed?at=2021-12-20T12:00:00&limit=3",
        "/health",
        "/nothing",
    ]:
        asked += [request(target), request()]
    asked += [request(head="Host: other\r\n"), request(), request(method="HEAD"), request(method="POST")]
    asked += [
        request("/post/recommendations/?id=4&time=2021-12-20", HEAD + "Content-Length: 2\r\n", body="ab")
    ]
    asked += [request(), request(head=HEAD + "Connection: close\r\n"), request()]
    asked = [one for one in asked if not one.startswith(b"HEAD")]

    answers = [one_by_one(port, asked) for port in ports]

    assert Counting.n_answered > 5
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
    assert Counting.n_answered == 0


def test_a_changed_right_closes_the_lane(ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    express, _ = ports
    taken: list[bool] = []
    original = Counting._take

    def take(lane: Counting, data: bytes) -> bool:
        if len(taken) == 1:
            lane.app_state["tokens"].version += 1
        taken.append(original(lane, data))
        return taken[-1]

    monkeypatch.setattr(Counting, "_take", take)

    assert len(one_by_one(express, [request()] * 5)) == 5
    assert taken == [True, False, True, True]


class Watched(Express):
    """The express lane, with the most that any of its connections held."""

    most_held = 0
    most_queued = 0

    def data_received(self, data: bytes) -> None:
        """Take data, and look at what is kept of it."""
        super().data_received(data)
        Watched.most_held = max(Watched.most_held, len(self._held))
        Watched.most_queued = max(Watched.most_queued, len(self.pipeline))

    def on_response_complete(self) -> None:
        """Go on, and look at what is kept then."""
        super().on_response_complete()
        Watched.most_queued = max(Watched.most_queued, len(self.pipeline))


def sent_unread(port: int, asked: bytes, n_bytes: int, seconds: float) -> int:
    """Send a request over and over, read nothing, and return the bytes that the server took."""
    sent, many, give_up = 0, asked * 2000, time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        try:
            while sent < n_bytes and time.monotonic() < give_up:
                sent += connection.send(many[sent % len(many) :])
        except TimeoutError:
            pass
    return sent


def test_a_client_that_sends_and_never_reads_is_not_read_from_for_ever(
    store: redis.Redis, valkey_url: str
) -> None:
    World(posts=range(1, 200), depth=100).publish(store).promote(store)
    posted = request("/events", HEAD + "Content-Length: 3\r\n", "POST", "[7]")
    Watched.most_held = Watched.most_queued = 0

    with served(valkey_url, Watched) as port:
        sent = sent_unread(port, request("/post/recommendations/?id=2&limit=100"), 128 << 20, 60)
        sent_unread(port, posted, 128 << 20, 1)
        alive = one_by_one(port, [request("/health")])

    assert sent < 64 << 20  # what the system's own buffers hold, and what was answered until they were full
    assert 0 < Watched.most_held <= MOST_HELD + (256 << 10)  # the system gives 256 KB at once
    assert 0 < Watched.most_queued <= SLICE // 18
    assert alive[0].startswith(b"HTTP/1.1 200 ")


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

    with served(valkey_url, Watched) as port, socket.create_connection(("127.0.0.1", port)) as connection:
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
