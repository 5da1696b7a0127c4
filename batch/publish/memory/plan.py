"""How many bytes a run needs, from its sizes and what one user costs in the target store. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from api.contract.facets import TOPIC, read_column
from api.contract.ids import quote
from api.contract.manifest import Layout
from batch.arrays import AnyInts
from batch.publish.generation import TOPICS_MOST, GenerationContent

FIELD_BYTES = 64  # of a hash's field beside its texts
KEY_BYTES, TOPIC_BYTES = 100, 4  # of a user's hash of topics and of each of its fields, Valkey 9.1
WINDOW_BYTES = 32  # a post's number, two times and a comma
WEIGHT_BYTES = 22  # a post's number, a weight of six digits, a colon and a blank
SPARE = 0.02  # of what is planned: the plan's own error, and connections


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a run will publish.

    Attributes:
        n_users: Users with lists.
        n_buckets: Buckets in the horizon.
        depth: Posts in a list.
        n_shared: Segments and profiles with lists of their own.
        post_numbers: int (posts,). Their digits count.
        post_bytes: int (posts,). Length of each post as the API answers it.
        seen: int (any,). Posts that users have seen, one number a user or one for all.
        likes: int (any,). Posts that users have liked.
        user_bytes: Mean length of a user's id as it stands in keys.
        entry_bytes: int (any,). Length of each post's id that stands in the dictionary.
        facet_bytes: int (facets,). Length of each facet with its list of posts.
        topic_bytes: Of a user's lists of topics, their key included.
        n_windows: Posts with a window.
        n_weights: Weights of new posts, of all segments together.
        n_similar: Similar posts of all posts together.
        layout: How users' own lists stand in the store.
    """

    n_users: int
    n_buckets: int
    depth: int
    n_shared: int
    post_numbers: AnyInts
    post_bytes: AnyInts
    seen: AnyInts
    likes: AnyInts
    user_bytes: float
    entry_bytes: AnyInts
    facet_bytes: AnyInts
    topic_bytes: float = 0.0
    n_similar: int = 0
    n_windows: int = 0
    n_weights: int = 0
    layout: Layout = "text"

    @classmethod
    def of(cls, content: GenerationContent, layout: Layout = "text") -> "Sizes":
        """Return the sizes of what is about to be published."""
        named = np.flatnonzero(content.post_numbers != content.post_ids)
        entries = content.post_names.spelled(content.post_ids[named])
        return cls(
            n_users=len(content.user_ids),
            n_buckets=content.horizon.n_buckets,
            depth=content.depth,
            n_shared=len(content.segments) + len(content.profiles),
            post_numbers=content.post_numbers[content.offered],
            post_bytes=np.array([len(post) for post in content.posts], np.int64)[content.offered],
            seen=np.diff(content.views.start),
            likes=np.diff(content.likes.start),
            user_bytes=_mean_length(map(quote, content.user_names.canonical(content.user_ids))),
            entry_bytes=np.array([len(text.encode()) for text in entries], np.int64),
            facet_bytes=_measure_facets(content),
            topic_bytes=_measure_topics(content),
            n_similar=0 if content.similar is None else int((content.similar >= 0).sum()),
            n_windows=len(content.windowed),
            n_weights=sum(len(one.post) for one in content.explored.weights.values())
            if content.explored
            else 0,
            layout=layout,
        )

    @classmethod
    def of_numbers(
        cls,
        *,
        users: int,
        posts: int,
        buckets: int,
        depth: int,
        seen: int,
        likes: int,
        text_bytes: int,
        similar: int = 0,
        layout: Layout = "text",
    ) -> "Sizes":
        """Return the sizes of a world that is only a few numbers yet; posts are numbered from 1."""
        return cls(
            n_users=users,
            n_buckets=buckets,
            depth=min(depth, posts),
            n_shared=0,
            post_numbers=np.arange(1, posts + 1),
            post_bytes=np.full(posts, text_bytes),
            seen=np.array([seen]),
            likes=np.array([likes]),
            user_bytes=len(str(users)),
            entry_bytes=np.empty(0, np.int64),
            facet_bytes=np.array([posts * (len(str(posts)) + 1)]),  # about one topic a post
            n_similar=posts * min(similar, posts - 1),
            layout=layout,
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes in the store, keys and allocation included, on the average of a probe.

    Attributes:
        lists: A user's lists in one generation.
        seen: A user's seen set.
        likes: A user's likes.
        post: A post.
        entry: An entry of the dictionary, both ways round.
    """

    lists: float
    seen: float
    likes: float
    post: float
    entry: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run takes, bytes.

    Attributes:
        generation: One generation: lists, and what all users share.
        seen: Seen sets and likes, which all generations share.
        generations: How many stand side by side at most: the kept ones and the one being built.
        total: All of it and the dictionary of posts, with `SPARE`.
        used: What the store holds before the run; None where it does not say.
        limit: Its maxmemory; 0: none set; None where it does not say.
        adds: What this run adds to `used`: a generation, and the seen sets that are not there yet; and the
            dictionary, whole, since it is small.
    """

    generation: int
    seen: int
    generations: int
    total: int
    used: int | None
    limit: int | None
    adds: int

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON, with `fits`: None where the store does not say what it may hold."""
        return {**asdict(self), "fits": None if self.limit is None else self.refusal() is None}

    def refusal(self) -> str | None:
        """Return why the run does not fit, and what to change; None if it does.

        >>> Plan(700, 300, 3, 2450, 0, 2000, 1000).refusal()[:60]
        'the store may hold 0.000 GB (maxmemory) and needs 0.000 GB: '
        """
        if not self.limit or self.used is None:
            return None
        needed = max(self.total, round((self.used + self.adds) * (1 + SPARE)))
        if needed <= self.limit:
            return None
        return (
            f"the store may hold {_gb(self.limit)} (maxmemory) and needs {_gb(needed)}: {self.generations} "
            f"generations of {_gb(self.generation)} and {_gb(self.seen)} of seen sets; raise maxmemory, or "
            "lower ALMANAC_DEPTH, ALMANAC_N_BUCKETS or ALMANAC_GENERATIONS_KEPT"
        )


def plan(
    sizes: Sizes, costs: Costs, *, kept: int, used: int | None, limit: int | None, held: float = 0.0
) -> Plan:
    """Add up what a run takes.

    Args:
        sizes: What it will publish.
        costs: What one of each costs in the target store.
        kept: Generations that stay, the current one included; one more is being built beside them.
        used: Bytes that the store holds now; None: unknown.
        limit: The store's maxmemory, bytes; 0: none; None: unknown.
        held: Share of the seen sets that the store holds already, 0..1.
    """
    digits = float(np.char.str_len(sizes.post_numbers.astype(str)).mean()) if len(sizes.post_numbers) else 0.0
    shared_lists = (sizes.n_shared + 1) * sizes.n_buckets * sizes.depth * (digits + 1)
    catalogue = len(sizes.post_numbers) * (digits + 1)
    similar = sizes.n_similar * (digits + 1) + (
        len(sizes.post_numbers) * FIELD_BYTES if sizes.n_similar else 0
    )
    users = sizes.n_users * (sizes.user_bytes + 1)
    dictionary = round(len(sizes.entry_bytes) * costs.entry)
    posts = len(sizes.post_numbers) * costs.post
    facets = float((sizes.facet_bytes + FIELD_BYTES).sum()) + sizes.n_users * sizes.topic_bytes
    windows = sizes.n_windows * (FIELD_BYTES + WINDOW_BYTES)
    weights = sizes.n_weights * WEIGHT_BYTES
    shared = shared_lists + catalogue + users + posts + facets + similar + windows + weights
    generation = round(sizes.n_users * costs.lists + shared)
    seen = round(sizes.n_users * (costs.seen + costs.likes))
    total = round(((kept + 1) * generation + seen + dictionary) * (1 + SPARE))
    adds = generation + round(seen * (1 - held)) + dictionary
    return Plan(generation, seen, kept + 1, total, used, limit, adds)


def _measure_facets(content: GenerationContent) -> AnyInts:
    digits = np.char.str_len(content.post_numbers.astype(str)) + 1
    lengths = [len(facet.encode()) + int(digits[rows].sum()) for facet, rows in content.facets.items()]
    return np.array(lengths, np.int64)


def _measure_topics(content: GenerationContent) -> float:
    """Return bytes a user, were every list full: keys, and each topic's name, posts and place in its hash."""
    sizes = [
        (len(name) - len(TOPIC), len(rows))
        for name, rows in content.facets.items()
        if read_column(name) == TOPIC
    ]
    if not content.topic_depth or not sizes:
        return 0.0
    digits = float(np.char.str_len(content.post_numbers.astype(str)).mean()) + 1
    a_topic = np.mean([length + min(n, content.topic_depth) * digits for length, n in sizes]) + TOPIC_BYTES
    return KEY_BYTES + min(len(sizes), TOPICS_MOST) * float(a_topic)


def _mean_length(texts: Iterable[str]) -> float:
    lengths = [len(text.encode()) for text in texts]
    return sum(lengths) / max(len(lengths), 1)


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.3f} GB"
