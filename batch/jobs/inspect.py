"""A user's feed from inside: their list, what they have seen, and what the API would answer."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import redis

from api.contract.buckets import epoch, moment
from api.contract.codec import decode
from api.contract.facets import Filter, take_turns
from api.contract.ids import as_json, canonical
from api.contract.keys import Id, Keys
from api.feed import answer
from api.found import Lookup
from batch.learn.chosen import describe_choice
from batch.publish.ledger.ledger import NothingServed
from batch.publish.replay.history import History, read_history
from batch.publish.replay.kept import GenerationLost, Kept, from_store
from batch.publish.replay.seen import hidden_by, seen_times
from batch.settings import Settings
from batch.store import read
from batch.store.connection import connect_store

LIMIT = 10  # the API's own default
ReadKept = Callable[[redis.Redis, Keys, int], Kept]  # as `from_store`


def read_feed(
    user_id: Id, at: datetime | None = None, limit: int = LIMIT, settings: Settings | None = None
) -> list[int | str]:
    """Return the posts that the API answers a user at a time, best first, straight from the store.

    Args:
        user_id: Whose feed, a number or a text; for someone unknown it is the popular posts.
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
        found = look(client, chosen.keys, chosen.variant, user_id, at_s).found
    return list(answer(found, limit).post_ids)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an answer to a user at a time is made of, read from the store alone.

    Attributes:
        found: What the generation that answers the time holds for the user; the input of `api.feed.answer`.
        list: The user's list, best first; a post is its id as JSON has it, here and below.
        seen: Post to the earliest epoch second, by time, later than asked and accepted live included.
        list_ttl_s: Seconds that the user's lists have left; None where there is no list.
        taken_down: Posts, by their ids.
    """

    found: Lookup
    list: tuple[int | str, ...]
    seen: dict[int | str, int]
    list_ttl_s: int | None
    taken_down: tuple[int | str, ...]


def inspect(
    client: redis.Redis,
    settings: Settings,
    user_id: Id,
    at_s: int,
    limit: int = LIMIT,
    *,
    wish: Filter | None = None,
) -> dict[str, object]:
    """Return what an answer is made of, and the answer, as the API gives it at any time, now or past.

    Returns:
        Times as ISO 8601; `chosen` (what the model is made of, in words; empty for a peer), `list` (post ids,
        best first; empty: the user has none), `list_ttl_s` (None: no list), `seen` up to the time asked for,
        `taken_down`, and `answer` with `rung`, `post_ids` and those of them that are `pinned` or `explored`.

    Raises:
        NothingServed: No generation is current.
        NotFiltered: The filter names a column that the generation has no facets of.
    """
    inside = look(client, settings.keys, settings.variant, user_id, at_s)
    looked = with_topics(client, settings.keys, inside.found, wish)
    given = answer(looked, limit, wanted=None if wish is None else looked.generation.find_wanted(wish))
    found, manifest = inside.found, inside.found.generation.manifest
    return {
        "user_id": as_json(str(user_id), manifest.user_ids),
        "at": moment(at_s).isoformat(),
        "generation": manifest.generation,
        "as_of": moment(manifest.as_of_s).isoformat(),
        "chosen": describe_choice(manifest.metrics),
        "bucket": moment(found.bucket_s).isoformat(),
        "label": given.label,
        "segment": found.segment,
        "list": list(inside.list),
        "list_ttl_s": inside.list_ttl_s,
        "seen": {str(post): moment(s).isoformat() for post, s in inside.seen.items() if s <= at_s},
        "taken_down": list(inside.taken_down),
        "answer": {
            "rung": given.rung,
            "post_ids": list(given.post_ids),
            "pinned": list(given.pinned_ids),
            "explored": list(given.drawn_ids),
        },
    }


def with_topics(client: redis.Redis, keys: Keys, found: Lookup, wish: Filter | None) -> Lookup:
    """Return the look-up with the user's own lists of the topics that are wanted."""
    manifest = found.generation.manifest
    if wish is None or not wish.topics or not manifest.topic_depth:
        return found
    key = keys.topics(canonical(found.user_id, manifest.user_ids), manifest.generation)
    lists = client.hmget(key, list(wish.topics))
    return replace(found, topics=take_turns(decode(read.narrow(text or b"")) for text in lists))


def look(
    client: redis.Redis,
    keys: Keys,
    variant: str,
    user_id: Id,
    at_s: int,
    read_kept: ReadKept = from_store,
) -> Inspection:
    """Look up what the API answers a user at a time (epoch seconds) from.

    That is the generation of the time where it is kept, else what is current; `read_kept` gives it.

    Raises:
        NothingServed: There is nothing to look into.
    """
    kept, history = find_kept(client, keys, variant, at_s, read_kept)
    return look_into(client, keys, kept, history, user_id, at_s)


def look_into(
    client: redis.Redis, keys: Keys, kept: Kept, history: History, user_id: Id, at_s: int
) -> Inspection:
    """Look up what a generation would answer a user at a time (epoch seconds) from, whatever is served."""
    manifest = kept.shared.manifest
    who = kept.user_key(str(user_id))
    hidden = hidden_by(client, keys, who, at_s, manifest)
    found = kept.look_up(str(user_id), at_s, hidden, history.taken_down, history.pins)
    left_s = int(client.ttl(keys.list(who, manifest.generation)))
    seen = seen_times(client, keys, who, manifest)
    return Inspection(
        found=found,
        list=tuple(map(kept.shared.id_of, found.own)),
        seen={kept.name_post(post_id): first_s for post_id, first_s in seen.items()},
        list_ttl_s=left_s if left_s >= 0 else None,
        taken_down=tuple(map(kept.name_post, sorted(history.taken_down, key=lambda text: (len(text), text)))),
    )


def find_kept(
    client: redis.Redis,
    keys: Keys,
    variant: str,
    at_s: int,
    read_kept: ReadKept = from_store,
    generation: int | None = None,
) -> tuple[Kept, History]:
    """Return the generation that answers a time (epoch seconds) where it is kept, else what is current.

    One that is named by its number answers whatever is served; takedowns and pins are of now all the same.

    Raises:
        NothingServed: There is neither.
        GenerationLost: The one that is named is not in the store any more.
    """
    history = read_history(client, keys, variant)
    if generation is not None:
        return read_kept(client, keys, generation), history
    kept: Kept | None = None
    for number in (history.generation_at(at_s), history.current):
        if kept is None and isinstance(number, int):
            with suppress(GenerationLost):
                kept = read_kept(client, keys, number)
    if kept is None or history.current is None:
        raise NothingServed(
            f"nothing is published under variant {variant!r}: run `almanac run --variant {variant}`"
        )
    return kept, history
