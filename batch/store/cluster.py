"""A cluster as the batch uses it: redis-py's client of the whole, and what must be asked of each primary.

Keys that are no user's lie in one slot there (`api/contract/keys.py`), so transactions and scripts are as on
a single store; only what one step changes of users and of all at once goes in two.
"""

from typing import Any, cast

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from api.address import is_cluster, read_nodes

ERRORS = (redis.RedisError, RedisClusterException)  # the second is none of the first


def connect_cluster(url: str, **options: Any) -> redis.Redis:
    """Return a client of a cluster, which has the methods of `redis.Redis`; options are those of each node.

    Raises:
        redis.RedisError: No node answers, or they are no cluster.
    """
    assert is_cluster(url)
    nodes = read_nodes(url)
    startup = [_node(host, port) for host, port in nodes.places]
    try:
        client = RedisCluster.from_url(nodes.url_of(nodes.places[0]), startup_nodes=startup, **options)
    except RedisClusterException as exc:
        raise redis.ConnectionError(f"{exc}: {exc.__cause__ or 'are they nodes of a cluster?'}") from exc
    return cast("redis.Redis", client)


def connect_again(client: redis.Redis, retry: Retry, reply_s: float) -> redis.Redis | None:
    """Return another client of the same cluster, which waits so long for a reply; None: it is no cluster."""
    whole = as_cluster(client)
    if whole is None:
        return None
    # Host and port are each node's own; the rest says how all are reached.
    options = {k: v for k, v in whole.get_connection_kwargs().items() if k in _OF_ALL}
    startup = [_node(node.host, node.port) for node in whole.get_nodes()]
    return cast(
        "redis.Redis",
        RedisCluster(startup_nodes=startup, **{**options, "socket_timeout": reply_s, "retry": retry}),
    )


_OF_ALL = (
    *("username", "password", "client_name", "socket_connect_timeout", "ssl", "ssl_keyfile", "ssl_certfile"),
    *("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
)


def _node(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


def as_cluster(client: redis.Redis) -> Any:
    """Return a cluster's client as what it is to redis-py, which leaves it without types; else None."""
    found: object = client
    return found if isinstance(found, RedisCluster) else None


def find_servers(client: redis.Redis, *, replicas: bool = False) -> list[redis.Redis]:
    """Return a client of each primary, and of each replica if asked; of a single store, that one."""
    whole = as_cluster(client)
    if whole is None:
        return [client]
    return [
        whole.get_redis_connection(node)
        for node in (whole.get_nodes() if replicas else whole.get_primaries())
    ]


def find_server(client: redis.Redis, key: str | bytes) -> redis.Redis:
    """Return a client of the primary that has a key."""
    whole = as_cluster(client)
    if whole is None:
        return client
    node = whole.get_node_from_key(key)
    if node is None:
        raise redis.ConnectionError("nobody in the cluster has the key's slot")
    return cast("redis.Redis", node.redis_connection)
