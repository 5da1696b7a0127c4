"""Servers of the API in threads, and clients that speak HTTP byte by byte."""

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.server import Life, Server
from api.main import create_app
from api.settings import Settings
from tests.world import PROMOTED_AT_S

HEAD = "Host: localhost\r\nAccept: */*\r\n"
PLAIN = "/post/recommendations/?id=2&time=2021-12-20T12:00:00&limit=3"
NATIVE = "/users/2/feed?at=2021-12-20T12:00:00&limit=3"


@contextmanager
def served(url: str, **limits: Any) -> Iterator[int]:
    """Run our server in a thread, with settings as given, and give its port."""
    life, settings = Life(), Settings(redis_url=url, **limits)
    app = create_app(settings, clock=lambda: PROMOTED_AT_S + 60, life=life)
    with running(Server(app, life, settings)) as port:
        yield port


@contextmanager
def running(server: uvicorn.Server) -> Iterator[int]:
    """Run a server in a thread and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield door.getsockname()[1]
        finally:
            server.handle_exit(signal.SIGINT, None)
            thread.join()


@contextmanager
def plainly_served(url: str) -> Iterator[int]:
    """Run the same app under uvicorn's own protocol in a thread and give its port."""
    app = create_app(Settings(redis_url=url), clock=lambda: PROMOTED_AT_S + 60)
    config = uvicorn.Config(
        app, http=HttpToolsProtocol, log_config=None, access_log=False, server_header=False
    )
    with running(uvicorn.Server(config)) as port:
        yield port


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


def until_closed(port: int, *pieces: bytes) -> bytes:
    """Send pieces with a pause between them, and return all that came until the end."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            received += read_for(connection, 0.05)
        while more := connection.recv(65_536):
            received += more
    return received


def read_for(connection: socket.socket, seconds: float) -> bytes:
    """Return what comes within a time."""
    connection.settimeout(seconds)
    try:
        return connection.recv(65_536)
    except TimeoutError:
        return b""
    finally:
        connection.settimeout(10)


def same(answer: bytes) -> tuple[bytes, frozenset[bytes], bytes]:
    """Return status line, headers in any order but for the request's drawn id and the date, and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return (
        status,
        frozenset(line for line in headers if not line.startswith((b"x-request-id", b"date"))),
        body,
    )


def status_of(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer[9:12])
