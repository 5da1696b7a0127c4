"""Baselines by neighbours: posts that the same users liked, users who liked the same posts."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from batch.arrays import Bools, Floats, Floats32, Ints
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.learn.baselines.recommender import PostScores, break_ties

N_POSTS = 100  # neighbours of a post that count, and those as near as the last of them
MOST_POSTS = 500  # of them, ties included: of a user's posts that nobody else liked, all are equally near
MOST_LIKES = 2_000  # of a user, the last ones, tell which posts are alike: pairs of them grow with the square
USERS = Knob("neighbours", 200, 10, 2_000)  # of a user
BM25_K1, BM25_B = 100.0, 0.8  # implicit's own
PAIRS_AT_ONCE = 2_000_000  # of posts; so many take 50 MB
Matrix: TypeAlias = Any  # sparse.csr_matrix, float32; scipy ships no types
Weigh = Callable[[Matrix], Matrix]


def item_knn(weigh: Weigh) -> Callable[[Interactions], PostScores]:
    """Return a baseline that scores a post by its similarity to all the user liked.

    Args:
        weigh: Takes likes (posts, users) and returns what two posts' inner product is taken of.
    """

    def fit(interactions: Interactions) -> PostScores:
        likes, popular = interactions.likes(), interactions.rates()
        last = interactions.likes(MOST_LIKES)
        near = find_nearest(weigh(likes.T.tocsr()).multiply(last.T).tocsr())
        return lambda users: break_ties((likes[users] @ near).toarray().astype(np.float64), popular)

    return fit


def user_knn(weigh: Weigh) -> Callable[[Interactions], PostScores]:
    """Return a baseline that scores a post by how much alike those who liked it are to the user.

    Args:
        weigh: Takes likes (users, posts) and returns what two users' inner product is taken of.
    """

    def fit(interactions: Interactions) -> PostScores:
        likes, popular = interactions.likes(), interactions.rates()
        rows = weigh(likes)
        others = rows.T.tocsr()

        def scores(users: Ints) -> Floats:
            alike = (rows[users] @ others).toarray()
            alike[np.arange(len(users)), users] = 0
            _keep_largest(alike, interactions.number(USERS))
            return break_ties(np.asarray((sparse.csr_matrix(alike) @ likes).toarray(), np.float64), popular)

        return scores

    return fit


def cosine(likes: Matrix) -> Matrix:
    """Weigh all likes alike; every row has length 1."""
    return _unit(likes)


def tfidf(likes: Matrix) -> Matrix:
    """Weigh a user's likes the less the more likes the user has; every row has length 1.

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


def find_nearest(rows: Matrix) -> Matrix:
    """Return each post's most similar posts, float32 (posts, posts), itself left out.

    Only posts that somebody liked have any: time and memory grow with likes, never with all pairs of posts.
    """
    columns = rows.T.tocsr()
    liked = np.flatnonzero(np.diff(rows.indptr))
    most_pairs = np.minimum(rows.astype(bool) @ np.diff(columns.indptr), len(liked))[liked]
    places, values = [np.empty((2, 0), np.int64)], [np.empty(0, np.float32)]
    for some in np.split(liked, np.flatnonzero(np.diff(np.cumsum(most_pairs) // PAIRS_AT_ONCE)) + 1):
        pairs = (rows[some] @ columns).sorted_indices()
        post = np.repeat(some, np.diff(pairs.indptr))
        pairs.data[pairs.indices == post] = 0
        kept = _find_largest(pairs)
        places.append(np.stack([post[kept], pairs.indices[kept]]))
        values.append(pairs.data[kept])
    return sparse.csr_matrix((np.concatenate(values), np.hstack(places)), (rows.shape[0],) * 2)


def _find_largest(pairs: Matrix) -> Bools:
    """Mark each row's `N_POSTS` largest entries and those as large as the last, `MOST_POSTS` at most.

    Returns:
        bool (entries,); of those as large as the last one, too many for the limit, the lower columns stay.
    """
    kept: Bools = pairs.data > 0
    for row in np.flatnonzero(np.diff(pairs.indptr) > N_POSTS):
        own = slice(pairs.indptr[row], pairs.indptr[row + 1])
        values = pairs.data[own]
        enough = np.flatnonzero(values >= np.partition(values, -N_POSTS)[-N_POSTS])
        if len(enough) > MOST_POSTS:
            enough = enough[np.argsort(-values[enough], kind="stable")[:MOST_POSTS]]
        marks = np.zeros(len(values), bool)
        marks[enough] = True
        kept[own] &= marks
    return kept


def _keep_largest(rows: Floats32, n: int) -> None:
    """Set all but each row's `n` largest values to 0, in place; values as large as the last one stay too."""
    if rows.shape[1] > n:
        least = np.partition(rows, -n, axis=1)[:, -n]
        rows[rows < least[:, None]] = 0
