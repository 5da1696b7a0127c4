"""Features by side: what lets every user × every post × every bucket be scored without building the rows.

A feature belongs to one side: `user`, `post`, `time` (constant in a bucket) or `user_group`, a property of
the user in the post's group (topic, text cluster), where the group is a function of the post.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from batch.arrays import AnyInts, Floats32, Ints, Ints32

Side = Literal["user", "post", "time", "user_group"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the model.

    Attributes:
        name: Unlike all others'.
        side: What it is a property of.
        categorical: LightGBM takes its values as codes.
        grows: It goes up as days pass, without anything new to tell: scoring meets greater values than
            training did.
    """

    name: str
    side: Side
    categorical: bool = False
    grows: bool = False


def distinct_names(names: Sequence[str], taken: Collection[str], prefix: str) -> list[str]:
    """Return the names, each once: a name that is taken, or came before, has a prefix, as often as it takes.

    >>> distinct_names(["age", "topic"], {"topic", "hour"}, "user_data.")
    ['age', 'user_data.topic']
    """
    found: list[str] = []
    for name in names:
        own = name
        while own in taken or own in found or (own != name and own in names):
            own = prefix + own
        found.append(own)
    return found


@dataclass(frozen=True, slots=True)
class Sides:
    """The values of all features, side by side, as of one time. NaN is missing.

    Attributes:
        features: The model's columns in the model's order; `column` below counts within a side,
            in this same order.
        user_ids: int64 (users,), ascending.
        post_ids: int64 (posts,), ascending.
        starts: int64 (buckets,). Bucket starts, epoch seconds, ascending.
        user: float32 (users, user features).
        post: float32 (posts, post features).
        time: float32 (buckets, time features).
        user_group: float32 (user_group features, users, groups).
        group: int32 (posts,). Each post's group, 0..groups-1.
    """

    features: tuple[Feature, ...]
    user_ids: Ints
    post_ids: Ints
    starts: Ints
    user: Floats32
    post: Floats32
    time: Floats32
    user_group: Floats32
    group: Ints32

    def __post_init__(self) -> None:
        """Check that the shapes agree.

        Raises:
            ValueError: A side's shape does not match the features, users, posts, buckets or groups.
        """
        width = Counter(feature.side for feature in self.features)
        n_users, n_posts = len(self.user_ids), len(self.post_ids)
        n_groups = max(self.user_group.shape[-1], int(self.group.max(initial=-1)) + 1)
        wanted = {
            "user": (n_users, width["user"]),
            "post": (n_posts, width["post"]),
            "time": (len(self.starts), width["time"]),
            "user_group": (width["user_group"], n_users, n_groups),
            "group": (n_posts,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")

    def part(self, users: AnyInts, buckets: AnyInts | slice = slice(None)) -> "Sides":
        """Return the sides of some users and buckets, given by row number; posts stay."""
        return replace(
            self,
            user_ids=self.user_ids[users],
            starts=self.starts[buckets],
            user=self.user[users],
            time=self.time[buckets],
            user_group=self.user_group[:, users],
        )

    def of_posts(self, rows: AnyInts) -> "Sides":
        """Return the sides of all users and buckets and of some posts, given by row number."""
        return replace(self, post_ids=self.post_ids[rows], post=self.post[rows], group=self.group[rows])

    def of_some_groups(self, rows: AnyInts) -> "Sides":
        """Return the sides of some posts, given by row number, and of their groups alone, counted from 0."""
        groups, group = np.unique(self.group[rows], return_inverse=True)
        return replace(
            self,
            post_ids=self.post_ids[rows],
            post=self.post[rows],
            user_group=np.ascontiguousarray(self.user_group[:, :, groups]),
            group=group.astype(np.int32),
        )

    def rows(self, users: AnyInts, posts: AnyInts, buckets: AnyInts) -> Floats32:
        """Gather the model's rows for (user, post, bucket) triples given by row number.

        Returns:
            float32 (rows, features), columns in the model's order.
        """
        out = np.empty((len(users), len(self.features)), np.float32)
        values: dict[Side, Floats32] = {
            "user": self.user[users],
            "post": self.post[posts],
            "time": self.time[buckets],
            "user_group": self.user_group[:, users, self.group[posts]].T,
        }
        for side, of_side in values.items():
            out[:, [feature.side == side for feature in self.features]] = of_side
        return out
