"""The store's function `feed`, called as its header says."""

from collections.abc import Sequence

import redis

from api.contract.keys import Keys
from api.contract.manifest import EXPLORE, FOLDED, WINDOWS, Manifest


def call_feed(
    store: redis.Redis,
    manifest: Manifest,
    user: str,
    at_s: int,
    limit: int,
    told: Sequence[str] = (),
    without: Sequence[int] = (),
) -> list[str]:
    """Return what it replies: rung, bucket, label, ids of posts.

    Args:
        store: The store, its functions loaded.
        manifest: That of the generation that is current.
        user: The user's id as keys have it.
        at_s: The time asked for, epoch seconds.
        limit: How many posts at most.
        told: Keys of the lists that the user's profile names.
        without: Numbers of posts that are not wanted.
    """
    keys, number = Keys(), manifest.generation
    seen = keys.likes(user) if manifest.seen_policy == "likes" else keys.seen(user)
    names = [
        keys.current("default"),
        keys.manifest(number),
        keys.list(user, number),
        seen,
        keys.takedowns(),
        keys.popular(number),
        keys.catalogue(number),
        keys.posts(number),
        keys.ids(),
        keys.pins(),
        keys.numbers(),
        *([keys.windows(number)] if WINDOWS in manifest.needs else []),
        *([keys.explore(number)] if EXPLORE in manifest.needs else []),
        *([seen + ":old"] if FOLDED in manifest.needs else []),
        *(keys.segment(number, name) for name in manifest.segments),
        *told,
    ]
    reply = store.fcall_ro("feed", len(names), *names, str(at_s), str(limit), *map(str, without))
    assert isinstance(reply, list)
    return [part.decode() for part in reply]
