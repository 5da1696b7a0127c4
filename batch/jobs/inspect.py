"""A user's feed from inside: their list, what they have seen, and what the API would answer."""

import redis

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.feed import answer
from batch.publish.inspect import look
from batch.settings import Settings

LIMIT = 10  # the API's own default


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
        "answer": {"rung": given.rung, "post_ids": list(given.post_ids)},
    }
