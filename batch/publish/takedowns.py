"""Posts that no answer may hold, as the batch takes them down and puts them back: at once, with a note."""

import redis

from api.contract.ids import canonical, check_id, quote
from api.contract.keys import Keys
from batch.publish.pins import find_kind


def take_down(
    client: redis.Redis, keys: Keys, variant: str, post_id: str, now_s: float, who: str = ""
) -> bool:
    """Keep a post from every answer, from the next request on; return whether that is new.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Whose current generation says what ids of posts are.
        post_id: Which post; no generation need know it.
        now_s: When this is noted, epoch seconds.
        who: Does it, for the note; empty: unknown.

    Raises:
        ValueError: It can be no id.
    """
    return _change(client, keys, variant, post_id, now_s, who, down=True)


def put_back(
    client: redis.Redis, keys: Keys, variant: str, post_id: str, now_s: float, who: str = ""
) -> bool:
    """Let a post be answered again; return whether it was taken down; arguments as `take_down`."""
    return _change(client, keys, variant, post_id, now_s, who, down=False)


def _change(
    client: redis.Redis, keys: Keys, variant: str, post_id: str, now_s: float, who: str, *, down: bool
) -> bool:
    post = canonical(check_id(post_id), find_kind(client, keys, variant))
    with client.pipeline(transaction=True) as pipe:
        (pipe.sadd if down else pipe.srem)(keys.takedowns(), post)
        member = f"{round(now_s * 1000)} {quote(post)} {'down' if down else 'up'} {quote(who)}".rstrip()
        pipe.zadd(keys.takedown_log(), {member: int(now_s)})
        changed, _ = pipe.execute()
    return bool(changed)
