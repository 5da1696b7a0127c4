"""Made users: some see far more than others, each likes at a rate of their own, and the past tells both."""

import numpy as np

from batch.arrays import Floats

MEAN_VIEWS, MEAN_LIKES = 20.0, 0.2  # views a user; likes a view


def make_users(n_users: int, rng: np.random.Generator, lift: float = 0.0) -> dict[str, Floats]:
    """Return what users did, and what they had done before; a lift raises the likes a view.

    The variance of views is some thirteen times their mean; likes correlate .8 with those before.
    """
    taste = rng.gamma(1.6, MEAN_VIEWS / 1.6, n_users)
    rate = rng.beta(4, 4 / MEAN_LIKES - 4, n_users)
    views, before = rng.poisson(taste) + 1, rng.poisson(taste)
    likes = rng.binomial(views, np.minimum(rate * (1 + lift), 1.0))
    columns = {"views": views, "likes": likes, "pre_views": before, "pre_likes": rng.binomial(before, rate)}
    return {name: column.astype(np.float64) for name, column in columns.items()}
