"""Users to look at: anybody who has lists, anybody of a segment, somebody by how much they have seen."""

import random
from collections.abc import Mapping

from api.contract.manifest import Manifest
from api.contract.seen import N_AT
from batch.inspector.desk import Desk

DRAWN = 250  # users a look
LOOKS = 20
VIEWS: Mapping[str, float] = {"most": 1.0, "typical": 0.5, "few": 0.0}  # which of those drawn, by their views


def draw_user(desk: Desk, variant: str, segment: str, views: str, rng: random.Random) -> str:
    """Return the id of a user drawn from those who have lists, or from those of a segment.

    By `views`, whoever has seen most, or least, or has as many before as behind, of up to 250 who are drawn:
    nothing in the store says who of all has seen most, and asking of all takes seconds.

    Raises:
        NothingServed: Nothing is published under the variant.
        LookupError: Nobody has lists; or nobody of the segment was found among 5,000 who were drawn.
    """
    manifest = desk.store.current(variant)
    if segment and segment not in manifest.segments:
        raise LookupError(f"there is no segment {segment[:60]!r}: there are {', '.join(manifest.segments)}")
    if views and views not in VIEWS:
        raise LookupError(f"views={views[:40]!r} is none of {', '.join(VIEWS)}")
    users = desk.store.user_ids(manifest.generation)
    if not users:
        raise LookupError(f"nobody has lists in generation {manifest.generation}")
    if not segment:
        drawn = rng.sample(users, min(len(users), DRAWN if views else 1))
    else:
        drawn = _draw_of_segment(desk, manifest, users, segment, rng)
    return _choose_by_views(desk, drawn, VIEWS[views]) if views else drawn[0]


def _draw_of_segment(
    desk: Desk, manifest: Manifest, users: list[str], segment: str, rng: random.Random
) -> list[str]:
    """Return users of a segment, as many as one look finds.

    Raises:
        LookupError: 20 looks found nobody.
    """
    rng.shuffle(users)
    for low in range(0, min(len(users), DRAWN * LOOKS), DRAWN):
        some = users[low : low + DRAWN]
        found = desk.store.segments(manifest, some)
        there = [user for user, name in zip(some, found, strict=True) if name == segment]
        if there:
            return there
    raise LookupError(f"nobody of segment {segment!r} was found among {DRAWN * LOOKS:,} users: draw again")


def _choose_by_views(desk: Desk, users: list[str], share: float) -> str:
    """Return the user before whom that share of the users stands by what they have seen, fewest first."""
    with desk.client.pipeline(transaction=False) as pipe:
        for user in users:
            pipe.zcard(desk.keys.seen(user))
            pipe.getrange(desk.keys.seen_old(user), N_AT, N_AT + 3)
        told = pipe.execute()
    counts = [n + int.from_bytes(old, "little") for n, old in zip(told[::2], told[1::2], strict=True)]
    order = sorted(range(len(users)), key=lambda row: (counts[row], users[row]))
    return users[order[round(share * (len(users) - 1))]]
