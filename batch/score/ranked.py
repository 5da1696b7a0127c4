"""What scoring hands to publishing: ranked lists, one block of users after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from batch.data.seen import SeenPosts
from batch.features.sides import Sides


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

    def __call__(self, sides: Sides, seen: SeenPosts, depth: int) -> Iterator[RankedBlock]:
        """Yield blocks that cover all users once, ascending."""
        ...
