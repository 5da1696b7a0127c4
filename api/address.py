"""The store's URL: one meaning for batch and API, by redis-py's own parser; and what may be shown of it.

A cluster is named by some of its nodes, `redis+cluster://user:password@a:6379,b:6379`. The rest of such a
URL, its parameters too, says what `redis://` says, of every node; with `rediss+cluster` they speak TLS. A
store that Sentinels watch is named by them and its name there: `redis+sentinel://ann:x@a:26379,b:26379/shop/0`.
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection

_ESCAPED = "with @ : / ? # in a name or password written as %40 %3A %2F %3F %23"
_FORM = f"be redis://user:password@host:6379/0, rediss://… or unix:///path, {_ESCAPED}"
_FORM_OF_MANY = (
    "be redis+cluster://user:password@host:6379,host:6379, without a database, or "
    f"redis+sentinel://user:password@host:26379,host:26379/name/0, {_ESCAPED}"
)
_MANY = re.compile(r"(rediss?)\+(cluster|sentinel)://(.*)", re.DOTALL)
_PASSWORDS = (
    (re.compile(r"(\w://[^:/@\s\"']*):[^\s\"']*@"), r"\1:***@"),
    (re.compile(r"([?&]\w*pass(?:word)?=)[^&\s\"']+"), r"\1***"),
)

Node = tuple[str, int]  # host and port


class Nodes(NamedTuple):
    """What the URL of a cluster, or of a store that Sentinels watch, names.

    Attributes:
        places: Some nodes of the cluster, or the Sentinels.
        service: The store's name among the Sentinels; empty for a cluster.
        url: Of one node, with `{}` where its host and port go.
    """

    places: tuple[Node, ...]
    service: str
    url: str

    def url_of(self, node: Node) -> str:
        """Return the URL by which one node is reached.

        >>> read_nodes("redis+cluster://ann:x@a:1,b:2").url_of(("::1", 7))
        'redis://ann:x@[::1]:7'
        """
        host, port = node
        return self.url.replace("{}", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def is_cluster(url: str) -> bool:
    """Say whether a URL names a cluster."""
    return url.startswith(("redis+cluster://", "rediss+cluster://"))


def is_watched(url: str) -> bool:
    """Say whether a URL names a store by the Sentinels that watch it."""
    return url.startswith(("redis+sentinel://", "rediss+sentinel://"))


def read_nodes(url: str) -> Nodes:
    """Read the URL of a cluster, or of a store that Sentinels watch.

    >>> read_nodes("redis+cluster://:x@a,b:2?client_name=c")
    Nodes(places=(('a', 6379), ('b', 2)), service='', url='redis://:x@{}?client_name=c')
    >>> read_nodes("redis+sentinel://:x@a/shop/1")
    Nodes(places=(('a', 26379),), service='shop', url='redis://:x@{}/1')

    Raises:
        ValueError: It is none, or names no node, or no service, or a database of a cluster.
    """
    match = _MANY.fullmatch(url)
    if match is None or "{" in url:
        raise ValueError("it is no URL of many nodes")
    scheme, kind, rest = match.groups()
    place, mark, query = rest.partition("?")
    netloc, slash, path = place.partition("/")
    login, at, hosts = netloc.rpartition("@")
    service = ""
    if kind == "sentinel":
        service, slash, path = path.partition("/")
        if not service:
            raise ValueError("it names no service")
    elif path not in ("", "0"):
        raise ValueError("a cluster has no databases")
    places = tuple(_read_place(host, 26379 if service else 6379) for host in hosts.split(","))
    return Nodes(places, service, f"{scheme}://{login}{at}{{}}{slash}{path}{mark}{query}")


def _read_place(text: str, port: int) -> Node:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or port


def check_store_url(url: str) -> None:
    """Return if redis-py can read a URL for both processes, and all of it.

    Raises:
        ValueError: It cannot; the message begins with "it should" and repeats nothing of the URL.
    """
    if is_cluster(url) or is_watched(url):
        try:
            nodes = read_nodes(url)
        except ValueError:
            raise ValueError(f"it should {_FORM_OF_MANY}") from None
        url = nodes.url_of(nodes.places[0])
    _check_plain(url)


def _check_plain(url: str) -> None:
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


def options_of(nodes: Nodes) -> dict[str, Any]:
    """Return what redis-py is to know of a node beside host and port."""
    from redis.connection import ConnectionPool, SSLConnection

    pool = ConnectionPool.from_url(nodes.url_of(("host", 1)))
    options = {name: value for name, value in pool.connection_kwargs.items() if name not in ("host", "port")}
    return options | ({"ssl": True} if issubclass(pool.connection_class, SSLConnection) else {})


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
