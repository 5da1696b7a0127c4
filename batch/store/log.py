"""The store's log of writes, written anew, so that it holds nothing but what the store holds now."""

import time
from typing import Any

import redis

from batch.progress import Show
from batch.store.cluster import find_servers
from batch.store.server import is_refused
from batch.store.wait import wait_until

LOG_S = 1800.0  # some 0.1 GB a second on a slow disk: of a store far beyond one machine's lists


def rewrite_log(client: redis.Redis, progress: Show) -> str:
    """Let every server of the store write its log anew, as `_rewrite_one`."""
    remains = (_rewrite_one(server, progress) for server in find_servers(client, replicas=True))
    return "; ".join(dict.fromkeys(filter(None, remains)))


def _rewrite_one(client: redis.Redis, progress: Show) -> str:
    """Let a server write its log anew and wait for it; return what remains to be done, empty for nothing.

    A rewrite that is under way already may have begun too early, so another one follows it.
    """
    try:
        state = client.info("persistence")
        if not state.get("aof_enabled"):
            return _remains_of_snapshots(state)
        _wait(client, progress)
        client.bgrewriteaof()
        done = _wait(client, progress)
        state = client.info("persistence")
    except redis.ResponseError as exc:
        if not is_refused(exc):
            raise
        return (
            f"the store's log still holds it ({exc}): send BGREWRITEAOF yourself, or let its host do so, "
            "and let older logs and snapshots end"
        )
    if not done or state.get("aof_last_bgrewrite_status") != "ok":
        return "the store's log still holds it, since no rewrite ended well: send BGREWRITEAOF"
    return _remains_of_snapshots(state)


def _wait(client: redis.Redis, progress: Show) -> bool:
    """Return once no rewrite is under way or about to begin; whether that was so in time."""
    began = time.monotonic()

    def is_over() -> bool:
        progress("store log", round(time.monotonic() - began), None)
        state = client.info("persistence")
        return not (state.get("aof_rewrite_in_progress") or state.get("aof_rewrite_scheduled"))

    return wait_until(is_over, LOG_S)


def _remains_of_snapshots(state: dict[str, Any]) -> str:
    """Say that a snapshot may hold it: one that the server made since its start, or makes now."""
    if not state.get("rdb_saves", 1 if state.get("rdb_bgsave_in_progress") else 0):
        return ""
    return (
        "the store's last snapshot (RDB) still holds it until the next one: send BGSAVE, or remove the file"
    )
