"""A small published generation whose right answer is known: even users like even posts, odd users odd ones.

It is written by hand with raw commands, so that the API can be tested without the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import orjson
import redis

from api.contract.buckets import epoch
from api.contract.codec import encode
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Manifest, SeenPolicy
from tests.oracle import Events

AS_OF_S = epoch(datetime(2021, 12, 20, 10, 30, tzinfo=UTC))
PROMOTED_AT_S = AS_OF_S + 900
HOUR_S = 3600
PROFILES = ("0.0", "1.0", "1.1", "2._")  # signatures of ages below 20, from 20, from 40, and of parities


@dataclass(frozen=True, slots=True)
class World:
    """Users 1..8 and posts 1..40; a user likes the posts of their own parity, the highest id most.

    An own list holds `depth` liked posts, a segment's list all that it likes, a profile's list every fourth
    post, `popular` the first ten posts and the catalogue all, ascending. A list starts one place further for
    each bucket and for each `turn`, which is what tells two generations apart. Every user saw the first four
    posts before the first as_of; `known` are the further pairs of user and post that a later as_of knows of.
    """

    generation: int = 1
    turn: int = 0
    depth: int = 10
    seen_policy: SeenPolicy = "views"
    prefix: str = "almanac"
    users: range = range(1, 9)
    posts: range = range(1, 41)
    as_of_s: int = AS_OF_S
    known: frozenset[tuple[int, int]] = frozenset()

    @property
    def manifest(self) -> Manifest:
        """Return what the generation says of itself: 24 hours from the one that holds as_of."""
        return Manifest(
            generation=self.generation,
            variant="default",
            as_of_s=self.as_of_s,
            created_at_s=self.as_of_s + PROMOTED_AT_S - AS_OF_S - 60,
            start_s=self.as_of_s - self.as_of_s % HOUR_S,
            width_s=HOUR_S,
            n_buckets=24,
            depth=self.depth,
            seen_policy=self.seen_policy,
            model="parity",
            features=("parity",),
            segment_by=("parity",),
            segments=("parity=even", "parity=odd"),
            profile={"age": [20.0, 40.0], "parity": ["even", "odd"]},
            counts={"users": len(self.users), "posts": len(self.posts), "turn": self.turn},
        )

    @property
    def views(self) -> list[tuple[int, int, int]]:
        """Return the views before as_of, four a user: user, post, time."""
        return [(user, post, AS_OF_S - 100 * post) for user in self.users for post in self.posts[:4]]

    def liked(self, parity: int) -> list[int]:
        """Return the posts that users of a parity like, best first."""
        return [post for post in reversed(self.posts) if post % 2 == parity]

    def own(self, user: int, bucket_s: int) -> list[int]:
        """Return the user's ranked list: what they like, without what they had seen by as_of."""
        unseen = [
            post
            for post in self.liked(user % 2)
            if post not in self.posts[:4] and (user, post) not in self.known
        ]
        return self._turned(unseen, bucket_s)[: self.depth]

    def segment(self, name: str, bucket_s: int) -> list[int]:
        """Return a segment's ranked list, seen posts included."""
        return self._turned(self.liked(0 if name == "parity=even" else 1), bucket_s)

    def profile(self, signature: str, bucket_s: int) -> list[int]:
        """Return a profile's ranked list: every fourth post, from the one on that the age says."""
        return self._turned(list(self.posts[int(signature[0]) :: 4]), bucket_s)

    def popular(self, bucket_s: int) -> list[int]:
        """Return everyone's ranked list."""
        return self._turned(list(self.posts[:10]), bucket_s)

    def post(self, post_id: int) -> dict[str, object]:
        """Return a post as it is answered; the seventh has no text."""
        text = "" if post_id == 7 else f'Post {post_id}: "quoted", ünïcode'
        return {"id": post_id, "text": text, "topic": "odd" if post_id % 2 else "even"}

    def publish(self, store: redis.Redis) -> "World":
        """Write the whole generation and what was seen; it is not current yet."""
        keys, pipe = Keys(self.prefix), store.pipeline()
        pipe.hset(keys.states(), str(self.generation), "sealed")
        pipe.set(keys.manifest(self.generation), self.manifest.to_json())
        pipe.set(keys.catalogue(self.generation), encode(self.posts))
        for post_id in self.posts:
            pipe.hset(keys.posts(self.generation), str(post_id), orjson.dumps(self.post(post_id)))
        for bucket_s in self.manifest.horizon.starts:
            field = str(bucket_s)
            pipe.hset(keys.popular(self.generation), field, encode(self.popular(bucket_s)))
            for name in self.manifest.segments:
                pipe.hset(keys.segment(self.generation, name), field, encode(self.segment(name, bucket_s)))
            for name in PROFILES:
                pipe.hset(keys.profile(self.generation, name), field, encode(self.profile(name, bucket_s)))
            for user in self.users:
                pipe.hset(keys.list(user, self.generation), field, encode(self.own(user, bucket_s)))
        for user in self.users:
            segment = "parity=odd" if user % 2 else "parity=even"
            pipe.hset(keys.list(user, self.generation), SEGMENT_FIELD, segment)
        pipe.execute()
        for user, post, at_s in self.views:
            self.see(store, user, post, at_s)
        return self

    def promote(self, store: redis.Redis, at_s: int = PROMOTED_AT_S) -> "World":
        """Make the generation current."""
        key = Keys(self.prefix).current("default")
        store.hset(key, mapping={"generation": self.generation, "previous": "", "promoted_at": at_s})
        return self

    def see(self, store: redis.Redis, user: int, post: int, at_s: int) -> None:
        """Let a user see a post."""
        store.zadd(Keys(self.prefix).seen(user), {str(post): at_s}, lt=True)

    def successor(self) -> "World":
        """Return the next generation: the same, with every list one place further."""
        return replace(self, generation=self.generation + 1, turn=self.turn + 1)

    def _turned(self, posts: list[int], bucket_s: int) -> list[int]:
        by = (self.turn + (bucket_s - self.manifest.start_s) // HOUR_S) % len(posts)
        return posts[by:] + posts[:by]


def events_of(views: Sequence[tuple[int, int, int]]) -> Events:
    """Return views, given as (user, post, time), as the oracle takes them."""
    return Events(*np.array(views, np.int64).reshape(-1, 3).T)
