"""LightFM: factors of users and posts as sums of their features', so that an unknown user has some too."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from batch.learn.baselines.described import Matrix, describe_posts, describe_users
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.learn.baselines.recommender import PostScores

FACTORS, ROUNDS = Knob("factors", 64, 8, 256), Knob("rounds", 30, 4, 100)
RATE = Knob("learning_rate", 0.05, 0.005, 0.5, whole=False)
SHRUNK = Knob("regularization", 1e-9, 1e-9, 1e-3, whole=False)  # of both sides; the usual is next to none
HALF_LIFE = Knob("half_life_days", 3_650, 3, 3_650, whole=False)  # of a like; by the usual one none fades
KNOBS = FACTORS, ROUNDS, RATE, SHRUNK, HALF_LIFE


def lightfm(loss: str) -> Callable[[Interactions], PostScores]:
    """Return a baseline by LightFM, whose loss is `warp` or `bpr`.

    A user is themselves and their profile; a post is itself, its topic and its text cluster. Of a user
    without a like only the profile counts. One thread learns, since several write over each other. Where
    likes fade, one moves factors by as much as it counts.

    Source: Kula, Metadata embeddings for user and item cold-start recommendations, CBRecSys 2015.
    """

    def fit(interactions: Interactions) -> PostScores:
        from lightfm import LightFM

        likes = interactions.likes()
        users = _with_themselves(likes, describe_users(interactions.statics))
        posts = _with_themselves(likes.T.tocsr(), describe_posts(interactions.statics))
        model = LightFM(
            no_components=interactions.number(FACTORS),
            loss=loss,
            learning_rate=interactions.value(RATE),
            item_alpha=interactions.value(SHRUNK),
            user_alpha=interactions.value(SHRUNK),
            random_state=interactions.seed,
        )
        rounds, days = interactions.number(ROUNDS), interactions.value(HALF_LIFE)
        weights = None if days == HALF_LIFE.usual else interactions.faded(days).tocoo()
        described = {"user_features": users, "item_features": posts}
        model.fit(likes.tocoo(), **described, sample_weight=weights, epochs=rounds, num_threads=1)
        bias, y = model.get_item_representations(posts)
        _, x = model.get_user_representations(users)
        return lambda rows: np.asarray(x[rows].astype(np.float64) @ y.T + bias, np.float64)

    return fit


def _with_themselves(likes: Matrix, described: Matrix) -> Matrix:
    """Return float32 (rows, rows + values): a row with any like has a one of its own, too."""
    own = (np.diff(likes.indptr) > 0).astype(np.float32)
    return sparse.hstack([sparse.diags_array(own), described], format="csr", dtype=np.float32)
