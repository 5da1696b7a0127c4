"""Metrics of what lists are made of: coverage, novelty, serendipity, diversity, popularity.

Lists are int64 (lists, depth), rows of posts, `NO_POST` past a list's end; the order inside a list plays no
part but in serendipity. What was shown before is counted on the facts that the lists were made from.
"""

import numpy as np

from batch.arrays import Bools, Floats, Ints, Ints32
from batch.evaluate.metrics import NO_POST, Hits, divide


def coverage(lists: Ints, n_posts: int) -> float:
    """Return which share of all posts stands in any of the lists.

    Source: `CatalogCoverage(normalize=True)` of RecTools.
    """
    return len(np.unique(lists[lists != NO_POST])) / n_posts


def novelty(lists: Ints, users_of_post: Ints, n_users: int) -> Floats:
    """Return each list's mean surprise in bits, float64 (lists,): log2 of all users over those shown it.

    Args:
        lists: Posts.
        users_of_post: int64 (posts,). Different users who were shown it; none counts as one.
        n_users: Different users who were shown anything.

    Source: Vargas and Castells, RecSys 2011, 109-116; `MeanInvUserFreq` of RecTools.
    """
    return _mean(lists, np.log2(n_users) - np.log2(np.maximum(users_of_post, 1)))


def serendipity(hits: Hits, lists: Ints, shown: Ints, n_posts: int) -> Floats:
    """Return each list's mean gain over what is popular, relevant places alone, float64 (lists,).

    A relevant post at a place gains by how much sooner it comes there than by popularity: a place down costs
    1 / `n_posts`, and so does a step down among the different counts of impressions.

    Args:
        hits: Which places are relevant.
        lists: Posts, best first.
        shown: int64 (posts,). Past impressions; a post without any is popular nowhere.
        n_posts: Posts that lists can be made of.

    Source: `Serendipity` of RecTools.
    """
    _, place = np.unique(-shown, return_inverse=True)  # equal counts share a step, most impressions first
    by_anybody = np.where(shown > 0, (n_posts - place) / n_posts, 0.0)
    by_list = (n_posts - np.arange(lists.shape[1])) / n_posts
    gain = np.maximum(by_list - by_anybody[lists], 0.0) * hits.relevant[:, : lists.shape[1]]
    return divide(gain.sum(axis=1), (lists != NO_POST).sum(axis=1))


def popularity(lists: Ints, shown: Ints) -> Floats:
    """Return each list's mean share of all impressions, float64 (lists,).

    Args:
        lists: Posts.
        shown: int64 (posts,). Past impressions of each post.

    Source: Yin et al., VLDB 2012, 896-907; `AvgRecPopularity(normalize=True)` of RecTools.
    """
    return _mean(lists, shown / max(int(shown.sum()), 1))


def share_among(lists: Ints, some: Bools) -> Floats:
    """Return which share of each list is among some posts, float64 (lists,).

    Args:
        lists: Posts.
        some: bool (posts,).
    """
    return _mean(lists, some.astype(np.float64))


def diversity(lists: Ints, space: Floats) -> Floats:
    """Return the mean cosine distance of two posts of a list, float64 (lists,), 0..2.

    Args:
        lists: Posts.
        space: float64 (posts, factors). A row of NaN is a post of which nothing is known: pairs with it do
            not count. Of a longer list with less than two known posts the result is NaN; of one post it is 0.

    Source: Ziegler et al., WWW 2005, 22-32; `IntraListDiversity` of RecTools.
    """
    known = np.isfinite(space).all(axis=1) & (np.abs(space).sum(axis=1) > 0)
    unit = np.zeros((len(space) + 1, space.shape[1]))  # the last row is what NO_POST, -1, takes
    unit[:-1][known] = space[known] / np.linalg.norm(space[known], axis=1, keepdims=True)
    n = np.append(known, False)[lists].sum(axis=1).astype(np.float64)
    total = np.zeros((len(lists), space.shape[1]))
    for place in range(lists.shape[1]):
        total += unit[lists[:, place]]
    alike, pairs = (total**2).sum(axis=1) - n, n * (n - 1)
    return np.where((lists != NO_POST).sum(axis=1) == 1, 0.0, divide(pairs - alike, pairs))


def topics(lists: Ints, topic: Ints32) -> Floats:
    """Return how many different topics each list's posts have, float64 (lists,).

    Args:
        lists: Posts.
        topic: int32 (posts,). Each post's, 0 or more.
    """
    own = np.sort(np.append(topic, -1)[lists], axis=1)  # the last is what NO_POST, -1, takes
    first = np.diff(own, axis=1, prepend=-1) != 0
    return np.asarray(first.sum(axis=1), np.float64)


def most_shown(shown: Ints, share: float = 0.1) -> Bools:
    """Return bool (posts,): the share of posts with most impressions; ties go to the lower row."""
    out = np.zeros(len(shown), np.bool_)
    out[np.argsort(-shown, kind="stable")[: max(1, round(share * len(shown)))]] = True
    return out


def _mean(lists: Ints, value: Floats) -> Floats:
    """Return the mean value of each list's posts; NaN of an empty list."""
    there = lists != NO_POST
    return divide(np.where(there, value[lists], 0.0).sum(axis=1), there.sum(axis=1))
