"""One command, and its reply as the server wrote it; redis-py would turn it into Python's own types."""

from typing import Any, BinaryIO

import redis

from batch.store.cluster import find_server


class Status(bytes):
    """A status such as OK, which is no value of the store."""


class Refusal(bytes):
    """An error that the server replied, whole: redis-py leaves out its first word."""


Reply = int | bytes | None | list["Reply"]


def call(client: redis.Redis, *words: bytes) -> Reply:
    """Send one command to a store, of a cluster to who has its first argument, and return the reply.

    An error that the server replies is a `Refusal`.

    Raises:
        redis.RedisError: The store does not answer, or takes neither name nor password.
    """
    # Logged in, and its database chosen. redis-py leaves much of a connection without types.
    pool = find_server(client, words[1] if len(words) > 1 else b"").connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_command("HELLO", 2)
        connection.read_response()
        connection.send_command(*words)
        with connection._sock.makefile("rb") as replies:
            return read_reply(replies)
    finally:
        connection.disconnect()
        pool.release(connection)


def read_reply(replies: BinaryIO) -> Reply:
    r"""Read one reply in RESP 2.

    >>> from io import BytesIO
    >>> read_reply(BytesIO(b"*3\r\n$2\r\n17\r\n:17\r\n$-1\r\n"))
    [b'17', 17, None]

    Raises:
        redis.ConnectionError: The replies end before this one does.
    """
    line = replies.readline()
    kind, rest = line[:1], line[1:-2]
    if not line.endswith(b"\r\n"):
        raise redis.ConnectionError("the store closed the connection before it had replied")
    if kind in b"+-":
        return Status(rest) if kind == b"+" else Refusal(rest)
    number = int(rest)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"*":
        return [read_reply(replies) for _ in range(number)]
    return replies.read(number + 2)[:-2]
