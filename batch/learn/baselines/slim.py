"""SLIM: each post's likes regressed on those of its nearest posts by scikit-learn's elastic net."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import enet_path

from batch.arrays import Floats
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.learn.baselines.neighbours import MOST_LIKES, Matrix, cosine, find_nearest
from batch.learn.baselines.recommender import PostScores, break_ties

# Of squared errors summed over users: as if so many likes spoke against a weight.
L1, L2 = Knob("l1", 1.0, 0.01, 30.0, whole=False), Knob("l2", 10.0, 0.1, 1_000.0, whole=False)
MOST_ROUNDS, TOLERANCE = 1_000, 1e-3


def slim(interactions: Interactions) -> PostScores:
    """Score a post by the user's likes with weights that are sparse and not negative.

    Only a post's nearest by cosine may have a weight, as in the paper's fsSLIM: that keeps it quick.

    Source: Ning and Karypis, SLIM: sparse linear methods for top-n recommender systems, ICDM 2011.
    """
    likes, popular = interactions.likes(), interactions.rates()
    last = interactions.likes(MOST_LIKES)
    penalties = interactions.value(L1), interactions.value(L2)
    weights = regress_sparsely(last, find_nearest(cosine(last.T.tocsr())), *penalties)
    return lambda users: break_ties((likes[users] @ weights).toarray().astype(np.float64), popular)


def regress_sparsely(likes: Matrix, near: Matrix, l1: float, l2: float) -> Matrix:
    """Return the weights, sparse float64 (posts, posts), a column for each post that is scored.

    Args:
        likes: Sparse (users, posts).
        near: Sparse (posts, posts). Whose row has an entry may have a weight in the row's column.
        l1: Penalty of a weight,
        l2: and of its square.
    """
    by_post, columns, rows, weights = likes.T.tocsr().astype(np.float64), [], [], []
    for post in np.flatnonzero(np.diff(near.indptr)).tolist():
        others = near.indices[near.indptr[post] : near.indptr[post + 1]]
        found = _solve(by_post[others], by_post[post], l1, l2)
        kept = np.flatnonzero(found)
        rows.append(others[kept].astype(np.int64))
        columns.append(np.full(len(kept), post))
        weights.append(found[kept])
    nothing = np.empty(0, np.int64)
    places = np.hstack([nothing, *rows]), np.hstack([nothing, *columns])
    return sparse.csr_matrix((np.hstack([np.empty(0), *weights]), places), near.shape)


def _solve(others: Matrix, own: Matrix, l1: float, l2: float) -> Floats:
    """Return the weights of others' likes, sparse (others, users), that tell a post's own, float64 (others,).

    scikit-learn is given the inner products, which are all that it works on; of the likes themselves it only
    takes the shape, and one row makes its penalties those of a sum.
    """
    inner: Floats = (others @ others.T).toarray()
    target = np.array([np.sqrt(own.sum())])  # its square is the sum of squares: likes are ones
    _, path, _ = enet_path(
        np.empty((1, len(inner)), order="F"),
        target,
        alphas=[l1 + l2],
        l1_ratio=l1 / (l1 + l2),
        precompute=inner,
        Xy=(others @ own.T).toarray().ravel(),
        positive=True,
        check_input=False,
        max_iter=MOST_ROUNDS,
        tol=TOLERANCE,
    )
    return np.asarray(path[:, 0], np.float64)
