"""Which posts answer a request: seen posts out, then down the fallback ladder.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from api.contract.manifest import Manifest

Rung = Literal["own", "rest", "profile", "segment", "popular", "catalogue"]
Degraded = Literal["", "value", "generation", "store"]
Reason = Literal["catalogue", "taken_down", "excluded", "seen"]
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


@dataclass(slots=True, eq=False)  # not frozen: one is made per request, and that would double its cost
class LookUp:
    """What the store knows of a user at a time, all of one generation. Nobody changes it.

    Attributes:
        user_id: Who asks.
        at_s: The time asked for, epoch seconds.
        bucket_s: Start of the bucket that answers it.
        pointer: What was current when this was read.
        generation: What it names.
        own: The user's ranked list of the bucket; empty for an unknown user.
        segment: The name of his segment; None for an unknown user who does not tell it.
        hidden: Posts seen by `at_s`. Those taken down are not among the generation's posts.
        sees_all: Whether `hidden` has all posts seen by `at_s`, or only those since as_of, which is all
            that his own list can hold.
        degraded: What could not be read, so that this is from what else is known: the user's list
            (`value`), the current generation, or the store at all. Empty when all is well.
        profile: The list of his profile, for an unknown user who tells it.
    """

    user_id: int
    at_s: int
    bucket_s: int
    pointer: Pointer
    generation: Generation
    own: Sequence[int]
    segment: str | None
    hidden: frozenset[int]
    sees_all: bool
    degraded: Degraded = ""
    profile: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The posts chosen, best first, and the rung on which choosing stopped."""

    post_ids: tuple[int, ...]
    rung: Rung


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a feed: the choice, and the place in the whole order at which the next page begins.

    `then` is None when nothing follows.
    """

    choice: Choice
    then: int | None


def seen_after(manifest: Manifest, at_s: int) -> int | None:
    """Return the time after which a user's own list must be checked for posts seen by `at_s`.

    An own list holds no post seen by as_of, so a request at or after as_of needs only what was seen
    since. None: all that was seen up to `at_s` must be checked. Fallback lists always need that.
    """
    return manifest.as_of_s if at_s >= manifest.as_of_s else None


def answer(found: LookUp, limit: int) -> Choice:
    """Choose `limit` posts, best first. Only where it `stands` may it be answered."""
    head, known = found.own[:limit], found.generation.posts
    distinct = set(head)
    if len(distinct) == limit and found.hidden.isdisjoint(distinct) and known.keys() >= distinct:
        return Choice(tuple(head), "own")  # what `choose` says, too; most requests end here
    return choose(ladder(found, limit), found.hidden, found.generation.posts, limit)


def stands(found: LookUp, choice: Choice) -> bool:
    """Tell whether enough of what the user saw was known; if not, look up all and choose again."""
    return found.sees_all or choice.rung in OWN_RUNGS


def ladder(found: LookUp, limit: int) -> Rungs:
    """Yield the rungs, best first; most requests need only the first.

    Rung `own` is the first `limit` places of the user's own list, `rest` the deeper ones. Whatever is
    missing (an unknown user, profile, segment or bucket) is an empty rung.
    """
    shared, bucket_s = found.generation, found.bucket_s
    yield "own", found.own[:limit]
    yield "rest", found.own[limit:]
    yield "profile", found.profile
    yield "segment", shared.segments.get(found.segment or "", {}).get(bucket_s, ())
    yield "popular", shared.popular.get(bucket_s, ())
    yield "catalogue", shared.catalogue


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


def page(found: LookUp, limit: int, start: int, excluded: Collection[int] = ()) -> Page:
    """Choose `limit` posts from place `start` of the whole order on; wants a look-up that sees all.

    The whole order has every post of every rung once, hidden ones included. It depends on nothing but the
    generation, the user and the bucket, so that pages of it neither repeat a post nor leave one out, whatever
    is seen, taken down or excluded between them.
    """
    hidden, known = found.hidden, found.generation.posts
    met: set[int] = set()
    chosen: list[int] = []
    lowest: Rung = "own"
    then = None
    for rung, post_ids in ladder(found, limit):
        for post_id in post_ids:
            if post_id in met:
                continue
            met.add(post_id)
            if len(met) <= start or post_id in hidden or post_id in excluded or post_id not in known:
                continue
            if len(chosen) == limit:
                return Page(Choice(tuple(chosen), lowest), then)
            chosen.append(post_id)
            lowest, then = rung, len(met)
    return Page(Choice(tuple(chosen), "catalogue" if len(chosen) < limit else lowest), None)


def underfill(found: LookUp, choice: Choice, limit: int, excluded: Collection[int] = ()) -> Reason | None:
    """Say what kept an answer from having `limit` posts; None if it has them.

    Of the catalogue's posts: it has too few, or most of those left out were taken down, excluded, or seen.
    """
    if len(choice.post_ids) >= limit:
        return None
    whole, known = found.generation.catalogue, found.generation.posts
    if len(whole) < limit:
        return "catalogue"
    out: dict[Reason, int] = {
        "taken_down": sum(post_id not in known for post_id in whole),
        "excluded": sum(post_id in excluded for post_id in whole),
        "seen": sum(post_id in found.hidden for post_id in whole),
    }
    return max(out, key=lambda reason: out[reason])


def body(choice: Choice, posts: Mapping[int, bytes]) -> bytes:
    """Write the chosen posts as a JSON array, from their own JSON.

    >>> body(Choice((2, 1), "own"), {1: b'{"id":1}', 2: b'{"id":2}'})
    b'[{"id":2},{"id":1}]'
    """
    return b"[%s]" % b",".join([posts[post_id] for post_id in choice.post_ids])
