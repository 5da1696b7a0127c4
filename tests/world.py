"""A small published generation whose right answer is known: even users like even posts, odd users odd ones.

It is written by hand with raw commands, so that the API can be tested without the batch.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

import orjson
import redis

from api.contract import packed
from api.contract.buckets import DAY_S, epoch
from api.contract.codec import encode
from api.contract.explore import EVERYBODY, UNKNOWN, encode_weights
from api.contract.facets import spell
from api.contract.ids import FEATURE, Kind, canonical
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import (
    EXPLORE,
    EXPLORE_PLACES,
    FACETS,
    FOLDED,
    HOLDS_SEEN,
    PACKED,
    SIMILAR,
    WINDOWS,
    Layout,
    Manifest,
    SeenPolicy,
)
from api.contract.seen import pack_seen
from api.contract.window import Window, encode_window
from tests.oracle import Events, Wish, plain

AS_OF_S = epoch(datetime(2021, 12, 20, 10, 30, tzinfo=UTC))
PROMOTED_AT_S = AS_OF_S + 900
HOUR_S = 3600
LAYOUT: Layout = "text"  # of worlds that do not say one; the fixture `layout` sets it
PROFILES = ("0.0", "1.0", "1.1", "2._")  # signatures of ages below 20, from 20, from 40, and of parities


@dataclass(frozen=True, slots=True)
class Names:
    """What the world's users and posts are called: by their places, or by every kind of text that is an id.

    Places count from 0. Of `text`, every eighth post has a number of its own, and another eighth's ids are
    numbers of other posts.
    """

    kind: Kind = "numbers"

    def user(self, place: int) -> int | str:
        """Return a user's id as JSON has it."""
        return place if self.kind == "numbers" else _name("u", place)

    def post(self, place: int) -> int | str:
        """Return a post's id as JSON has it."""
        return place if self.kind == "numbers" else _name("p", place)

    def user_key(self, place: int) -> str:
        """Return a user's id as the store compares it."""
        return canonical(str(self.user(place)), self.kind)

    def post_key(self, place: int) -> str:
        """Return a post's id as the store compares it."""
        return canonical(str(self.post(place)), self.kind)

    def number(self, place: int) -> int:
        """Return a post's number: what stands for it in lists and seen sets."""
        if self.kind == "numbers":
            return place
        return 2000 + place if place % 8 == 6 else 100 + place

    def has_entry(self, place: int) -> bool:
        """Say whether a post's number stands in the dictionary, since it is not the id."""
        return str(self.number(place)) != self.post_key(place)

    def places(self, posts: Sequence[object]) -> list[int]:
        """Return the places of posts, given as JSON has their ids."""
        if self.kind == "numbers":
            return [post for post in posts if isinstance(post, int)]
        return [_places()[str(post)] for post in posts]


NUMBERS, TEXT = Names(), Names("text")
KINDS = {"numbers": NUMBERS, "text": TEXT}


def _name(what: str, place: int) -> str:
    """Return a text that is an id: UUIDs, leading zeros, blanks, braces, escapes, Cyrillic, numbers."""
    made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what}{place}"))
    return (
        str(101 + place),  # what is the number of the next post
        made[:18].upper() + made[18:],
        f"00{place}",
        f"{what} {place}/a,b",
        f"{{{place}}}100%41",
        f"Имя.{what}-{place}",
        str(2000 + place),
        str(2**64 - 1 - place),
    )[place % 8]


@cache
def _places() -> dict[str, int]:
    return {_name("p", place): place for place in range(5000)}


@dataclass(frozen=True, slots=True)
class World:
    """Users 1..8 and posts 1..40; a user likes the posts of their own parity, the highest id most.

    An own list holds `depth` liked posts, a segment's list all that it likes, a profile's list every fourth
    post, `popular` the first ten posts and the catalogue all, ascending. A list starts one place further for
    each bucket and for each `turn`, which is what tells two generations apart. Every user saw the first four
    posts before the first as_of; `known` are the further pairs of user and post that a later as_of knows of.
    Users and posts are given by their places; `names` says what they are called. One that `holds_seen` is
    somebody else's: its lists leave out nothing, and it has three buckets of seven hours from as_of on.
    `windows` are of posts that have one: an own list holds none that is closed as its bucket begins. One of
    each `explore` places is for exploration: of every third post, where `explore` is not 0.
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
    names: Names = NUMBERS
    holds_seen: bool = False
    topic_depth: int = 0
    windows: tuple[tuple[int, Window], ...] = ()
    variant: str = "default"
    explore: int = 0
    layout: Layout | None = None
    in_cluster: bool = False

    @property
    def is_packed(self) -> bool:
        """Say whether own lists are packed: as the world says, else as the test's fixture `layout` does."""
        return (self.layout or LAYOUT) == "packed"

    @property
    def keys(self) -> Keys:
        """Return the names of the keys."""
        return Keys(self.prefix, in_cluster=self.in_cluster)

    @property
    def manifest(self) -> Manifest:
        """Return what the generation says of itself: 24 hours from that of as_of, if it is ours."""
        text, others = self.names.kind == "text", self.holds_seen
        return Manifest(
            generation=self.generation,
            variant=self.variant,
            as_of_s=self.as_of_s,
            created_at_s=self.as_of_s + PROMOTED_AT_S - AS_OF_S - 60,
            start_s=self.as_of_s if others else self.as_of_s - self.as_of_s % HOUR_S,
            width_s=7 * HOUR_S if others else HOUR_S,
            n_buckets=3 if others else 24,
            depth=self.depth,
            seen_policy=self.seen_policy,
            model="parity",
            features=("parity",),
            segment_by=("parity",),
            segments=("parity=even", "parity=odd"),
            profile={"age": [20.0, 40.0], "parity": ["even", "odd"]},
            counts={
                "users": len(self.users),
                "posts": len(self.posts),
                "turn": self.turn,
                **{FACETS + name: 3 for name in ("topic", "third")},
                **({"topic_depth": self.topic_depth} if self.topic_depth else {}),
                SIMILAR: 6,
                **({EXPLORE_PLACES: self.explore} if self.explore else {}),
            },
            needs=(FEATURE,) * text
            + (HOLDS_SEEN,) * others
            + (WINDOWS,) * bool(self.windows)
            + (EXPLORE,) * bool(self.explore)
            + (PACKED, FOLDED) * self.is_packed,
            holds_seen=others,
            user_ids=self.names.kind,
            post_ids=self.names.kind,
        )

    @property
    def views(self) -> list[tuple[int, int, int]]:
        """Return the views before as_of, four a user: user, post, time."""
        return [(user, post, AS_OF_S - 100 * post) for user in self.users for post in self.posts[:4]]

    def liked(self, parity: int) -> list[int]:
        """Return the posts that users of a parity like, best first."""
        return [post for post in reversed(self.posts) if post % 2 == parity]

    def own(self, user: int, bucket_s: int) -> list[int]:
        """Return the user's ranked list: what they like; in ours without what they had seen by as_of."""
        closed = {post for post, window in self.windows if not window.holds_at(bucket_s)}
        unseen = [
            post
            for post in self.liked(user % 2)
            if self.holds_seen or (post not in self.posts[:4] and (user, post) not in self.known)
        ]
        turned = self._turned(unseen, bucket_s)
        return [post for post in turned if post not in closed][: self.depth]

    def segment(self, name: str, bucket_s: int) -> list[int]:
        """Return a segment's ranked list, seen posts included."""
        return self._turned(self.liked(0 if name == "parity=even" else 1), bucket_s)

    def profile(self, signature: str, bucket_s: int) -> list[int]:
        """Return a profile's ranked list: every fourth post, from the one on that the age says."""
        return self._turned(list(self.posts[int(signature[0]) :: 4]), bucket_s)

    def popular(self, bucket_s: int) -> list[int]:
        """Return everyone's ranked list."""
        return self._turned(list(self.posts[:10]), bucket_s)

    def weights(self, name: str) -> dict[int, float]:
        """Return what is drawn from for a segment, `*` or `?`: odd users' weights fall, others' rise."""
        new = self.posts[::3] if name != UNKNOWN else self.posts[1::3]
        return {post: 1 / post if name == "parity=odd" else post / 100 for post in new}

    def topics(self, user: int) -> dict[str, list[int]]:
        """Return the user's own lists of topics, which begin elsewhere for each user; some have none."""
        unseen = [
            post for post in self.posts if post not in self.posts[:4] and (user, post) not in self.known
        ]
        turned = unseen[3 * user :] + unseen[: 3 * user]
        having = {
            name: [post for post in turned if f"topic={name}" in self.facets(post)] for name in ("odd", "ten")
        }
        return {name: posts[: self.topic_depth] for name, posts in having.items()} if user % 3 else {}

    def post(self, place: int) -> dict[str, object]:
        """Return a post as it is answered; the seventh has no text."""
        text = "" if place == 7 else f'Post {place}: "quoted", ünïcode'
        return {"id": self.names.post(place), "text": text, "topic": "odd" if place % 2 else "even"}

    def similar(self, place: int) -> list[int]:
        """Return the posts most like one: those of its parity that follow; none of every eighth."""
        following = [post for post in self.posts if post % 2 == place % 2 and post > place]
        return [] if place % 8 == 0 else following[:6]

    def facets(self, place: int) -> list[str]:
        """Return a post's facets: its parity as its topic, beside `ten` for every tenth; and `third`."""
        topics = [str(self.post(place)["topic"]), *(["ten"] if place % 10 == 0 else [])]
        return [
            *(spell("topic", topic) for topic in topics),
            *([spell("third", f"a={place % 3}")] if place % 3 else []),
        ]

    @property
    def wishes(self) -> list[str]:
        """Return what may be asked of posts, and what none has."""
        every = {facet for post in self.posts for facet in self.facets(post)}
        return [*sorted(every), "topic=none", "third=a"]

    def wish(self, any_of: Sequence[str], none_of: Sequence[str]) -> Wish:
        """Return a wish as the oracle takes it."""
        return Wish(any_of, none_of, {plain(self.names.post(post)): self.facets(post) for post in self.posts})

    def publish(self, store: redis.Redis) -> "World":
        """Write the whole generation and what was seen; it is not current yet."""
        keys, names, pipe = self.keys, self.names, store.pipeline()

        def encoded(posts: Sequence[int]) -> bytes:
            return encode(map(names.number, posts))

        pipe.hset(keys.states(), str(self.generation), "sealed")
        pipe.set(keys.manifest(self.generation), self.manifest.to_json())
        pipe.set(keys.catalogue(self.generation), encoded(self.posts))
        for post in self.posts:
            pipe.hset(keys.posts(self.generation), str(names.number(post)), orjson.dumps(self.post(post)))
            if names.has_entry(post):
                pipe.hset(keys.ids(), str(names.number(post)), str(names.post(post)))
                pipe.hset(keys.numbers(), names.post_key(post), names.number(post))
        near = {post: self.similar(post) for post in self.posts}
        for post, others in near.items():
            if others:
                pipe.hset(keys.similar(self.generation), str(names.number(post)), encoded(others))
        for facet in sorted({facet for post in self.posts for facet in self.facets(post)}):
            having = [post for post in self.posts if facet in self.facets(post)]
            pipe.hset(keys.facets(self.generation), facet, encoded(having))
        for name in ("parity=odd", EVERYBODY, UNKNOWN) if self.explore else ():
            weights = self.weights(name)
            written = encode_weights(map(names.number, weights), weights.values())
            pipe.hset(keys.explore(self.generation), name, written)
        for post, window in self.windows:
            pipe.hset(keys.windows(self.generation), str(names.number(post)), encode_window(*window))
        for bucket_s in self.manifest.horizon.starts:
            field = str(bucket_s)
            pipe.hset(keys.popular(self.generation), field, encoded(self.popular(bucket_s)))
            for name in self.manifest.segments:
                pipe.hset(keys.segment(self.generation, name), field, encoded(self.segment(name, bucket_s)))
            for name in PROFILES:
                pipe.hset(keys.profile(self.generation, name), field, encoded(self.profile(name, bucket_s)))
            for user in self.users if not self.is_packed else ():
                own = keys.list(names.user_key(user), self.generation)
                pipe.hset(own, field, encoded(self.own(user, bucket_s)))
        for user in self.users if self.topic_depth else ():
            key = keys.topics(names.user_key(user), self.generation)
            for topic, posts in self.topics(user).items():
                pipe.hset(key, topic, encoded(posts))
        for user in self.users:
            segment = "parity=odd" if user % 2 else "parity=even"
            key = keys.list(names.user_key(user), self.generation)
            if self.is_packed:
                pipe.set(key, self.packed(user, segment))
            else:
                pipe.hset(key, SEGMENT_FIELD, segment)
        pipe.execute()
        for user in self.users:
            pairs = [(names.number(post), at_s) for who, post, at_s in self.views if who == user]
            if self.is_packed:
                store.set(keys.seen_old(names.user_key(user)), pack_seen(pairs))
            else:
                store.zadd(
                    keys.seen(names.user_key(user)), {str(post): at_s for post, at_s in pairs}, lt=True
                )
        return self

    def promote(self, store: redis.Redis, at_s: int = PROMOTED_AT_S) -> "World":
        """Make the generation current."""
        key = self.keys.current(self.variant)
        store.hset(key, mapping={"generation": self.generation, "previous": "", "promoted_at": at_s})
        return self

    def packed(self, user: int, segment: str) -> bytes:
        """Return the user's lists as one value."""
        starts, number = self.manifest.horizon.starts, self.names.number
        lists = [[number(post) for post in self.own(user, bucket_s)] for bucket_s in starts]
        bits = packed.bits_for(max(map(number, self.posts)))
        return packed.pack(lists, max(1, *map(len, lists)), bits, segment)

    def see(self, store: redis.Redis, user: int, post: int, at_s: int) -> None:
        """Let a user see a post."""
        key = self.keys.seen(self.names.user_key(user))
        store.zadd(key, {str(self.names.number(post)): at_s}, lt=True)

    def see_live(self, store: redis.Redis, user: int, post: int, at_s: int) -> None:
        """Let the user's live set have a post, as an event does."""
        key = self.keys.seen_live(self.names.user_key(user))
        store.zadd(key, {self.names.post_key(post): at_s}, lt=True)

    def take_down(self, store: redis.Redis, *posts: int) -> None:
        """Take posts down."""
        store.sadd(self.keys.takedowns(), *map(self.names.post_key, posts))

    def put_back(self, store: redis.Redis, *posts: int) -> None:
        """Put posts back."""
        store.srem(self.keys.takedowns(), *map(self.names.post_key, posts))

    def pin(self, store: redis.Redis, post: int, place: int = 1, **told: object) -> None:
        """Pin a post."""
        store.hset(self.keys.pins(), self.names.post_key(post), orjson.dumps({"place": place, **told}))

    def unpin(self, store: redis.Redis, *posts: int) -> None:
        """End pins."""
        store.hdel(self.keys.pins(), *map(self.names.post_key, posts))

    def successor(self) -> "World":
        """Return the next generation: the same, with every list one place further."""
        return replace(self, generation=self.generation + 1, turn=self.turn + 1)

    def _turned(self, posts: list[int], bucket_s: int) -> list[int]:
        by = (self.turn + (bucket_s - self.manifest.start_s) // HOUR_S) % len(posts)
        return posts[by:] + posts[:by]


def draw_windows(rng: random.Random, posts: Sequence[int], at_s: int) -> tuple[tuple[int, Window], ...]:
    """Draw windows for half of the posts, which begin or end within two days of a time, or do not."""
    windows = []
    for post in rng.sample(posts, len(posts) // 2):
        from_s = at_s + rng.randrange(-2 * DAY_S, 2 * DAY_S)
        to_s = from_s + rng.choice([1, 600, HOUR_S, 12 * HOUR_S, 2 * DAY_S])
        sides = rng.choice([(from_s, to_s), (from_s, None), (None, to_s)])
        windows.append((post, Window(*sides)))
    return tuple(windows)


def events_of(views: Sequence[tuple[int, int, int]], names: Names = NUMBERS) -> Events:
    """Return views, given as (user, post, time), as the oracle takes them."""
    users, posts, times = zip(*views, strict=True) if views else ((), (), ())
    return Events.of(list(map(names.user, users)), list(map(names.post, posts)), times)
