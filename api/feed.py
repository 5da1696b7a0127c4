"""Which posts answer a request: seen posts out, then down the fallback ladder.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from api.contract.manifest import Manifest

Rung = Literal["own", "rest", "segment", "popular", "catalogue"]
Rungs = Iterable[tuple[Rung, Sequence[int]]]
RankedLists = Mapping[int, Sequence[int]]  # bucket start in epoch seconds to post ids, best first

OWN_RUNGS: frozenset[Rung] = frozenset({"own", "rest"})


@dataclass(frozen=True, slots=True)
class Generation:
    """The part of a generation that every user shares, as the API holds it in memory.

    Attributes:
        manifest: The generation's own description.
        posts: Post id to the post as it is answered, JSON.
        catalogue: Every post id, most popular first.
        popular: The bucket's popular posts, for everyone.
        segments: The same for each segment of users, by the segment's name.
    """

    manifest: Manifest
    posts: Mapping[int, bytes]
    catalogue: Sequence[int]
    popular: RankedLists = field(default_factory=dict)
    segments: Mapping[str, RankedLists] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is current under a variant, and since when in epoch seconds."""

    generation: int
    promoted_at_s: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """What the store knows of a user at a time, all of one generation.

    Attributes:
        user_id: Who asks.
        at_s: The time asked for, epoch seconds.
        bucket_s: Start of the bucket that answers it.
        pointer: What was current when this was read.
        generation: What it names.
        own: The user's ranked list of the bucket; empty for an unknown user.
        segment: The name of his segment; None for an unknown user.
        hidden: Posts taken down, and posts seen by `at_s`.
        sees_all: Whether `hidden` has all posts seen by `at_s`, or only those since as_of, which is all
            that his own list can hold.
    """

    user_id: int
    at_s: int
    bucket_s: int
    pointer: Pointer
    generation: Generation
    own: tuple[int, ...]
    segment: str | None
    hidden: frozenset[int]
    sees_all: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The posts chosen, best first, and the rung on which choosing stopped."""

    post_ids: tuple[int, ...]
    rung: Rung


def seen_after(manifest: Manifest, at_s: int) -> int | None:
    """Return the time after which a user's own list must be checked for posts seen by `at_s`.

    An own list holds no post seen by as_of, so a request at or after as_of needs only what was seen
    since. None: all that was seen up to `at_s` must be checked. Fallback lists always need that.
    """
    return manifest.as_of_s if at_s >= manifest.as_of_s else None


def answer(found: LookUp, limit: int) -> Choice:
    """Choose `limit` posts, best first. Only where it `stands` may it be answered."""
    return choose(ladder(found, limit), found.hidden, found.generation.posts, limit)


def stands(found: LookUp, choice: Choice) -> bool:
    """Tell whether enough of what the user saw was known; if not, look up all and choose again."""
    return found.sees_all or choice.rung in OWN_RUNGS


def ladder(found: LookUp, limit: int) -> Rungs:
    """Return the rungs, best first.

    Rung `own` is the first `limit` places of the user's own list, `rest` the deeper ones. Whatever is
    missing (an unknown user, segment or bucket) is an empty rung.
    """
    shared, bucket_s = found.generation, found.bucket_s
    return (
        ("own", found.own[:limit]),
        ("rest", found.own[limit:]),
        ("segment", shared.segments.get(found.segment or "", {}).get(bucket_s, ())),
        ("popular", shared.popular.get(bucket_s, ())),
        ("catalogue", shared.catalogue),
    )


def choose(ladder: Rungs, hidden: Collection[int], known: Collection[int], limit: int) -> Choice:
    """Take the first `limit` distinct posts down the ladder that are known and not hidden.

    The order within a rung is kept. Fewer come back only when every rung is exhausted; the choice then
    stopped on `catalogue`.

    >>> rungs: Rungs = (("own", [3, 1]), ("popular", [1, 2]), ("catalogue", [1, 2, 3, 4]))
    >>> choose(rungs, hidden={3}, known={1, 2, 3, 4}, limit=2)
    Choice(post_ids=(1, 2), rung='popular')
    """
    chosen: dict[int, None] = {}
    for rung, post_ids in ladder:
        for post_id in post_ids:
            if post_id in hidden or post_id in chosen or post_id not in known:
                continue
            chosen[post_id] = None
            if len(chosen) == limit:
                return Choice(tuple(chosen), rung)
    return Choice(tuple(chosen), "catalogue")


def body(choice: Choice, posts: Mapping[int, bytes]) -> bytes:
    """Write the chosen posts as a JSON array, from their own JSON.

    >>> body(Choice((2, 1), "own"), {1: b'{"id":1}', 2: b'{"id":2}'})
    b'[{"id":2},{"id":1}]'
    """
    return b"[%s]" % b",".join([posts[post_id] for post_id in choice.post_ids])
