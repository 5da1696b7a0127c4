"""What scoring hands to publishing: ranked lists of a block of users, and the seen posts it left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from batch.features.sides import Sides


@dataclass(frozen=True, slots=True)
class SeenRows:
    """Posts that each user's lists leave out, as compressed rows: user `u` has `post[start[u]:start[u+1]]`.

    Attributes:
        start: int64 (users + 1,).
        post: int32 (pairs,). Row numbers of posts, ascending and distinct within a user.
    """

    start: npt.NDArray[np.int64]
    post: npt.NDArray[np.int32]

    def of(self, user: int) -> npt.NDArray[np.int32]:
        """Return int32 (n,): the rows of the posts that the user in row `user` has seen."""
        return self.post[self.start[user] : self.start[user + 1]]


@dataclass(frozen=True, slots=True)
class RankedBlock:
    """Ranked lists of consecutive users, best first; ties go to the lower post id.

    Attributes:
        first: Row number of the block's first user.
        posts: int32 (users, buckets, depth). Row numbers of posts; -1 fills a list with too few unseen posts.
        scores: float64 (users, buckets, depth). LightGBM's raw scores; NaN where `posts` is -1.
    """

    first: int
    posts: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]


class Scorer(Protocol):
    """Scores every user against every post in every bucket of `sides`, block by block of users, in order."""

    def __call__(self, sides: Sides, seen: SeenRows, depth: int) -> Iterator[RankedBlock]:
        """Yield blocks that cover all users once, ascending."""
        ...
