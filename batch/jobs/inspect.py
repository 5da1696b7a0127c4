"""A user's feed from inside: his list, what he has seen, and what the API would answer."""

import redis

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.keys import Keys
from api.feed import Rungs, choose
from batch.publish.inspect import look
from batch.settings import Settings

LIMIT = 10  # the API's own default


def inspect(client: redis.Redis, settings: Settings, user_id: int, at_s: int) -> dict[str, object]:
    """Return what an answer is made of, and the answer, as the API would give it.

    Returns:
        The parts of `batch.publish.inspect.look` with times as ISO 8601, `seen` cut off at the time asked,
        and `answer` with `rung` and `post_ids`.

    Raises:
        NothingServed: No generation is current.
    """
    keys = Keys(settings.prefix)
    found = look(client, keys, settings.variant, user_id, at_s)
    manifest = found["manifest"]
    by_policy = {"views": found["seen"], "likes": found["liked"], "none": {}}[manifest.seen_policy]
    hidden = {post_id for post_id, seen_s in by_policy.items() if seen_s <= at_s} | set(found["taken_down"])
    catalogue = decode(_bytes(client.get(keys.catalogue(found["generation"]))))
    ladder: Rungs = (
        ("own", found["list"][:LIMIT]),
        ("rest", found["list"][LIMIT:]),
        ("segment", found["segment_list"]),
        ("popular", found["popular"]),
        ("catalogue", catalogue),
    )
    answer = choose(ladder, hidden, set(catalogue), LIMIT)
    return {
        "user_id": user_id,
        "at": moment(at_s).isoformat(),
        "generation": found["generation"],
        "as_of": moment(manifest.as_of_s).isoformat(),
        "bucket": moment(found["bucket_s"]).isoformat(),
        "label": found["label"],
        "segment": found["segment"],
        "list": found["list"],
        "list_ttl_s": found["list_ttl_s"],
        "seen": {str(post): moment(s).isoformat() for post, s in found["seen"].items() if s <= at_s},
        "taken_down": found["taken_down"],
        "answer": {"rung": answer.rung, "post_ids": list(answer.post_ids)},
    }


def _bytes(reply: object) -> bytes | None:
    assert reply is None or isinstance(reply, bytes)
    return reply
