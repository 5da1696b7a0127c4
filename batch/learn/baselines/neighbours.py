"""Baselines by neighbours: posts that the same users liked, users who liked the same posts."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from batch.arrays import Floats, Floats32, Ints
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import PostScores, break_ties

N_POSTS = 100  # neighbours of a post that count
N_USERS = 200  # neighbours of a user
BM25_K1, BM25_B = 100.0, 0.8  # implicit's own
POSTS_AT_ONCE = 1_000
Matrix: TypeAlias = Any  # sparse.csr_matrix, float32; scipy ships no types
Weigh = Callable[[Matrix], Matrix]


def item_knn(weigh: Weigh) -> Callable[[Interactions], PostScores]:
    """Return a baseline that scores a post by its similarity to all the user liked.

    Args:
        weigh: Takes likes (posts, users) and returns what two posts' inner product is taken of.
    """

    def fit(interactions: Interactions) -> PostScores:
        likes, popular = interactions.likes(), interactions.rates()
        near = _nearest(weigh(likes.T.tocsr()))
        return lambda users: break_ties((likes[users] @ near).toarray().astype(np.float64), popular)

    return fit


def user_knn(interactions: Interactions) -> PostScores:
    """Score a post by how much alike those who liked it are to the user."""
    likes, popular = interactions.likes(), interactions.rates()
    unit = _unit(likes)
    others = unit.T.tocsr()

    def scores(users: Ints) -> Floats:
        alike = (unit[users] @ others).toarray()
        alike[np.arange(len(users)), users] = 0
        _keep_largest(alike, N_USERS)
        return break_ties(np.asarray((sparse.csr_matrix(alike) @ likes).toarray(), np.float64), popular)

    return scores


def cosine(likes: Matrix) -> Matrix:
    """Weigh all likes alike; every post's row has length 1."""
    return _unit(likes)


def tfidf(likes: Matrix) -> Matrix:
    """Weigh a user's likes the less the more likes the user has; every post's row has length 1.

    Source: `tfidf_weight` of implicit.
    """
    return _unit(_by_user(likes))


def bm25(likes: Matrix) -> Matrix:
    """Weigh as TF-IDF does, and posts with many likes less; lengths stay.

    Source: `bm25_weight` of implicit; Robertson et al., Okapi at TREC-3, 1994.
    """
    size = np.diff(likes.indptr)
    norm = 1 - BM25_B + BM25_B * size / max(float(size.mean()), 1e-12)
    return sparse.diags_array((BM25_K1 + 1) / (BM25_K1 * norm + 1)).astype(np.float32) @ _by_user(likes)


def _by_user(likes: Matrix) -> Matrix:
    idf = np.log(max(likes.shape[0], 1)) - np.log1p(np.bincount(likes.indices, minlength=likes.shape[1]))
    return likes @ sparse.diags_array(idf.astype(np.float32))


def _unit(rows: Matrix) -> Matrix:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sparse.diags_array((1 / np.maximum(length, 1e-12)).astype(np.float32)) @ rows


def _nearest(rows: Matrix) -> Matrix:
    """Return each post's most similar posts, float32 (posts, posts), itself left out."""
    columns, found = rows.T.tocsr(), []
    for low in range(0, rows.shape[0], POSTS_AT_ONCE):
        alike = (rows[low : low + POSTS_AT_ONCE] @ columns).toarray()
        alike[np.arange(len(alike)), low + np.arange(len(alike))] = 0
        _keep_largest(alike, N_POSTS)
        found.append(sparse.csr_matrix(alike))
    return sparse.vstack(found, format="csr")


def _keep_largest(rows: Floats32, n: int) -> None:
    """Set all but each row's `n` largest values to 0, in place; values as large as the last one stay too."""
    if rows.shape[1] > n:
        least = np.partition(rows, -n, axis=1)[:, -n]
        rows[rows < least[:, None]] = 0
