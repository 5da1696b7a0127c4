"""How what is served stands: its age, its lists, what waits in the store; or that the store is away."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import orjson
import redis

from api.contract.asked import Going
from api.contract.buckets import moment
from batch.inspector.desk import Desk
from batch.jobs.asked import read_waiting
from batch.jobs.watch import look
from batch.publish.folder import GenerationFolder
from batch.publish.ledger.ledger import NothingServed
from batch.store import read
from batch.store.connection import StoreFailed


def look_at_store(desk: Desk) -> dict[str, Any]:
    """Return what the store tells; where it does not answer, `away` says so, and nothing else is known."""
    known: dict[str, Any] = {"served": None, "is_stale": False, "lists": None, "going": None}
    known |= {"events": None, "exposures": None, "asked": [], "away": ""}
    try:
        return known | _read(desk)
    except redis.RedisError as exc:
        return known | {"away": str(StoreFailed(desk.url, exc))}


def _read(desk: Desk) -> dict[str, Any]:
    client, keys, served = desk.client, desk.keys, None
    with suppress(NothingServed):
        served = asdict(look(desk.settings, client, desk.now()))
    stale_s = desk.settings.stale_h * 3600
    return {
        "served": served,
        "is_stale": bool(
            served and stale_s and max(served["fact_age_s"], served["publication_age_s"]) > stale_s
        ),
        "lists": None if served is None else count_short(desk, served["generation"]),
        "going": _read_going(desk),
        "events": int(client.xlen(keys.events())),
        "exposures": int(client.xlen(keys.exposures())),
        "asked": [
            {"at": moment(int(entry.partition("-")[0]) // 1000).isoformat(), "pipeline": ask.pipeline}
            for entry, ask in read_waiting(client, keys)
            if ask.pipeline is not None
        ],
    }


def _read_going(desk: Desk) -> dict[str, Any] | None:
    """Return the run that goes on, on whatever host; None where there is none."""
    value = read.value(desk.client, desk.keys.runs_now())
    if value is None:
        return None
    with suppress(ValueError):
        going = Going.from_json(value)
        since = moment(going.since_s).isoformat()
        return {"kind": going.kind, "host": going.host, "run": going.run, "since": since}
    return None


def count_short(desk: Desk, generation: int) -> dict[str, int] | None:
    """Return how many lists of a generation are shorter than they could be, and users without any post.

    None where its folder is gone, or has no count, as that of somebody else's lists.
    """
    try:
        stats = orjson.loads(GenerationFolder.of(desk.folder, generation).stats.read_bytes())
        return {name: int(stats[f"n_{name}"]) for name in ("lists", "short", "users", "empty")}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
