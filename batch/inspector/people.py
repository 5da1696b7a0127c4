"""Users to look at: anybody who has lists, or anybody of a segment."""

import random

from api.contract.keys import SEGMENT_FIELD
from batch.inspector.desk import Desk

DRAWN = 250  # users a look
LOOKS = 20


def draw_user(desk: Desk, variant: str, segment: str, rng: random.Random) -> str:
    """Return the id of a user drawn from those who have lists, or from those of a segment.

    Raises:
        NothingServed: Nothing is published under the variant.
        LookupError: Nobody has lists; or nobody of the segment was found among 5,000 who were drawn.
    """
    manifest = desk.store.current(variant)
    if segment and segment not in manifest.segments:
        raise LookupError(f"there is no segment {segment[:60]!r}: there are {', '.join(manifest.segments)}")
    users = desk.store.user_ids(manifest.generation)
    if not users:
        raise LookupError(f"nobody has lists in generation {manifest.generation}")
    if not segment:
        return rng.choice(users)
    rng.shuffle(users)
    for low in range(0, min(len(users), DRAWN * LOOKS), DRAWN):
        some = users[low : low + DRAWN]
        with desk.client.pipeline(transaction=False) as pipe:
            for user in some:
                pipe.hget(desk.keys.list(user, manifest.generation), SEGMENT_FIELD)
            found = pipe.execute()
        for user, name in zip(some, found, strict=True):
            if name == segment.encode():
                return user
    raise LookupError(f"nobody of segment {segment!r} was found among {DRAWN * LOOKS:,} users: draw again")
