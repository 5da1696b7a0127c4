"""What the store holds for one user at one time, raw: for people who ask why a feed looks as it does."""

from typing import Any, cast

import redis

from api.contract.codec import decode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Manifest
from batch.publish.retire import served
from batch.store import read


class NothingServed(LookupError):
    """No generation is current under a variant, or its manifest is missing."""


def look(client: redis.Redis, keys: Keys, variant: str, user_id: int, at_s: int) -> dict[str, Any]:
    """Return what an answer to `user_id` at `at_s` (epoch seconds) is made of, read from the store alone.

    Returns:
        `generation`, `previous`, `manifest`; `bucket_s` and `label` of the time; `list` (post ids, best
        first; empty: the user has none), `list_ttl_s` (None: no list), `segment` (None: none) and
        `segment_list`, `popular`, `n_catalogue`; `seen` and `liked`: post id to the earliest epoch second,
        by time, later than `at_s` and accepted live included; `taken_down`: post ids, ascending.

    Raises:
        NothingServed: There is nothing to look into.
    """
    generation, previous = served(client, keys, variant)
    text = None if generation is None else read.value(client, keys.manifest(generation))
    if generation is None or text is None:
        raise NothingServed(f"nothing is published under variant {variant!r}: run `almanac run`")
    manifest = Manifest.from_json(text)
    bucket_s = manifest.horizon.bucket_for(at_s)
    own = read.fields(client, keys.list(user_id, generation))
    segment = own.get(SEGMENT_FIELD.encode())
    return {
        "generation": generation,
        "previous": previous,
        "manifest": manifest,
        "bucket_s": bucket_s,
        "label": manifest.horizon.label_for(at_s, manifest.as_of_s),
        "list": decode(own.get(b"%d" % bucket_s)),
        "list_ttl_s": int(client.ttl(keys.list(user_id, generation))) if own else None,
        "segment": None if segment is None else segment.decode(),
        "segment_list": []
        if segment is None
        else _bucket(client, keys.segment(generation, segment.decode()), bucket_s),
        "popular": _bucket(client, keys.popular(generation), bucket_s),
        "n_catalogue": len(decode(read.value(client, keys.catalogue(generation)))),
        "seen": _times(client, keys.seen(user_id), keys.seen_live(user_id)),
        "liked": _times(client, keys.likes(user_id), keys.likes_live(user_id)),
        "taken_down": sorted(int(read.narrow(post_id)) for post_id in client.smembers(keys.takedowns())),
    }


def _bucket(client: redis.Redis, key: str, bucket_s: int) -> list[int]:
    text = client.hget(key, str(bucket_s))
    return decode(None if text is None else read.narrow(text))


def _times(client: redis.Redis, *names: str) -> dict[int, int]:
    """Return each post's earliest time over several sets, by time, then by post."""
    found: dict[int, int] = {}
    for name in names:
        for post_id, time in cast("list[tuple[bytes, float]]", client.zrange(name, 0, -1, withscores=True)):
            found[int(post_id)] = min(int(time), found.get(int(post_id), int(time)))
    return dict(sorted(found.items(), key=lambda pair: (pair[1], pair[0])))
