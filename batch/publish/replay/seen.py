"""What a user has seen, as the store has it: facts and live events together. Posts are canonical ids."""

from collections.abc import Callable
from typing import cast

import redis

from api.contract.ids import FEATURE, canonical
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from api.contract.seen import unpack_seen
from batch.publish.ledger.ledger import Ledger
from batch.publish.post_ids import PostIds, read_spelled
from batch.store import read

Name = Callable[[str], str]


def hidden_by(client: redis.Redis, keys: Keys, user_id: str, at_s: int, manifest: Manifest) -> frozenset[str]:
    """Return the posts that no answer of a generation to a user for a time may hold: seen, or liked, by then.

    Args:
        client: The store.
        keys: Names of the keys.
        user_id: In canonical form.
        at_s: The time, epoch seconds.
        manifest: The generation's.
    """
    if manifest.seen_policy == "none":
        return frozenset()
    of = seen_times if manifest.seen_policy == "views" else liked_times
    times = of(client, keys, user_id, manifest)
    return frozenset(post_id for post_id, first_s in times.items() if first_s <= at_s)


def seen_times(client: redis.Redis, keys: Keys, user_id: str, manifest: Manifest) -> dict[str, int]:
    """Return the earliest second at which a user saw each post, by time, then by post."""
    return _earliest(Ledger(client, keys), keys.seen, keys.seen_live, keys.seen_old, user_id, manifest)


def liked_times(client: redis.Redis, keys: Keys, user_id: str, manifest: Manifest) -> dict[str, int]:
    """Return the earliest second at which a user liked each post, by time, then by post."""
    return _earliest(Ledger(client, keys), keys.likes, keys.likes_live, keys.likes_old, user_id, manifest)


def _earliest(
    ledger: Ledger, numbers: Name, ids: Name, old: Name, user_id: str, manifest: Manifest
) -> dict[str, int]:
    """Unite sets of numbers, of ids and what is packed, as the generation of the manifest takes them."""
    kind, found = manifest.post_ids, read_numbers(ledger, numbers(user_id), old(user_id))
    spelled = read_spelled(ledger, list(found)) if FEATURE in manifest.needs else {}
    posts = PostIds(kind, spelled)
    times = {posts.id_of(number): first_s for number, first_s in found.items()}
    for text, first_s in _read_times(ledger, ids(user_id)).items():
        post_id = canonical(text, kind)
        times[post_id] = min(first_s, times.get(post_id, first_s))
    return dict(sorted(times.items(), key=lambda pair: (pair[1], len(pair[0]), pair[0])))


def read_numbers(ledger: Ledger, numbers: str, old: str) -> dict[int, int]:
    """Return the earliest second of each post's number, in a set and in what is packed of it."""
    times = {int(number): first_s for number, first_s in _read_times(ledger, numbers).items()}
    for number, first_s in unpack_seen(read.value(ledger.client, old) or b""):
        times[number] = min(first_s, times.get(number, first_s))
    return times


def _read_times(ledger: Ledger, key: str) -> dict[str, int]:
    pairs = cast("list[tuple[bytes, float]]", ledger.client.zrange(key, 0, -1, withscores=True))
    return {member.decode(): int(time) for member, time in pairs}
