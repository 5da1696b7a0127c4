"""Reads with the types they have: redis-py knows only at run time whether a reply is text or bytes."""

import redis


def value(client: redis.Redis, key: str) -> bytes | None:
    """Return a STRING; None where the key is missing."""
    reply = client.get(key)
    return None if reply is None else narrow(reply)


def words(client: redis.Redis, key: str) -> list[str]:
    """Return the words of a STRING, in order; none where the key is missing."""
    return (value(client, key) or b"").decode().split()


def fields(client: redis.Redis, key: str) -> dict[bytes, bytes]:
    """Return a HASH; empty where the key is missing."""
    return {narrow(name): narrow(text) for name, text in client.hgetall(key).items()}


def narrow(reply: bytes | str) -> bytes:
    """Return a reply that is bytes.

    Raises:
        TypeError: The client decodes its replies.
    """
    if isinstance(reply, str):
        raise TypeError("the client must be made with decode_responses=False")
    return reply
