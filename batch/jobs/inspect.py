"""A user's feed from inside: their list, what they have seen, and what the API would answer."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import redis

from api.contract.buckets import epoch, moment
from api.contract.keys import Keys
from api.feed import Lookup, answer
from batch.publish.ledger.ledger import NothingServed
from batch.publish.replay.history import read_history
from batch.publish.replay.kept import GenerationLost, Kept, from_store
from batch.publish.replay.seen import hidden_by, seen_times
from batch.settings import Settings
from batch.store.connection import connect_store

LIMIT = 10  # the API's own default


def read_feed(
    user_id: int, at: datetime | None = None, limit: int = LIMIT, settings: Settings | None = None
) -> list[int]:
    """Return the posts that the API answers a user at a time, best first, straight from the store.

    Args:
        user_id: Whose feed; for someone unknown it is the popular posts.
        at: Time of the feed; without a zone it is UTC; now where None.
        limit: How many posts at most.
        settings: Which store, prefix and variant; read from the environment where None.

    Raises:
        NothingServed: No generation is current.
        redis.RedisError: The store does not answer.
    """
    chosen = settings or Settings()
    at_s = epoch(at) if at else int(time.time())
    with connect_store(chosen) as client:
        found = look(client, Keys(chosen.prefix), chosen.variant, user_id, at_s).found
    return list(answer(found, limit).posts)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an answer to a user at a time is made of, read from the store alone.

    Attributes:
        found: What the generation that answers the time holds for the user; the input of `api.feed.answer`.
        seen: Post id to the earliest epoch second, by time, later than asked and accepted live included.
        list_ttl_s: Seconds that the user's lists have left; None where there is no list.
        taken_down: Post ids, ascending.
    """

    found: Lookup
    seen: dict[int, int]
    list_ttl_s: int | None
    taken_down: tuple[int, ...]


def inspect(
    client: redis.Redis, settings: Settings, user_id: int, at_s: int, limit: int = LIMIT
) -> dict[str, object]:
    """Return what an answer is made of, and the answer, as the API gives it at any time, now or past.

    Returns:
        Times as ISO 8601; `list` (post ids, best first; empty: the user has none), `list_ttl_s` (None: no
        list), `seen` up to the time asked for, `taken_down`, and `answer` with `rung` and `post_ids`.

    Raises:
        NothingServed: No generation is current.
    """
    inside = look(client, Keys(settings.prefix), settings.variant, user_id, at_s)
    given = answer(inside.found, limit)
    found, manifest = inside.found, inside.found.generation.manifest
    return {
        "user_id": user_id,
        "at": moment(at_s).isoformat(),
        "generation": manifest.generation,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "bucket": moment(found.bucket_s).isoformat(),
        "label": given.label,
        "segment": found.segment,
        "list": list(found.own),
        "list_ttl_s": inside.list_ttl_s,
        "seen": {str(post): moment(s).isoformat() for post, s in inside.seen.items() if s <= at_s},
        "taken_down": list(inside.taken_down),
        "answer": {"rung": given.rung, "post_ids": list(given.posts)},
    }


def look(client: redis.Redis, keys: Keys, variant: str, user_id: int, at_s: int) -> Inspection:
    """Look up what the API answers a user at a time (epoch seconds) from.

    That is the generation of the time where it is kept, else what is current.

    Raises:
        NothingServed: There is nothing to look into.
    """
    history = read_history(client, keys, variant)
    kept: Kept | None = None
    for number in (history.generation_at(at_s), history.current):
        if kept is None and isinstance(number, int):
            with suppress(GenerationLost):
                kept = from_store(client, keys, number)
    if kept is None or history.current is None:
        raise NothingServed(
            f"nothing is published under variant {variant!r}: run `almanac run --variant {variant}`"
        )
    manifest = kept.shared.manifest
    hidden = hidden_by(client, keys, user_id, at_s, manifest.seen_policy)
    left_s = int(client.ttl(keys.list(user_id, manifest.generation)))
    return Inspection(
        found=kept.look_up(user_id, at_s, hidden, history.taken_down),
        seen=seen_times(client, keys, user_id),
        list_ttl_s=left_s if left_s >= 0 else None,
        taken_down=tuple(sorted(history.taken_down)),
    )
