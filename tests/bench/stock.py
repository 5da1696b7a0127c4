"""What the serving bench serves: a generation of random lists, and what every user has seen, at full size.

Written as the publisher writes, but drawn instead of scored, and with nothing on disk.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numba
import numpy as np
import numpy.typing as npt
import orjson
import redis

from api.contract.buckets import Horizon
from api.contract.codec import encode as as_text
from api.contract.facets import TOPIC, spell
from api.contract.keys import SEGMENT_FIELD, Keys
from api.contract.manifest import Layout, Manifest
from batch.data.ids import IdNames, encode_ids
from batch.data.seen import SeenTimes
from batch.progress import Show, silent
from batch.publish import shard
from batch.publish.generation import GenerationContent
from batch.publish.ledger.ledger import Ledger
from batch.publish.numbers import write_numbers
from batch.publish.packed_lists import pack_lists
from batch.publish.seen_sets import write_seen
from batch.store.lease import hold
from batch.store.restore import is_taken
from batch.store.wire import PipelinedWriter, pack

AS_OF_S = 1_640_357_999  # 2021-12-24T14:59:59Z
HOUR_S, DAY_S = 3600, 86_400
FIRST_USER = 200
BLOCK = 2048  # users drawn and written at a time
LEASE_S = 600.0  # nobody else writes here, and a busy machine may compile for longer than a run's lease
GENERATION, VARIANT, SEGMENT = 1, "default", "all"
TOPICS = 5  # of one of which a filtered request asks; a post's number says which it has
VISIT = 20  # posts that a user sees in a row
SEEN_SINCE = 3  # of what each user saw, how much after as_of: what a request's time decides about


@dataclass(frozen=True, slots=True)
class Stock:
    """How much is in the store; the defaults are StartML's users and posts, and what its users saw."""

    n_users: int = 163_205
    n_posts: int = 7_023
    n_seen: int = 421
    n_buckets: int = 24
    depth: int = 50
    n_takedowns: int = 120
    text_bytes: int = 1_200
    seed: int = 42
    ids: Literal["numbers", "uuid"] = "numbers"  # of users and posts

    def __post_init__(self) -> None:
        """Refuse a catalogue that cannot fill the lists."""
        if self.n_posts < self.n_seen + self.depth or self.n_seen < SEEN_SINCE:
            raise ValueError(
                f"n_posts={self.n_posts} must be at least n_seen={self.n_seen} plus depth={self.depth}, "
                f"and n_seen at least {SEEN_SINCE}"
            )

    @property
    def horizon(self) -> Horizon:
        """Return the buckets that the lists are for."""
        return Horizon.after(AS_OF_S, HOUR_S, self.n_buckets)

    def users(self, first: int, last: int) -> Sequence[int | str]:
        """Return the ids of users, given by place."""
        return self._ids("user", range(FIRST_USER + first, FIRST_USER + last))

    def posts(self) -> Sequence[int | str]:
        """Return the ids of all posts."""
        return self._ids("post", range(1, self.n_posts + 1))

    def _ids(self, what: str, numbers: range) -> Sequence[int | str]:
        if self.ids == "numbers":
            return numbers
        return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what} {number}")) for number in numbers]


def fill(
    client: redis.Redis, keys: Keys, stock: Stock, progress: Show, n_generations: int = 1, *, packed: int = 0
) -> None:
    """Fill an empty store and make the first generation current.

    Each further generation has the lists of the one before with every first post last, and posts of its own,
    so that a mixture shows. `packed` is the number of one more, which has the first one's lists; 0: none.

    Raises:
        ValueError: The store is not empty.
    """
    if client.dbsize():
        raise ValueError(f"the store has {client.dbsize()} keys; the bench fills an empty one only")
    numbers = range(GENERATION, GENERATION + n_generations)
    rng, restores = np.random.default_rng(stock.seed), is_taken(client, keys.list(0, 0))
    with (
        hold(client, keys.lease(), AS_OF_S, progress, ttl_s=LEASE_S) as lease,
        PipelinedWriter(client) as wire,
    ):
        for low in range(0, stock.n_users, BLOCK):
            n_users = min(BLOCK, stock.n_users - low)
            views, lists = draw(rng, stock, n_users)
            content, lists = make_content(stock, low, views), lists.reshape(-1, stock.depth)
            for turn, number in enumerate(numbers):
                _write_lists(wire, keys, content, number, np.roll(lists, -turn, axis=1))
            if packed:
                _write_packed(wire, keys, content, packed, lists)
            write_seen(wire, lease, content, content.views, keys.seen, None, silent, restores=restores)
            progress("users", low + n_users, stock.n_users)
        write_numbers(Ledger(client, keys), lease, content)
        for number in numbers:
            _write_shared(client, keys, stock, content, number)
        if packed:
            _write_shared(client, keys, stock, content, packed, "packed")
    down = rng.choice(stock.n_posts, stock.n_takedowns, replace=False)
    client.sadd(keys.takedowns(), *content.post_names.canonical(content.post_ids[down]))
    client.hset(keys.states(), mapping=dict.fromkeys(map(str, (*numbers, packed)), "sealed"))
    client.hset(
        keys.current(VARIANT), mapping={"generation": GENERATION, "previous": "", "promoted_at": AS_OF_S}
    )


def serve_as(
    client: redis.Redis,
    keys: Keys,
    number: int,
    variant: str,
    counts: Mapping[str, int] | None = None,
    needs: Sequence[str] = (),
) -> None:
    """Make a generation current under a variant of its own; more counts and needs go into its manifest."""
    told = Manifest.from_json(cast("bytes", client.get(keys.manifest(number))))
    counts, needs = {**told.counts, **(counts or {})}, (*told.needs, *needs)
    client.set(keys.manifest(number), replace(told, variant=variant, counts=counts, needs=needs).to_json())
    fields = ("generation", number, "previous", "", "promoted_at", AS_OF_S)
    client.hset(keys.current(variant), items=list(fields))


def draw(rng: np.random.Generator, stock: Stock, n_users: int) -> tuple[SeenTimes, npt.NDArray[np.int32]]:
    """Draw what users saw and their lists, int32 (users, buckets × depth)."""
    seen, lists = _draw(rng, n_users, stock.n_posts, stock.n_seen, stock.n_buckets * stock.depth)
    return _times(rng, seen), lists


def make_content(stock: Stock, low: int, views: SeenTimes) -> GenerationContent:
    """Return the content of one block of users, but for what its posts say."""
    popular = np.tile(np.arange(stock.depth, dtype=np.int32), (stock.n_buckets, 1))
    user_ids, user_names = _codes(stock.users(low, low + views.n_users))
    post_ids, post_names = _codes(stock.posts())
    return GenerationContent(
        variant=VARIANT,
        as_of_s=AS_OF_S,
        horizon=stock.horizon,
        depth=stock.depth,
        seen_policy="views",
        model="drawn",
        features=("drawn",),
        segment_by=(),
        user_ids=user_ids,
        post_ids=post_ids,
        posts=[b""] * stock.n_posts,  # each generation has its own
        popular=popular,
        segments={SEGMENT: popular},
        segment_of=[SEGMENT] * views.n_users,
        catalogue=np.arange(stock.n_posts, dtype=np.int32),
        views=views,
        likes=SeenTimes.none(views.n_users),
        user_names=user_names,
        post_names=post_names,
        numbers=None if stock.ids == "numbers" else np.arange(stock.n_posts, dtype=np.int64),
        filter_by=(TOPIC,),
        facets={
            spell(TOPIC, str(k)): np.arange(k, stock.n_posts, TOPICS).astype(np.int32) for k in range(TOPICS)
        },
    )


def _codes(ids: Sequence[int | str]) -> tuple[npt.NDArray[np.int64], IdNames]:
    """Return the codes of ids, ascending, and what they stand for."""
    if isinstance(ids, range):
        return np.array(ids, np.int64), IdNames()
    texts = list(map(str, ids))
    return np.sort(encode_ids(texts)), IdNames.of("text", texts)


def _times(rng: np.random.Generator, seen: npt.NDArray[np.int32]) -> SeenTimes:
    """Give each pair a time: all but the last few of a user within 90 days up to as_of.

    As in the StartML rows they come in visits, of 20 posts here, some 100 seconds after one another.
    """
    n_users, n_seen = seen.shape
    visit_s = rng.integers(0, 90 * DAY_S, (n_users, n_seen // VISIT + 1))[:, np.arange(n_seen) // VISIT]
    steps = rng.integers(20, 180, (n_users, n_seen))
    times = AS_OF_S - visit_s - np.cumsum(steps, axis=1)
    times[:, -SEEN_SINCE:] = AS_OF_S + rng.integers(1, DAY_S, (n_users, SEEN_SINCE))
    order = np.argsort(seen, axis=1)
    return SeenTimes(
        np.arange(n_users + 1, dtype=np.int64) * n_seen,
        np.take_along_axis(seen, order, 1).ravel(),
        np.take_along_axis(times, order, 1).ravel(),
    )


def _write_lists(
    wire: PipelinedWriter, keys: Keys, content: GenerationContent, number: int, lists: npt.NDArray[np.int32]
) -> None:
    texts, n_buckets = shard.encode(lists, content.post_numbers), content.horizon.n_buckets
    starts = [b"%d" % start for start in content.horizon.starts]
    for i, user_id in enumerate(content.user_names.canonical(content.user_ids)):
        values = [texts[i * n_buckets + b] for b in range(n_buckets)]
        pairs = [part for pair in zip(starts, map(bytes, values), strict=True) for part in pair]
        key = keys.list(user_id, number).encode()
        wire.send(pack(b"HSET", key, *pairs, SEGMENT_FIELD.encode(), SEGMENT.encode()), 1)


def _write_packed(
    wire: PipelinedWriter, keys: Keys, content: GenerationContent, number: int, lists: npt.NDArray[np.int32]
) -> None:
    users = content.user_names.canonical(content.user_ids)
    posts = lists.reshape(len(users), content.horizon.n_buckets, -1)
    values = pack_lists(posts, content.post_numbers, [SEGMENT] * len(users))
    for user_id, value in zip(users, values, strict=True):
        wire.send(pack(b"SET", keys.list(user_id, number).encode(), value), 1)


def _write_shared(
    client: redis.Redis,
    keys: Keys,
    stock: Stock,
    content: GenerationContent,
    number: int,
    layout: Layout = "text",
) -> None:
    users, posts = map(str, stock.users(0, stock.n_users)), content.post_numbers.tolist()
    ids = content.post_names.as_json(content.post_ids)
    pipe = client.pipeline(transaction=False)
    pipe.set(keys.manifest(number), content.draft(number, AS_OF_S, layout).to_json())
    pipe.set(keys.users(number), " ".join(users))
    pipe.set(keys.catalogue(number), as_text(posts))
    for facet, rows in content.facets.items():
        pipe.hset(keys.facets(number), facet, as_text(content.post_numbers[rows].tolist()))
    for start in content.horizon.starts:
        for key in (keys.popular(number), keys.segment(number, SEGMENT)):
            pipe.hset(key, str(start), as_text(posts[: stock.depth]))
    for row, (post, post_id) in enumerate(zip(posts, ids, strict=True)):
        text = _post(post_id, number, stock.text_bytes, str(row % TOPICS))
        pipe.hset(keys.posts(number), str(post), text)
    pipe.execute()


def _post(post_id: int | str, generation: int, text_bytes: int, topic: str) -> bytes:
    sentence = f"Post {post_id} says what posts of generation {generation} say. "
    text = (sentence * (text_bytes // len(sentence) + 1))[:text_bytes]
    return orjson.dumps({"id": post_id, "text": text, "topic": topic})


@numba.njit(cache=True)
def _draw(rng: Any, n_users: Any, n_posts: Any, n_seen: Any, n_listed: Any) -> Any:
    """Draw what each user saw and their lists, which hold nothing that they saw by as_of.

    Returns:
        seen int32 (users, n_seen), those after as_of last; lists int32 (users, n_listed): places of several
        lists one after another, each distinct as long as a list is shorter than what is unseen.
    """
    order = np.arange(n_posts).astype(np.int32)
    seen = np.empty((n_users, n_seen), np.int32)
    lists = np.empty((n_users, n_listed), np.int32)
    first = n_seen - SEEN_SINCE
    for u in range(n_users):
        for k in range(n_seen):
            other = rng.integers(k, n_posts)
            order[k], order[other] = order[other], order[k]
        seen[u] = order[:n_seen]
        place = first
        for k in range(n_listed):
            other = rng.integers(place, n_posts)
            order[place], order[other] = order[other], order[place]
            lists[u, k] = order[place]
            place += 1
            if place == n_posts:
                place = first
    return seen, lists
