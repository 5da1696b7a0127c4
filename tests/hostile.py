"""Clients that mean no good, in a process of their own: `python -m tests.hostile PORT CONNECTIONS SECONDS`.

Each connection is of one kind, as often as it is cut off. What they met is printed as one line of JSON.
"""

import asyncio
import json
import resource
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import cycle

PAUSE_S = 0.5  # before a connection that was cut off comes again
BEGINNING = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
BIG = b"GET /post/recommendations/?id=2&limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINES = cycle((8_000, 10_000))  # as many as 32 KB hold, and more

Met = Counter[str]


async def send_endless_head(connection: socket.socket) -> bytes:
    """Send header lines of a kilobyte each, without an end."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, BEGINNING)
    while True:
        await loop.sock_sendall(connection, b"X-Endless: " + b"a" * 1000 + b"\r\n")
        await asyncio.sleep(0.01)


async def send_half_head(connection: socket.socket) -> bytes:
    """Send most of the largest head that is allowed, and no more."""
    head = BEGINNING + b"X-Half: " + b"a" * 32_000
    await asyncio.get_running_loop().sock_sendall(connection, head)
    return await read_status(connection)


async def keep_silent(connection: socket.socket) -> bytes:
    """Send nothing."""
    return await read_status(connection)


async def read_nothing(connection: socket.socket) -> bytes:
    """Ask for big answers as long as they are taken, and read none."""
    while True:
        await asyncio.get_running_loop().sock_sendall(connection, BIG * 100)


async def send_many_lines(connection: socket.socket) -> bytes:
    """Send a whole head of very many lines."""
    head = BEGINNING + b"a:\r\n" * next(LINES) + b"\r\n"
    await asyncio.get_running_loop().sock_sendall(connection, head)
    return await read_status(connection)


KINDS: tuple[Callable[[socket.socket], Awaitable[bytes]], ...] = (
    send_endless_head,
    send_half_head,
    keep_silent,
    read_nothing,
    send_many_lines,
)


async def read_status(connection: socket.socket) -> bytes:
    """Return the status of the answer that comes before the end; none is a close."""
    return (await asyncio.get_running_loop().sock_recv(connection, 1024))[9:12] or b"closed"


async def attack(port: int, kind: Callable[[socket.socket], Awaitable[bytes]], met: Met) -> None:
    """Connect again and again, and count what became of it."""
    while True:
        with socket.socket() as connection:
            connection.settimeout(0)
            if kind is read_nothing:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
                met[f"{kind.__name__} began"] += 1
                end = (await kind(connection)).decode("latin-1")
            except OSError as exc:
                end = type(exc).__name__
        met[f"{kind.__name__} {end}"] += 1
        await asyncio.sleep(PAUSE_S)


async def attack_with(port: int, n_connections: int, seconds: float) -> Met:
    """Attack with so many connections at a time for so long; they come within the first tenth of it."""
    met: Met = Counter()
    tasks: list[asyncio.Task[None]] = []
    for _, kind in zip(range(n_connections), cycle(KINDS), strict=False):
        tasks.append(asyncio.create_task(attack(port, kind, met)))
        await asyncio.sleep(seconds / n_connections / 10)
    await asyncio.sleep(seconds * 0.9)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return met


def main() -> None:
    """Attack, and print what was met."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, n_connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    sys.stdout.write(json.dumps(asyncio.run(attack_with(port, n_connections, seconds))) + "\n")


if __name__ == "__main__":
    main()
