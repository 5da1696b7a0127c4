"""Which posts answer a request: seen posts out, then down the fallback ladder.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from api.contract.buckets import Label
from api.contract.experiment import Placement
from api.contract.explore import Drawn
from api.contract.facets import Wanted
from api.contract.packed import PackedList
from api.contract.window import find_closed, is_closed
from api.cursor import Cursor
from api.exploration import draw_places
from api.found import Lookup
from api.overlay import overlay

Rung = Literal["own", "rest", "topic", "profile", "segment", "popular", "catalogue"]
Reason = Literal["catalogue", "taken_down", "excluded", "seen", "closed", "filter"]

OWN_RUNGS: frozenset[Rung] = frozenset({"own", "rest"})


@dataclass(slots=True, eq=False)  # not frozen, as Lookup
class Answer:
    """The posts that answer a request, and what they were chosen from. Nobody changes it.

    Attributes:
        found: What the store knows of the user at the time.
        limit: How many posts were asked for.
        posts: The posts' numbers, best first; fewer than `limit` only when every rung is exhausted.
        rung: The lowest rung that was needed; `catalogue` if there are fewer than `limit`.
        excluded: The numbers of posts that were not wanted.
        next_start: The place in the whole order at which the next page begins; None where nothing follows,
            or pages were not asked for.
        wanted: The posts that the filter left; None where all were wanted.
        pinned: Those of the posts that stand at a place because they are pinned there, by place.
        pinned_before: Those that the first page had, pinned or drawn, where this is a later one.
        drawn: What stands at exploration places, by place, each with the chance that it had.
        raised: Posts that the user's session put further up, by place, each with by how many places.
        pulled: Those of the posts that it took from behind where the next page begins.
        placed: Where the user is in the experiment that holds on the route; None where none does.
    """

    found: Lookup
    limit: int
    posts: tuple[int, ...]
    rung: Rung
    excluded: Collection[int] = ()
    next_start: int | None = None
    wanted: Wanted | None = None
    pinned: tuple[int, ...] = ()
    pinned_before: tuple[int, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    raised: tuple[tuple[int, int], ...] = ()
    pulled: tuple[int, ...] = ()
    placed: Placement | None = None

    @property
    def post_ids(self) -> tuple[int | str, ...]:
        """Return the posts' ids, as JSON has them."""
        return tuple(map(self.found.generation.id_of, self.posts))

    @property
    def pinned_ids(self) -> tuple[int | str, ...]:
        """Return the pinned posts' ids, as JSON has them."""
        return tuple(map(self.found.generation.id_of, self.pinned))

    @property
    def drawn_ids(self) -> tuple[int | str, ...]:
        """Return the drawn posts' ids, as JSON has them."""
        return tuple([self.found.generation.id_of(post) for _, post, _ in self.drawn])

    @property
    def propensities(self) -> tuple[float, ...]:
        """Return of each place the chance that its post had given those before; empty where none is drawn.

        It is 1 but for the drawn ones: all else follows from the lists.
        """
        chances = {post: propensity for _, post, propensity in self.drawn}
        return tuple([chances.get(post, 1.0) for post in self.posts]) if chances else ()

    @property
    def label(self) -> Label:
        """Return how the time asked for was answered."""
        manifest = self.found.generation.manifest
        return manifest.horizon.label_for(self.found.at_s, manifest.as_of_s)

    @property
    def is_final(self) -> bool:
        """Return whether this may be answered; if not, look up all that the user saw and choose again."""
        found = self.found
        if found.is_past or found.sees_all:
            return not found.is_past
        if found.generation.exploration is not None and not found.sees_new:
            return False
        return self.rung in OWN_RUNGS and (not self.pinned or found.sees_pins)

    @property
    def cursor(self) -> Cursor | None:
        """Return where the next page begins; None as `next_start`."""
        if self.next_start is None:
            return None
        found, manifest = self.found, self.found.generation.manifest
        wish = "" if self.wanted is None else self.wanted.digest
        place = (manifest.generation, manifest.created_at_s, found.user_id, found.at_s, self.next_start)
        out_of_order = (*self.pinned, *(post for _, post, _ in self.drawn), *self.pulled)
        return Cursor(*place, wish, out_of_order or self.pinned_before)

    @property
    def underfill(self) -> Reason | None:
        """Return what kept this from having `limit` posts; None if it has them.

        Of the catalogue's posts, or of those that the filter leaves: they are too few, or most of those left
        out were taken down, excluded, seen, outside their windows.
        """
        if len(self.posts) >= self.limit:
            return None
        shared, wanted = self.found.generation, self.wanted
        whole = shared.catalogue if wanted is None else wanted.ranked
        if len(whole) < self.limit:
            return "catalogue" if wanted is None else "filter"
        out: dict[Reason, int] = {
            "taken_down": sum(post not in shared.posts for post in whole),
            "excluded": sum(post in self.excluded for post in whole),
            "seen": sum(post in self.found.hidden for post in whole),
            "closed": len(find_closed(shared.windows, whole, self.found.at_s)),
        }
        return max(out, key=lambda reason: out[reason])

    @property
    def body(self) -> bytes:
        """Return the posts as a JSON array, from their own JSON."""
        posts = self.found.generation.posts
        return b"[%s]" % b",".join([posts[post] for post in self.posts])


def answer(
    found: Lookup,
    limit: int,
    excluded: Collection[int] = (),
    start: int = 0,
    *,
    paged: bool = False,
    wanted: Wanted | None = None,
    pinned_before: tuple[int, ...] | None = None,
) -> Answer:
    """Choose up to `limit` posts, best first: the one place where a feed is put together.

    From place `start` of the whole order on, posts are taken that the generation has, whose window holds
    the time, and that are neither hidden nor excluded. The whole order has every wanted post of every rung
    once, hidden ones included. It depends on nothing but the generation, the user, the bucket and the filter,
    so that pages of it neither repeat a post nor leave one out, whatever is seen, taken down or excluded
    between them. Pinned posts that may be taken are put at their places of the first page, and taken nowhere
    else; and so are those that are drawn for its exploration places. A user's session moves posts of the own
    list on the first page alone: the next one begins with the first that was left out for another, and leaves
    out those that were taken from behind it.

    Args:
        found: What the store knows of the user at the time.
        limit: How many posts at most, from 1 on.
        excluded: The numbers of posts that are not wanted.
        start: Where the page begins; any but 0 wants a look-up that sees all.
        paged: Whether to find out where the next page begins.
        wanted: The posts that a filter leaves; None where there is none.
        pinned_before: The numbers of the posts that the first page had as pinned, drawn or out of turn; None:
            this is the first.

    Returns:
        An answer; only one that `is_final` may be given.
    """
    shared, own = found.generation, found.own
    if wanted is not None:
        own = [post for post in own if post in wanted.posts]
    pins = _place_pins(found, limit, excluded, wanted) if found.pins and pinned_before is None else {}
    session = None if start or pinned_before is not None else found.session
    drawn: tuple[Drawn, ...] = ()
    if shared.exploration is not None and pinned_before is None:
        out = {*excluded, *pins.values()}
        drawn = draw_places(found, shared.exploration, limit, out, wanted, pins.keys())
    is_plain = not (start or excluded or pins or drawn or pinned_before)
    if is_plain and session is not None:  # what follows would choose the same
        moved = overlay(found, session, own, limit, limit, (), paged=paged)
        if moved is not None:
            posts, of_rung, start, raised, pulled = moved
            of_page = (posts, of_rung, (), start if paged else None, wanted, (), (), ())
            return Answer(found, limit, *of_page, raised, pulled)
    elif is_plain:  # most requests, and likewise
        n = limit + 1 if paged else limit  # one more tells that a page follows
        first = own.read_first(n) if type(own) is PackedList else own
        if _is_free(found, first[:n], n, ()):
            return Answer(found, limit, tuple(first[:limit]), "own", (), limit if paged else None, wanted)
    if type(own) is PackedList:
        own = own.read()  # once, as what follows goes through it more than once
    before, pinned = pinned_before or (), tuple(pins.values())
    placed = sorted([*pins.items(), *((place, post) for place, post, _ in drawn)])
    left_out = {*excluded, *before, *(post for _, post in placed)} if before or placed else excluded
    n, moved = limit - len(placed), None
    if session is not None and n:
        moved = overlay(found, session, own, limit, n, left_out, paged=paged)
    taken: tuple[list[int], Rung, int | None]
    if moved is not None:
        taken = [*moved.posts], moved.rung, moved.next_start
    elif not start and _is_free(found, own[: n + 1], n + 1, left_out):  # likewise
        taken = [*own[:n]], "own", n
    else:
        taken = _take(found, own, limit, n, left_out, start, wanted)
    chosen, rung, next_start = taken
    for place, post in placed:
        chosen.insert(place - 1, post)
    if not paged:
        next_start = None
    told = (tuple(chosen), rung, excluded, next_start, wanted, pinned, before, drawn)
    return Answer(found, limit, *told, *(moved[3:] if moved else ()))


def _is_free(found: Lookup, head: Sequence[int], n: int, out: Collection[int]) -> bool:
    """Return whether `n` posts may all be taken as they stand."""
    shared, distinct = found.generation, set(head)
    return (
        len(distinct) == n
        and found.hidden.isdisjoint(distinct)
        and distinct.isdisjoint(out)
        and all(map(shared.posts.__contains__, head))
        and not (shared.windows and find_closed(shared.windows, head, found.at_s))
    )


def _take(
    found: Lookup,
    own: Sequence[int],
    limit: int,
    n: int,
    out: Collection[int],
    start: int,
    wanted: Wanted | None,
) -> tuple[list[int], Rung, int | None]:
    """Take `n` posts from place `start` of the whole order on, but those left out.

    Returns:
        The posts, best first; the lowest rung that was needed, `catalogue` for fewer than `n`; the place
        after the last one of them, None where none follows that may be taken.
    """
    met: set[int] = set()
    chosen: list[int] = []
    lowest: Rung = "own"
    after_last = 0
    posts, windows = found.generation.posts, found.generation.windows
    allowed = None if wanted is None else wanted.posts
    for rung, ranked in rungs(found, own, limit, wanted):
        for post in ranked:
            if post in met or (allowed is not None and post not in allowed):
                continue
            met.add(post)
            if len(met) <= start or post in found.hidden or post in out or post not in posts:
                continue
            if windows and is_closed(windows, post, found.at_s):
                continue
            if len(chosen) == n:
                return chosen, lowest, after_last
            chosen.append(post)
            lowest, after_last = rung, len(met)
    return chosen, "catalogue" if len(chosen) < n else lowest, None


def _place_pins(
    found: Lookup, limit: int, excluded: Collection[int], wanted: Wanted | None
) -> dict[int, int]:
    """Return which posts are pinned to which places of a first page, ascending.

    A pin whose place another one has takes the next place; one that would stand beyond the page is none. As
    long as the user's segment is not known, pins of every segment count.
    """
    places: dict[int, int] = {}
    topics = () if wanted is None else wanted.topics
    is_told = found.sees_all or found.sees_pins
    last, out = 0, {*excluded}
    for post, pin in found.pins:
        if not pin.holds_at(found.at_s) or (pin.topic is not None and topics != (pin.topic,)):
            continue
        if pin.segment is not None and is_told and pin.segment != found.segment:
            continue
        if post in found.hidden or post in out or post not in found.generation.posts:
            continue
        is_wanted = wanted is None or post in wanted.posts
        if not is_wanted or is_closed(found.generation.windows, post, found.at_s):
            continue
        last = max(pin.place, last + 1)
        if last > limit:
            break
        places[last] = post
        out.add(post)
    return places


def rungs(
    found: Lookup, own: Sequence[int], limit: int, wanted: Wanted | None
) -> Iterator[tuple[Rung, Sequence[int]]]:
    """Yield the rungs of the fallback ladder, best first; most requests need only the first.

    Rung `own` is the first `limit` places of the user's own list, `rest` the deeper ones; under a filter, of
    what it leaves of the list. Whatever is missing (an unknown user, profile, segment or bucket) is an empty
    rung. Those below the own list may hold posts that are not wanted.
    """
    shared, bucket_s = found.generation, found.bucket_s
    yield "own", own[:limit]
    yield "rest", own[limit:]
    yield "topic", found.topics
    yield "profile", found.profile
    yield "segment", shared.segments.get(found.segment or "", {}).get(bucket_s, ())
    yield "popular", shared.popular.get(bucket_s, ())
    yield "catalogue", shared.catalogue if wanted is None else wanted.ranked
