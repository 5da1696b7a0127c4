"""What scoring hands to publishing: ranked lists, one block of users after the other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
