"""What a request is answered from: a generation as memory holds it, and what the store knows of a user.

What may live here: values, and what can be said of them alone. No store, no clock.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import orjson

from api.contract.explore import Exploration, Weights
from api.contract.facets import NO_FACETS, Facets, Filter, NotFiltered, Wanted
from api.contract.ids import FEATURE, canonical
from api.contract.manifest import Manifest
from api.contract.pin import Pin, Pins, in_order
from api.contract.window import Windows
from api.session import Session
from api.topics import Topics

Degraded = Literal["", "value", "generation", "store"]
RankedLists = Mapping[int, Sequence[int]]  # bucket start in epoch seconds to posts' numbers, best first

_NUMBER = re.compile(r"-?[0-9]{1,19}")  # what an id may be that is a number by itself


class NewPosts(NamedTuple):
    """What may be drawn for exploration places, and the same posts as a set."""

    weights: Weights
    posts: frozenset[int]


@dataclass(frozen=True, slots=True)
class Generation:
    """The part of a generation that every user shares, as the API holds it in memory.

    A post is its number, see `contract/ids.py`.

    Attributes:
        manifest: The generation's own description.
        posts: A post's number to the post as it is answered, JSON.
        catalogue: The number of every post, most popular first.
        popular: The bucket's popular posts, for everyone.
        segments: The same for each segment of users, by the segment's name.
        numbers: A post's id, in its canonical form, to its number; of every post, those taken down too.
            Empty where the manifest does not need `ids`: there the number is the id.
        facets: Which posts have which value of the columns that the manifest filters by.
        windows: When posts may be answered, of those that have a window.
        exploration: Which places are for new posts, and what is drawn there; None: no place is.
        held_topics: What `topics` has made.
        held_new: What `find_new` has made, by the weights that it was made of.
    """

    manifest: Manifest
    posts: Mapping[int, bytes]
    catalogue: Sequence[int]
    popular: RankedLists = field(default_factory=dict)
    segments: Mapping[str, RankedLists] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    facets: Facets = NO_FACETS
    windows: Windows = field(default_factory=dict)
    exploration: Exploration | None = None
    held_topics: list[Topics] = field(default_factory=list, init=False, compare=False, repr=False)
    held_new: dict[int, NewPosts] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def has_dictionary(self) -> bool:
        """Return whether `numbers` says which post is which."""
        return FEATURE in self.manifest.needs

    def number_of(self, post_id: str) -> int | None:
        """Return the number of a post; None for one that no generation like this can hold."""
        text = canonical(post_id, self.manifest.post_ids)
        if self.has_dictionary:
            return self.numbers.get(text)
        return int(text) if _NUMBER.fullmatch(text) else None

    def numbers_of(self, post_ids: Iterable[str]) -> frozenset[int]:
        """Return the numbers of those posts that have one."""
        found = map(self.number_of, post_ids)
        return frozenset(number for number in found if number is not None)

    def number_pins(self, pins: Pins) -> tuple[tuple[int, Pin], ...]:
        """Return the pins by place, each with the number of its post; without those that have none."""
        numbered = ((self.number_of(post_id), pin) for post_id, pin in in_order(pins))
        return tuple((number, pin) for number, pin in numbered if number is not None)

    def find_wanted(self, wish: Filter) -> Wanted:
        """Return the posts that a filter leaves, taken down ones included.

        Raises:
            NotFiltered: It names a column that the generation has no facets of.
        """
        known, manifest = self.facets.recall(wish), self.manifest
        if known is not None:
            return known
        for column in sorted(wish.columns - {*manifest.filter_by}):
            raise NotFiltered(
                f"{column[:40]!r} is no column that generation {manifest.generation} filters by: it has "
                f"{', '.join(manifest.filter_by) or 'none'}; name it in ALMANAC_FILTER_BY and run the batch"
            )
        return self.facets.find(wish)

    def find_new(self, exploration: Exploration, segment: str | None, *, is_listed: bool) -> NewPosts:
        """Return what its exploration places draw from for a user, without posts that it has not any more."""
        weights = exploration.find(segment, is_listed=is_listed)
        held = self.held_new.get(id(weights))
        if held is None:
            left = [pair for pair in zip(*weights, strict=True) if pair[0] in self.posts]
            posts, chances = [post for post, _ in left], [weight for _, weight in left]
            held = self.held_new[id(weights)] = NewPosts(Weights(posts, chances), frozenset(posts))
        return held

    def id_of(self, number: int) -> int | str:
        """Return the id of one of its posts, as JSON has it."""
        if not self.has_dictionary:
            return number
        post_id: int | str = orjson.loads(self.posts[number])["id"]
        return post_id

    @property
    def topics(self) -> Topics:
        """Return its posts' topics; where nobody asks, they take no memory."""
        if not self.held_topics:
            self.held_topics.append(Topics(self.posts))
        return self.held_topics[0]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is current under a variant, and since when in epoch seconds."""

    generation: int
    promoted_at_s: int


@dataclass(slots=True, eq=False)  # not frozen: one is made per request, and that would double its cost
class Lookup:
    """What the store knows of a user at a time, all of one generation. Nobody changes it.

    Attributes:
        user_id: Who asks, as they were called.
        at_s: The time asked for, epoch seconds.
        bucket_s: Start of the bucket that answers it.
        pointer: What was current when this was read.
        generation: What it names.
        own: The user's ranked list, numbers, of the bucket; empty for an unknown user.
        segment: The name of the user's segment; None for an unknown user whose profile does not tell it.
        hidden: The numbers of posts seen by `at_s`. Those taken down are not among the generation's posts.
        sees_all: Whether `hidden` has all posts seen by `at_s`, or only those since as_of, which is all
            that the user's own list can hold unless the manifest `holds_seen`.
        degraded: What could not be read, so that this is from what else is known: the user's list
            (`value`), the current generation, or the store at all. Empty when all is well.
        profile: The list of the profile that an unknown user gives.
        is_past: Whether another generation may answer the time than this, which is current.
        topics: The user's own lists of the topics that are wanted, in turns; only beside `sees_all`.
        pins: Posts' numbers and what pins them, by place; those of other times, topics and segments too.
        sees_pins: Whether `hidden` has those of them that were seen by `at_s`, and `segment` is told.
        sees_new: The same of the posts that exploration places draw from.
        session: What the user did lately; None where it does not matter: nothing happened, another time than
            now is asked for, or the overlay is off.
    """

    user_id: str
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
    is_past: bool = False
    topics: Sequence[int] = ()
    pins: Sequence[tuple[int, Pin]] = ()
    sees_pins: bool = False
    sees_new: bool = False
    session: Session | None = None
