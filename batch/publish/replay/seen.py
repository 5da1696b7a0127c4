"""What a user has seen, as the store has it: facts and live events together."""

from typing import cast

import redis

from api.contract.keys import Keys
from api.contract.manifest import SeenPolicy


def hidden_by(client: redis.Redis, keys: Keys, user_id: int, at_s: int, policy: SeenPolicy) -> frozenset[int]:
    """Return the posts that no answer to a user for a time may hold: seen, or liked, by then."""
    if policy == "none":
        return frozenset()
    times = seen_times(client, keys, user_id) if policy == "views" else liked_times(client, keys, user_id)
    return frozenset(post_id for post_id, first_s in times.items() if first_s <= at_s)


def seen_times(client: redis.Redis, keys: Keys, user_id: int) -> dict[int, int]:
    """Return the earliest second at which a user saw each post, by time, then by post."""
    return _earliest(client, keys.seen(user_id), keys.seen_live(user_id))


def liked_times(client: redis.Redis, keys: Keys, user_id: int) -> dict[int, int]:
    """Return the earliest second at which a user liked each post, by time, then by post."""
    return _earliest(client, keys.likes(user_id), keys.likes_live(user_id))


def _earliest(client: redis.Redis, *names: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for name in names:
        for post_id, time in cast("list[tuple[bytes, float]]", client.zrange(name, 0, -1, withscores=True)):
            found[int(post_id)] = min(int(time), found.get(int(post_id), int(time)))
    return dict(sorted(found.items(), key=lambda pair: (pair[1], pair[0])))
