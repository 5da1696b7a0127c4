"""Which posts answer a request for those like a post: its neighbours, then its topic's, then all.

What may live here: pure functions over values that someone else has read. No store, no clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from api.contract.facets import TOPIC, spell
from api.contract.window import find_closed, is_closed
from api.feed import Reason
from api.found import Degraded, Generation, Pointer

Step = Literal["similar", "topic", "catalogue"]


@dataclass(slots=True, eq=False)  # not frozen, as a feed's look-up
class Neighbours:
    """What the store knows of a post and of who asks. Nobody changes it.

    Attributes:
        post: Its number.
        text: The post as it is answered, JSON, even where it is taken down.
        pointer: What was current when this was read.
        generation: What it names, without what is taken down.
        near: Numbers of the posts most like it, nearest first.
        hidden: Numbers of the posts that the user had seen by the time asked for; empty without a user.
        at_s: The time asked for, epoch seconds.
        degraded: What could not be read, as of a feed.
    """

    post: int
    text: bytes
    pointer: Pointer
    generation: Generation
    near: Sequence[int]
    hidden: frozenset[int]
    at_s: int
    degraded: Degraded = ""


@dataclass(slots=True, eq=False)
class SimilarPosts:
    """The posts that answer. Nobody changes it.

    Attributes:
        found: What they were chosen from.
        limit: How many were asked for.
        posts: Their numbers, nearest first; fewer than `limit` only where the generation has no more.
        rung: The lowest rung that was needed; `catalogue` if there are fewer than `limit`.
    """

    found: Neighbours
    limit: int
    posts: tuple[int, ...]
    rung: Step

    @property
    def underfill(self) -> Reason | None:
        """Return what kept this from having `limit` posts; None if it has them. As of a feed."""
        if len(self.posts) >= self.limit:
            return None
        found, shared = self.found, self.found.generation
        others = [post for post in shared.catalogue if post != found.post]
        if len(others) < self.limit:
            return "catalogue"
        out: dict[Reason, int] = {
            "seen": sum(post in found.hidden for post in others),
            "taken_down": sum(post not in shared.posts for post in others),
            "closed": len(find_closed(shared.windows, others, found.at_s)),
        }
        return max(out, key=lambda reason: out[reason])

    @property
    def body(self) -> bytes:
        """Return the posts as a JSON array, from their own JSON."""
        posts = self.found.generation.posts
        return b"[%s]" % b",".join([posts[post] for post in self.posts])


def choose_similar(found: Neighbours, limit: int) -> SimilarPosts:
    """Choose up to `limit` posts like a post: not itself, none twice, none seen, taken down or out of time.

    Args:
        found: What the store knows.
        limit: How many posts at most, from 1 on.
    """
    met, chosen = {found.post}, list[int]()
    posts, windows = found.generation.posts, found.generation.windows
    for rung, ranked in _rungs(found):
        for post in ranked:
            if post in met or post in found.hidden or post not in posts:
                continue
            if windows and is_closed(windows, post, found.at_s):
                continue
            met.add(post)
            chosen.append(post)
            if len(chosen) == limit:
                return SimilarPosts(found, limit, tuple(chosen), rung)
    return SimilarPosts(found, limit, tuple(chosen), "catalogue")


def _rungs(found: Neighbours) -> Iterator[tuple[Step, Sequence[int]]]:
    """Yield what answers, nearest first; a topic that the generation has no facet of is an empty rung."""
    yield "similar", found.near
    topic = orjson.loads(found.text)["topic"]
    yield "topic", found.generation.facets.lists.get(spell(TOPIC, topic), ())
    yield "catalogue", found.generation.catalogue
