"""One generation before it is written: everything but the ranked lists, which come block by block."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pandas as pd

from api.contract.buckets import Horizon, moment
from api.contract.facets import read_column
from api.contract.ids import FEATURE
from api.contract.manifest import (
    CAP,
    EXPLORE,
    EXPLORE_NEW,
    EXPLORE_PLACES,
    FACETS,
    FOLDED,
    FOLDED_S,
    HOLDS_SEEN,
    PACKED,
    SIMILAR,
    WINDOWS,
    Layout,
    Manifest,
    SeenPolicy,
)
from api.contract.profile import Bins
from batch.arrays import Bools, Ints, Ints32
from batch.data.columns import POST_ID, TEXT, TOPIC
from batch.data.ids import IdNames
from batch.data.seen import SeenPosts, SeenTimes
from batch.data.windows import Windows
from batch.learn.explore import NewPosts
from batch.score.caps import Caps

Rows = Ints32
TOPICS_MOST = 8  # of which a user has lists of their own


@dataclass(frozen=True, slots=True)
class GenerationContent:
    """What a run publishes beside its lists. Posts are row numbers in `post_ids`.

    Attributes:
        variant: Name under which the generation is served.
        as_of_s: Newest accepted fact, epoch seconds.
        horizon: The buckets of the lists.
        depth: Most posts in a list.
        seen_policy: What the lists leave out.
        model: Fingerprint of the ranker.
        features: The model's columns, in its order.
        segment_by: Profile columns that make a segment.
        user_ids: int64 (users,), ascending. Codes of ids, which `user_names` spells.
        post_ids: int64 (posts,), ascending. Codes of ids, which `post_names` spells.
        posts: Every post as the API answers it, JSON, in the order of `post_ids`; see `post_json`.
        popular: int32 (buckets, ≤ depth). Best posts for a user nobody knows, best first; -1 fills.
        segments: Name to int32 (buckets, ≤ depth), like `popular`, for the users of one segment.
        segment_of: Each user's segment, in the order of `user_ids`; None where the profile is missing.
        catalogue: int32 (offered,). All posts that are offered, most popular first.
        views: When each user saw what, rows as in `user_ids`.
        likes: When each user liked what.
        profile: How the profile of an unknown user becomes a signature.
        profiles: Signature to int32 (buckets, ≤ depth), like `popular`, for unknown users.
        user_names: The ids behind the codes of users, and what they are in JSON.
        post_names: The same of posts.
        numbers: int64 (posts,). What each post is in the store; None: its id. See `numbers.number_posts`.
        metrics: Name to value, for the manifest.
        similar: int32 (posts, ≤ 100). The posts most like each, nearest first; -1 fills. None: none are kept.
        gate: The report that lets the generation through, where one ran.
        holds_seen: Whether lists hold posts that their user has seen, as only somebody else's do.
        filter_by: The columns of posts that requests may filter by.
        topic_depth: Posts in users' lists of single topics, ranked from the inputs; 0: there are none.
        facets: Facet to int32 rows of the posts that have it, most popular first; see `facets.find_facets`.
        caps: How many posts of a topic stand close together in lists, popular and profiles' lists included.
        windows: When posts may be shown; None: all at any time. What is at no time of the horizon is not
            offered: no list, facet or similar post holds it, and no reader learns of it.
        explored: What exploration places draw from; None: there are none.
    """

    variant: str
    as_of_s: int
    horizon: Horizon
    depth: int
    seen_policy: SeenPolicy
    model: str
    features: tuple[str, ...]
    segment_by: tuple[str, ...]
    user_ids: Ints
    post_ids: Ints
    posts: Sequence[bytes]
    popular: Rows
    segments: dict[str, Rows]
    segment_of: Sequence[str | None]
    catalogue: Rows
    views: SeenTimes
    likes: SeenTimes
    profile: Bins = field(default_factory=dict)
    profiles: dict[str, Rows] = field(default_factory=dict)
    user_names: IdNames = field(default_factory=IdNames)
    post_names: IdNames = field(default_factory=IdNames)
    numbers: Ints | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    similar: Rows | None = None
    gate: dict[str, Any] | None = None
    holds_seen: bool = False
    filter_by: tuple[str, ...] = ()
    topic_depth: int = 0
    facets: dict[str, Rows] = field(default_factory=dict)
    caps: Caps | None = None
    windows: Windows | None = None
    explored: NewPosts | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: A part has another length than its users, posts or buckets, or names no segment; or
                no post is offered.
        """
        n_users, n_posts, n_buckets = len(self.user_ids), len(self.post_ids), self.horizon.n_buckets
        lengths = {
            "segment_of": (len(self.segment_of), n_users),
            "views": (self.views.n_users, n_users),
            "likes": (self.likes.n_users, n_users),
            "posts": (len(self.posts), n_posts),
            "catalogue": (len(self.catalogue), int(self.offered.sum())),
            "popular": (len(self.popular), n_buckets),
        }
        lengths |= {} if self.similar is None else {"similar": (len(self.similar), n_posts)}
        lengths |= {} if self.numbers is None else {"numbers": (len(self.numbers), n_posts)}
        lengths |= {f"segment {name}": (len(rows), n_buckets) for name, rows in self.segments.items()}
        lengths |= {f"profile {name}": (len(rows), n_buckets) for name, rows in self.profiles.items()}
        for name, (length, wanted) in lengths.items():
            if length != wanted:
                raise ValueError(f"{name} has {length} rows, expected {wanted}")
        for name, ids in (("user_ids", self.user_ids), ("post_ids", self.post_ids)):
            if np.any(np.diff(ids) <= 0):
                raise ValueError(f"{name} must be ascending and distinct")
        if n_posts and not self.offered.any():
            raise ValueError(
                f"no post may be shown between {moment(self.horizon.start_s)} and "
                f"{moment(self.horizon.end_s)}, the times of the lists: mend valid_from and valid_to of posts"
            )
        unknown = set(self.segment_of) - set(self.segments) - {None}
        if unknown:
            raise ValueError(f"users belong to segments without lists: {sorted(map(str, unknown))[:5]}")

    @property
    def offered(self) -> Bools:
        """Return bool (posts,): those that may be shown at some time of the horizon."""
        if self.windows is None:
            return np.ones(len(self.post_ids), np.bool_)
        return self.windows.touch(self.horizon.start_s, self.horizon.end_s)

    @property
    def windowed(self) -> dict[int, tuple[int | None, int | None]]:
        """Return the windows of those offered posts that have one, by row; None is an open side."""
        if self.windows is None:
            return {}
        rows = np.flatnonzero(self.windows.given & self.offered).tolist()
        return {row: self.windows.sides(row) for row in rows}

    @property
    def post_numbers(self) -> Ints:
        """Return int64 (posts,): what stands in lists and seen sets, in the order of `post_ids`."""
        return self.post_ids if self.numbers is None else self.numbers

    @property
    def needs_dictionary(self) -> bool:
        """Say whether some ids are text, or some post's number is not its id."""
        kinds = {self.user_names.kind, self.post_names.kind}
        return "text" in kinds or not np.array_equal(self.post_numbers, self.post_ids)

    def draft(
        self, generation: int, created_at_s: int, layout: Layout = "text", folded_s: int | None = None
    ) -> Manifest:
        """Return the manifest of a generation that is being built: no checksum yet, counts as planned.

        Up to `folded_s` what was seen may be packed; None: nothing is yet.
        """
        caps, explored = self.caps, self.explored
        return Manifest(
            generation=generation,
            variant=self.variant,
            as_of_s=self.as_of_s,
            created_at_s=created_at_s,
            start_s=self.horizon.start_s,
            width_s=self.horizon.width_s,
            n_buckets=self.horizon.n_buckets,
            depth=self.depth,
            seen_policy=self.seen_policy,
            model=self.model,
            features=self.features,
            segment_by=self.segment_by,
            segments=tuple(sorted(self.segments)),
            counts={
                "users": len(self.user_ids),
                "posts": int(self.offered.sum()),
                "lists": len(self.user_ids) * self.horizon.n_buckets,
                "seen": len(self.views.post),
                "likes": len(self.likes.post),
                "profiles": len(self.profiles),
                **{
                    FACETS + name: sum(read_column(facet) == name for facet in self.facets)
                    for name in self.filter_by
                },
                **(dict(zip(CAP, (caps.most, caps.window), strict=True)) if caps else {}),
                **({"topic_depth": self.topic_depth} if self.topic_depth else {}),
                **({} if self.similar is None else {SIMILAR: self.similar.shape[1]}),
                **({EXPLORE_PLACES: explored.n_places, EXPLORE_NEW: explored.n_new} if explored else {}),
                **({} if folded_s is None else {FOLDED_S: folded_s}),
            },
            profile=self.profile,
            metrics=self.metrics,
            gate=self.gate,
            needs=(FEATURE,) * self.needs_dictionary
            + (HOLDS_SEEN,) * self.holds_seen
            + (WINDOWS,) * bool(self.windowed)
            + (EXPLORE,) * (explored is not None)
            + (PACKED,) * (layout == "packed")
            + (FOLDED,) * (layout == "packed" or folded_s is not None),
            user_ids=self.user_names.kind,
            post_ids=self.post_names.kind,
            holds_seen=self.holds_seen,
        )


def choose_left_out(policy: SeenPolicy, views: SeenTimes, likes: SeenTimes) -> SeenPosts:
    """Return the posts that each user's lists leave out under a policy; nothing is copied."""
    if policy == "none":
        return SeenPosts.none(views.n_users)
    times = views if policy == "views" else likes
    return SeenPosts(times.start, times.post)


def post_json(posts: pd.DataFrame, names: IdNames) -> list[bytes]:
    """Write each post as the API answers it; a missing text or topic is empty.

    >>> post_json(pd.DataFrame({"post_id": [7], "text": ["Hi"], "topic": [None]}), IdNames())
    [b'{"id":7,"text":"Hi","topic":""}']
    """
    ids = names.as_json(posts[POST_ID].to_numpy())
    texts, topics = (posts[name].astype(object).where(posts[name].notna(), "") for name in (TEXT, TOPIC))
    return [
        orjson.dumps({"id": post_id, "text": str(text), "topic": str(topic)})
        for post_id, text, topic in zip(ids, texts, topics, strict=True)
    ]
