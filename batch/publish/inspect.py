"""What the store holds for one user at one time, raw: for people who ask why a feed looks as it does."""

from contextlib import suppress
from dataclasses import dataclass

import redis

from api.contract.keys import Keys
from api.feed import Lookup
from batch.publish.ledger.ledger import NothingServed
from batch.publish.replay.history import read_history
from batch.publish.replay.kept import GenerationLost, Kept, from_store
from batch.publish.replay.seen import hidden_by, liked_times, seen_times


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an answer to a user at a time is made of, read from the store alone.

    Attributes:
        found: What the generation that answers the time holds for the user; the input of `api.feed.answer`.
        seen, liked: Post id to the earliest epoch second, by time, later than asked and accepted live
            included.
        list_ttl_s: Seconds that the user's lists have left; None where there is no list.
        taken_down: Post ids, ascending.
    """

    found: Lookup
    seen: dict[int, int]
    liked: dict[int, int]
    list_ttl_s: int | None
    taken_down: tuple[int, ...]


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
        liked=liked_times(client, keys, user_id),
        list_ttl_s=left_s if left_s >= 0 else None,
        taken_down=tuple(sorted(history.taken_down)),
    )
