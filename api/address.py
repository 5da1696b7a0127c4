"""The store's URL: one meaning for batch and API, by redis-py's own parser; and what may be shown of it."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection

_FORM = (
    "be redis://user:password@host:6379/0, rediss://… or unix:///path, "
    "with @ : / ? # in a name or password written as %40 %3A %2F %3F %23"
)
_PASSWORDS = (
    (re.compile(r"(\w://[^:/@\s\"']*):[^\s\"']*@"), r"\1:***@"),
    (re.compile(r"([?&]\w*pass(?:word)?=)[^&\s\"']+"), r"\1***"),
)


def check_store_url(url: str) -> None:
    """Return if redis-py can read a URL for both processes, and all of it.

    Raises:
        ValueError: It cannot; the message begins with "it should" and repeats nothing of the URL.
    """
    from redis import RedisError
    from redis.connection import ConnectionPool

    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        bad = url.count("@") != parts.netloc.count("@") or parts.netloc.count("@") > 1
        bad |= parts.scheme != "unix" and bool(database) and not database.isdecimal()
        ConnectionPool.from_url(url)
    except ValueError:
        bad = True
    if bad:
        raise ValueError(f"it should {_FORM}")
    try:
        ConnectionPool.from_url(url).make_connection()
        connection = connection_of(url)
    except (TypeError, ValueError, AttributeError, RedisError):
        connection = None
    if connection is None or connection.encoder.decode_responses:
        raise ValueError("it should have no parameters after ? but those that redis-py takes for this scheme")
    try:
        tls_of(connection)
    except OSError as exc:
        why = exc.strerror or "it is none of the kind"
        raise ValueError(
            f"it should name files that can be read by ssl_ca_certs, ssl_certfile and ssl_keyfile: {why}"
        ) from None


def connection_of(url: str, **options: Any) -> "Connection":
    """Return what redis-py would connect by, unconnected; parameters of the URL stand over `options`."""
    from redis.asyncio.connection import ConnectionPool  # takes a while, and most start without a URL

    pool = ConnectionPool.from_url(url, **options)
    connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


def tls_of(connection: "Connection") -> Any:
    """Return the `ssl.SSLContext` of a connection to be made; None where it is to be made without TLS.

    Raises:
        OSError: A file that the URL names cannot be read, or is none of its kind.
    """
    context = getattr(connection, "ssl_context", None)
    return None if context is None else context.get()


def hide_passwords(text: str) -> str:
    """Return a text with the password of every URL in it hidden; a last guard around what others say.

    >>> hide_passwords("at postgresql://ann:sec@ret@db/facts?sslpassword=x and redis://db:6379/0")
    'at postgresql://ann:***@db/facts?sslpassword=*** and redis://db:6379/0'
    """
    for pattern, shown in _PASSWORDS:
        text = pattern.sub(shown, text)
    return text


def hide_password(url: str) -> str:
    """Return the store's URL as it may be printed and logged; what follows a ? may be a password too.

    >>> hide_password("redis://ann:secret@db:6379/0?ssl_password=x"), hide_password("redis://127.0.0.1:6379/0")
    ('redis://ann:***@db:6379/0', 'redis://127.0.0.1:6379/0')
    """
    return hide_passwords(url.partition("?")[0])
