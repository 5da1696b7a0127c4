"""What exploration places draw from: each new post's chance of being the one that Thompson would choose.

A post's chance of a like in a segment of users has a Beta distribution: its own likes there, and before them
those of its text cluster, its topic, everything. Drawn from many times, the share of draws in which a post is
the best one is its weight.

Source: O. Chapelle and L. Li, An empirical evaluation of Thompson sampling, NIPS 2011.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from api.contract.explore import EVERYBODY, UNKNOWN
from batch.arrays import Bools, Floats, Ints, Ints32
from batch.data.facts import Facts
from batch.features.tally import LEAST_SPREAD, Tally, spread

if TYPE_CHECKING:  # who only publishes makes no texts, whose library takes most of a second to load
    from batch.features.text import Texts

N_DRAWS = 2_000  # a weight of .01 is then known to a quarter of it, and the floor is above what is not
MOST_NEW = 1_000  # posts, the newest ones: what a request passes in a tenth of a millisecond
FIRST = 5  # places of a segment's popular lists that unknown users may be asked by
LEAST_STRENGTH, MOST_STRENGTH = 2.0, 1_000.0  # of what is known before a post's own likes, views


@dataclass(frozen=True, slots=True)
class Weighed:
    """Posts to draw from, the likeliest first.

    Attributes:
        post: int32 (posts,). Rows of posts.
        weight: float64 (posts,). Above 0; they sum to 1.
    """

    post: Ints32
    weight: Floats


@dataclass(frozen=True, slots=True)
class NewPosts:
    """What a generation publishes for exploration places.

    Attributes:
        n_places: Of so many places one is for exploration.
        n_new: Posts that count as new.
        weights: A segment's name, EVERYBODY or UNKNOWN to what is drawn from.
    """

    n_places: int
    n_new: int
    weights: Mapping[str, Weighed]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Views and likes, float64 (segments, columns) each."""

    views: Floats
    likes: Floats


def find_new(counts: Tally, place: Ints, below: int, offered: Bools | None) -> Ints32:
    """Return int32 (new posts,): rows of offered posts with fewer views than `below`, at most MOST_NEW.

    Args:
        counts: As of now.
        place: int64 (posts,). Each post's place in the order in which they came; the last ones are kept.
        below: Views.
        offered: bool (posts,). Those that may be shown; None: all.
    """
    new = counts.posts.views < below
    rows = np.flatnonzero(new if offered is None else new & offered)
    newest = np.argsort(-place[rows], kind="stable")[:MOST_NEW]
    return np.sort(rows[newest]).astype(np.int32)


def weigh_new_posts(
    facts: Facts,
    counts: Tally,
    texts: "Texts",
    segment: Ints32,
    names: Sequence[str],
    popular: Sequence[Ints32],
    new: Ints32,
    floor: float,
    seed: int,
) -> dict[str, Weighed]:
    """Weigh new posts for each segment and for everybody, and what unknown users are asked by.

    For unknown users a segment is drawn by its share of users, then a post among the new ones and the
    segment's popular ones; their weights are what comes of that.

    Args:
        facts: Events up to `counts.at_s`; later ones are not read.
        counts: The tally of those facts.
        texts: Topics and clusters of posts.
        segment: int32 (users,). Segment numbers, -1 for none.
        names: Of the segments.
        popular: int32 (buckets, depth) of each segment, of everybody last: rows of posts, -1 fills.
        new: int32 (new posts,). Rows.
        floor: No weight is below this share of an even one, 0..1.
        seed: Of the draws.

    Returns:
        A segment's name, EVERYBODY and UNKNOWN to weights; of the first two only where some posts are new.
    """
    likely = [np.unique(lists[:, :FIRST][lists[:, :FIRST] >= 0]) for lists in popular]
    posts = np.unique(np.concatenate([new, *likely])).astype(np.int32)
    by_post, by_cluster, n_users = _count(facts, counts.at_s, texts, segment, len(names), posts)
    a, b = _find_posteriors(counts, texts, by_post, by_cluster, posts)
    is_new, weights = np.isin(posts, new), dict[str, Weighed]()
    mixed = np.zeros(len(posts))
    for row, name in enumerate([*names, EVERYBODY]):
        draws = np.random.default_rng([seed, *blake2b(name.encode(), digest_size=8).digest()])
        if is_new.any():
            chance = _be_best(draws, a[row, is_new], b[row, is_new])
            weights[name] = _order(new, _lift(chance, floor))
        some = is_new | np.isin(posts, likely[row])
        if n_users[row]:
            mixed[some] += n_users[row] * _be_best(draws, a[row, some], b[row, some])
    weights[UNKNOWN] = _order(posts, _lift(mixed / mixed.sum(), floor))
    return weights


def _count(
    facts: Facts, at_s: int, texts: "Texts", segment: Ints32, n_segments: int, posts: Ints32
) -> tuple[_Counts, _Counts, Floats]:
    """Count views and likes of some posts and of clusters by segment, of everybody in the last row.

    Returns:
        Of posts, of clusters; float64 (segments + 1,): the users of each segment, in the last row those of
        none.
    """
    n_clusters, n_rows = len(texts.topic_of_cluster), n_segments + 1
    column = np.full(len(texts.cluster), -1, np.int64)
    column[posts] = np.arange(len(posts))
    of_user = np.where(segment < 0, n_segments, segment).astype(np.int64)
    tables = [np.zeros((n_rows, width)) for width in (len(posts), len(posts), n_clusters, n_clusters)]
    for part in facts.until(at_s).parts():
        shown = part.views
        row, post, liked = of_user[part.user[shown]], part.post[shown], part.target[shown]
        own = column[post] >= 0
        for at, cell, kept in ((0, column[post], own), (2, texts.cluster[post], np.ones_like(own))):
            width = tables[at].shape[1]
            flat = (row * width + cell)[kept]
            tables[at] += np.bincount(flat, minlength=n_rows * width).reshape(n_rows, width)
            likes = np.bincount(flat, liked[kept], minlength=n_rows * width)
            tables[at + 1] += likes.reshape(n_rows, width)
    for table in tables:  # those of no segment are of everybody alone
        table[-1] = table.sum(axis=0)
    users = np.bincount(of_user, minlength=n_rows).astype(np.float64)
    users[-1] += not users.any()
    return _Counts(*tables[:2]), _Counts(*tables[2:]), users


def _find_posteriors(
    counts: Tally, texts: "Texts", by_post: _Counts, by_cluster: _Counts, posts: Ints32
) -> tuple[Floats, Floats]:
    """Return both numbers of each post's Beta distribution in each segment, float64 (segments + 1, posts).

    What is known before a post's own likes weighs as many views as the spread of posts' rates says. In a
    segment that is what the post has elsewhere, moved as its cluster is there against everywhere, in odds.
    """
    base = min(max(counts.base_rate, 1e-4), 1 - 1e-4)
    variance = max(spread(counts.posts.likes, counts.posts.views * base), LEAST_SPREAD)
    # Of a Beta distribution whose mean is `base`, and whose standard deviation is that many times it.
    strength = float(np.clip((1 - base) / (base * variance) - 1, LEAST_STRENGTH, MOST_STRENGTH))

    def shrink(likes: Floats, views: Floats, prior: Floats | float) -> Floats:
        return np.asarray((likes + strength * prior) / (views + strength), np.float64)

    topic_likes, topic_views = (
        np.bincount(texts.topic_of_cluster, table[-1]).astype(np.float64)
        for table in (by_cluster.likes, by_cluster.views)
    )
    of_topic = shrink(topic_likes, topic_views, base)[texts.topic_of_cluster]
    of_cluster = shrink(by_cluster.likes[-1], by_cluster.views[-1], of_topic)
    in_segment = shrink(by_cluster.likes, by_cluster.views, of_cluster)
    in_segment[-1] = of_cluster
    cluster = texts.cluster[posts]
    others = shrink(by_post.likes[-1] - by_post.likes, by_post.views[-1] - by_post.views, of_cluster[cluster])
    odds = _odds(others) * _odds(in_segment[:, cluster]) / _odds(of_cluster[cluster])
    prior = odds / (1 + odds)
    a = strength * prior + by_post.likes
    b = strength * (1 - prior) + by_post.views - by_post.likes
    return a, b


def _odds(chance: Floats) -> Floats:
    chance = np.clip(chance, 1e-4, 1 - 1e-4)
    return np.asarray(chance / (1 - chance), np.float64)


def _be_best(rng: np.random.Generator, a: Floats, b: Floats) -> Floats:
    """Return float64 (posts,): the share of draws from Beta distributions in which each is the highest."""
    best = rng.beta(a, b, (N_DRAWS, len(a))).argmax(axis=1)
    return np.bincount(best, minlength=len(a)) / N_DRAWS


def _lift(chance: Floats, floor: float) -> Floats:
    """Return the chances mixed with even ones, so that none is below the floor and they sum to 1."""
    return (1 - floor) * chance + floor / len(chance)


def _order(posts: Ints32, weight: Floats) -> Weighed:
    order = np.argsort(-weight, kind="stable")
    return Weighed(posts[order].astype(np.int32), weight[order])
