"""Factors searched through faiss, flat and by HNSW: a user's best posts, without the scores of all."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from batch.arrays import Floats, Ints
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.models import als_factors
from batch.learn.baselines.recommender import PostScores, break_ties, top

log = logging.getLogger(__name__)

N_FOUND = 300  # posts of a user, beside as many as they liked, which nobody is shown again
N_LINKS, N_BUILT = 32, 200  # of a post in HNSW; candidates when it is linked
N_ASKED, K = 500, 10  # users whose ten best tell the recall
Build = Callable[[Any, int], Any]  # faiss and a dimension to an empty index by inner product


def flat(faiss: Any, dimension: int) -> Any:
    """Return an index that compares with every post."""
    return faiss.IndexFlatIP(dimension)


def hnsw(faiss: Any, dimension: int) -> Any:
    """Return an index that walks a graph of posts with large products.

    The detour by distances, where one more coordinate makes all posts equally long, found less: of drawn
    factors of uneven length 73 % of the ten best, where this found all.

    Source: Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using hierarchical
    navigable small world graphs, TPAMI 2020.
    """
    index = faiss.IndexHNSWFlat(dimension, N_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = N_BUILT
    return index


def als_through(build: Build) -> Callable[[Interactions], PostScores]:
    """Return a baseline by ALS whose posts are found through an index; those not found follow by popularity.

    Each fit logs `search.measured`: the share of the exact ten best that are found, and seconds of both ways.
    """

    def fit(interactions: Interactions) -> PostScores:
        likes, popular = interactions.likes(), interactions.rates()
        n_likes = np.diff(likes.indptr)
        x, y = als_factors(interactions)
        search = make_search(build, y, interactions.threads)
        _measure(build.__name__, search, x[np.flatnonzero(n_likes)[:N_ASKED]], y)

        def scores(users: Ints) -> Floats:
            n = min(len(y), N_FOUND + int(n_likes[users].max(initial=0)))
            found = search(x[users], n)
            row, place = np.nonzero((found >= 0) & (n_likes[users] > 0)[:, None])
            out = np.full((len(users), len(y)), -np.inf)
            out[row, found[row, place]] = np.einsum("ij,ij->i", x[users[row]], y[found[row, place]])
            below = np.where(np.isinf(out), 0.0, out).min(axis=1, keepdims=True) - 1
            return break_ties(np.where(np.isinf(out), below, out), popular)

        return scores

    return fit


def make_search(build: Build, y: Floats, threads: int = 0) -> Callable[[Floats, int], Ints]:
    """Index posts' factors, float64 (posts, factors), on one thread: on several a graph is never the same.

    Returns:
        Of users' factors, float64 (users, factors), and n: int64 (users, n) their best posts, best first; -1
        where the walk found no more.
    """
    import faiss

    index = build(faiss, y.shape[1])
    faiss.omp_set_num_threads(1)
    index.add(np.ascontiguousarray(y, np.float32))

    def search(x: Floats, n: int) -> Ints:
        if hasattr(index, "hnsw"):
            index.hnsw.efSearch = max(n, N_BUILT)
        faiss.omp_set_num_threads(threads or os.cpu_count() or 1)
        return np.asarray(index.search(np.ascontiguousarray(x, np.float32), n)[1], np.int64)

    return search


def _measure(kind: str, search: Callable[[Floats, int], Ints], x: Floats, y: Floats) -> None:
    """Log how many of users' ten best posts a search finds, and how long it takes."""
    k, began = min(K, len(y)), time.perf_counter()
    exact = top(x @ y.T, k)
    between = time.perf_counter()
    found = search(x, k)
    ended = time.perf_counter()
    same = (found[:, :, None] == exact[:, None, :]).any(axis=2)
    told = {"kind": kind, "recall": float(same.mean()) if same.size else None, "k": k, "users": len(x)}
    log.info("search.measured", extra={**told, "exact_s": between - began, "search_s": ended - between})
