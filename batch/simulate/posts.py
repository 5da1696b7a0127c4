"""What is shown: post ids, topics, and the latent factors and clusters that texts and tastes share."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.simulate.config import WorldConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the original: how many posts, their ids, how often one is shown, what its text is like."""

    n_posts: int
    first_id: int
    last_id: int
    shown: float  # rows: views a post, relative to movie
    n_clusters: int
    words: float  # mean length of a text


TOPICS = {  # published: counts and id blocks; rows: views a post, lengths of texts
    "business": Topic(510, 1, 540, 0.95, 3, 290),
    "covid": Topic(1_799, 2_333, 4_203, 1.05, 9, 20),
    "entertainment": Topic(386, 541, 938, 0.98, 3, 280),
    "movie": Topic(3_000, 4_205, 7_319, 1.0, 14, 200),
    "politics": Topic(417, 939, 1_380, 2.0, 4, 400),
    "sport": Topic(510, 1_381, 1_917, 2.15, 4, 270),
    "tech": Topic(401, 1_918, 2_332, 0.78, 3, 370),
}
TOPIC_NAMES = tuple(TOPICS)
N_CLUSTERS = sum(topic.n_clusters for topic in TOPICS.values())
CLUSTER_TOPIC = np.repeat(np.arange(len(TOPICS)), [topic.n_clusters for topic in TOPICS.values()])
N_FACTORS = 10

_N_POSTS = sum(topic.n_posts for topic in TOPICS.values())
_NEVER_SHOWN = 192 / _N_POSTS  # published
_EXPOSURE_SD = 0.35  # of the log of how often a post is shown, within a topic; rows: spread of views a post
_TOPIC_PART, _CLUSTER_PART = 0.15, 0.55  # of a factor's variance; the rest is the post's own


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The posts and what is latent in them.

    Attributes:
        post_ids: int64 (posts,), ascending.
        topic: int64 (posts,). Number in `TOPIC_NAMES`.
        cluster: int64 (posts,). Text cluster, 0..N_CLUSTERS-1; each lies in one topic.
        factors: float64 (posts, N_FACTORS). Text factors, mean about 0, variance about 1.
        exposure: float64 (posts,). Chance to be the one shown, sums to 1; 0 for posts never shown.
        quality: float64 (posts,). Standard normal: how good a post is to everyone.
        centres: float64 (N_CLUSTERS, N_FACTORS). Where the clusters lie among the factors.
    """

    post_ids: Ints
    topic: Ints
    cluster: Ints
    factors: Floats
    exposure: Floats
    quality: Floats
    centres: Floats


def catalogue(config: WorldConfig) -> Catalogue:
    """Draw the posts of a world."""
    rng = config.rng("posts")
    counts = _topic_counts(config.n_posts)
    topic = np.repeat(np.arange(len(TOPICS)), counts)
    post_ids = np.concatenate(
        [_ids(rng, t, int(n), config.n_posts) for t, n in zip(TOPICS.values(), counts, strict=True)]
    )
    order = np.argsort(post_ids)
    post_ids, topic = post_ids[order], topic[order]
    n_clusters = np.array([t.n_clusters for t in TOPICS.values()])
    first_cluster = np.cumsum(n_clusters) - n_clusters
    cluster = first_cluster[topic] + rng.integers(0, n_clusters[topic])
    centres = _normal(rng, _TOPIC_PART, len(TOPICS))[CLUSTER_TOPIC] + _normal(rng, _CLUSTER_PART, N_CLUSTERS)
    factors = centres[cluster] + _normal(rng, 1 - _TOPIC_PART - _CLUSTER_PART, len(topic))
    quality = rng.standard_normal(len(topic))
    return Catalogue(post_ids, topic, cluster, factors, _exposure(rng, topic), quality, centres)


def _topic_counts(n_posts: int) -> Ints:
    """Return posts a topic: the original's shares, by largest remainder."""
    exact = np.array([topic.n_posts for topic in TOPICS.values()]) * (n_posts / _N_POSTS)
    counts = exact.astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n_posts - counts.sum()]] += 1
    return counts


def _ids(rng: np.random.Generator, topic: Topic, n: int, n_posts: int) -> Ints:
    """Return `n` ids of a topic's block; all blocks grow alike when a world outgrows the original."""
    growth = max(1, -(-n_posts // _N_POSTS))
    first, last = (topic.first_id - 1) * growth + 1, topic.last_id * growth
    return np.asarray(first + rng.choice(last - first + 1, n, replace=False, shuffle=False), np.int64)


def _normal(rng: np.random.Generator, variance: float, n: int) -> Floats:
    return np.asarray(np.sqrt(variance) * rng.standard_normal((n, N_FACTORS)), np.float64)


def _exposure(rng: np.random.Generator, topic: Ints) -> Floats:
    shown = np.array([t.shown for t in TOPICS.values()])[topic]
    shown = shown * np.exp(_EXPOSURE_SD * rng.standard_normal(len(topic)))
    shown[rng.choice(len(topic), round(_NEVER_SHOWN * len(topic)), replace=False)] = 0.0
    return np.asarray(shown / shown.sum(), np.float64)
