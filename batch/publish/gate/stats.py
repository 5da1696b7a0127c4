"""A generation in a few numbers, from a sample: how scores, posts, topics, users, inputs are spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batch.arrays import AnyFloats, AnyInts, Floats, Ints, Ints32
from batch.features.sides import Sides
from batch.publish.gate.overlap import shared_share
from batch.publish.gate.spread import Spread
from batch.score.ranked import RankedBlock

USERS = 2_000  # whose lists are looked at: 24 buckets × 50 places are 30 MB while publishing
TOP = 10  # what a page shows
CELLS = 200_000  # values of one user × group feature that are looked at


class Sample:
    """Some users' lists, kept while all users' pass by, and counts over all of them."""

    def __init__(self, n_users: int, expected: AnyInts, first: int = 0) -> None:
        """Choose the users, evenly spaced.

        Args:
            n_users: Users of the whole generation.
            expected: int (users, buckets or 1). Posts that each of a user's lists could hold, of the users
                who will pass: the depth, or fewer where the user has seen nearly all.
            first: Row of the first of them; blocks count from there.
        """
        self.rows = choose_rows(n_users)
        self.n_users = self.n_empty = self.n_short = self.n_lists = 0
        self._expected, self._first = expected, first
        self._posts: list[Ints32] = []
        self._scores: list[Floats] = []

    def add(self, block: RankedBlock) -> None:
        """Look at the next block."""
        length = (block.posts >= 0).sum(axis=2)
        last = block.first + len(block.posts)
        self.n_users += len(block.posts)
        self.n_lists += length.size
        self.n_empty += int(np.count_nonzero(length.max(axis=1, initial=0) == 0))
        self.n_short += int(np.count_nonzero(length < self._expected[block.first : last]))
        rows = self.rows - self._first
        inside = rows[(rows >= block.first) & (rows < last)] - block.first
        self._posts.append(block.posts[inside])
        self._scores.append(block.scores[inside])

    @property
    def posts(self) -> Ints32:
        """Return int32 (sampled users, buckets, depth): post rows, best first, -1 fills."""
        return np.concatenate(self._posts)

    @property
    def scores(self) -> Floats:
        """Return float64 (sampled users, buckets, depth): raw scores, NaN fills."""
        return np.concatenate(self._scores)

    def save(self, path: Path) -> None:
        """Write what has passed: arrays without pickle."""
        counts = np.array([self.n_users, self.n_empty, self.n_short, self.n_lists], np.int64)
        with path.open("wb") as file:
            np.savez(file, counts=counts, posts=self.posts, scores=self.scores)

    def add_saved(self, path: Path) -> None:
        """Look at what has passed another sample of the same users, as `save` wrote it, in their order."""
        with np.load(path, allow_pickle=False) as file:
            n_users, n_empty, n_short, n_lists = file["counts"].tolist()
            self._posts.append(file["posts"])
            self._scores.append(file["scores"])
        self.n_users, self.n_empty = self.n_users + n_users, self.n_empty + n_empty
        self.n_short, self.n_lists = self.n_short + n_short, self.n_lists + n_lists


def choose_rows(n_users: int) -> Ints:
    """Return the rows of the users whose lists are looked at, evenly spaced, at most `USERS`."""
    return np.unique(np.linspace(0, max(n_users - 1, 0), min(n_users, USERS)).astype(np.int64))


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """What the next generation is compared with.

    Attributes:
        n_users: Users with lists, empty ones included.
        n_empty: Users without a post in any bucket.
        n_short: Lists shorter than they could be.
        n_lists: All lists.
        coverage: Share of the posts that are offered that some sampled list holds.
        topics: Topic to its share of the first ten places.
        same_order: Share of pairs of users, in one bucket, whose common posts stand in one and the same
            order, of those with five or more in common; 0 where no pair has.
        same_posts: Mean share of the first ten places that two users have in common.
        scores: How raw scores are spread.
        inputs: Feature to how its values are spread over users, posts, or users × groups. Time features,
            which the calendar moves, are left out.
    """

    n_users: int
    n_empty: int
    n_short: int
    n_lists: int
    coverage: float
    topics: dict[str, float]
    same_order: float
    same_posts: float
    scores: Spread
    inputs: dict[str, Spread]

    @classmethod
    def from_values(cls, raw: Mapping[str, Any]) -> "GenerationStats":
        """Read what `asdict` gave.

        Raises:
            ValueError: It is no stats.
        """
        try:
            inputs = {name: Spread.from_values(spread) for name, spread in raw["inputs"].items()}
            return cls(**{**raw, "scores": Spread.from_values(raw["scores"]), "inputs": inputs})
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"these are no statistics of a generation: {exc!r}") from exc


def summarize(sample: Sample, topics: Sequence[str], sides: Sides | None, n_offered: int) -> GenerationStats:
    """Describe what has passed.

    Args:
        sample: After the last block.
        topics: Each post's topic, in the order of the posts' rows.
        sides: What the lists were scored from; None where they are not kept.
        n_offered: Posts that lists could hold.
    """
    posts, scores = sample.posts, sample.scores
    held = posts[posts >= 0]
    names, topic = np.unique(np.array(topics, dtype=object).astype(str), return_inverse=True)
    first = posts[:, :, :TOP]
    shares = np.bincount(topic[first[first >= 0]], minlength=len(names)) / max(int((first >= 0).sum()), 1)
    same_order, same_posts = _alike(posts)
    inputs = {} if sides is None else columns(sides, sample.rows, time=False)
    return GenerationStats(
        n_users=sample.n_users,
        n_empty=sample.n_empty,
        n_short=sample.n_short,
        n_lists=sample.n_lists,
        coverage=len(np.unique(held)) / max(n_offered, 1),
        topics=dict(zip(names.tolist(), shares.tolist(), strict=True)),
        same_order=same_order,
        same_posts=same_posts,
        scores=Spread.of(scores[posts >= 0]),
        inputs={name: Spread.of(values) for name, values in inputs.items()},
    )


def columns(sides: Sides, users: AnyInts, *, time: bool = True) -> dict[str, AnyFloats]:
    """Return each feature's values over some users, all posts, all buckets, or some users × all groups."""
    found: dict[str, AnyFloats] = {}
    at = {"user": 0, "post": 0, "time": 0, "user_group": 0}
    for feature in sides.features:
        k = at[feature.side]
        at[feature.side] += 1
        if feature.side == "user":
            found[feature.name] = sides.user[users, k]
        elif feature.side == "post":
            found[feature.name] = sides.post[:, k]
        elif feature.side == "user_group":
            found[feature.name] = sides.user_group[k, users].ravel()[:CELLS]
        elif time:
            found[feature.name] = sides.time[:, k]
    return found


def _alike(posts: Ints32) -> tuple[float, float]:
    """Compare each sampled user with the next, half the sample further, in one bucket each."""
    n = len(posts) // 2
    if not n:
        return 0.0, 0.0
    bucket = np.arange(n) % posts.shape[1]
    a, b = posts[np.arange(n), bucket], posts[n + np.arange(n), bucket]
    place = np.where((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0), np.arange(b.shape[1]) + 1, 0)
    in_b = place.max(axis=2)  # 0: not in b
    in_b = np.where(in_b > 0, in_b, -1)
    enough = (in_b > 0).sum(axis=1) >= 5
    ahead = np.maximum.accumulate(in_b, axis=1)
    ordered = ((in_b < 0) | (in_b == ahead)).all(axis=1)
    same_order = float(ordered[enough].mean()) if enough.any() else 0.0
    return same_order, float(shared_share(a[:, :TOP], b[:, :TOP]).mean())
