"""Users' own features: of each user's counts, and of what all users together lend to them.

Apart from the second, which a run may hold fixed, a user's values depend on the user's own facts alone.
"""

from dataclasses import dataclass

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Floats32, Ints32
from batch.features.tally import Count, Counts, Tally, UserCounts, shrink, spread
from batch.features.text import Texts


@dataclass(frozen=True, slots=True)
class Population:
    """What every user's features take from all users together.

    Attributes:
        base_rate: Likes per view over everything.
        spread: Variance of users' like rates, each in multiples of what is expected; of their recent ones:
            `recent_spread`.
        recent_spread: See `spread`.
        topic_spread: The same of a user's like rate in a topic; in a text cluster: `cluster_spread`.
        cluster_spread: See `topic_spread`.
        topics: float64 (topics,). Likes there are in a topic for each that users' own rates let expect.
        clusters: float64 (clusters,). The same by text cluster.
    """

    base_rate: float
    spread: float
    recent_spread: float
    topic_spread: float
    cluster_spread: float
    topics: Counts
    clusters: Counts

    @classmethod
    def of(cls, tally: Tally, texts: Texts) -> "Population":
        """Take stock of all users."""
        counts, base_rate = tally.by_user, tally.base_rate
        users = counts.users
        of_users = spread(users.likes, users.views * base_rate)
        rate = _rate(users, base_rate, of_users)
        likes, views, topic_likes, topic_views = _by_cell(counts, texts.topic_of_cluster)
        topics, clusters = _scale(topic_likes, topic_views, rate), _scale(likes, views, rate)
        return cls(
            base_rate=base_rate,
            spread=of_users,
            recent_spread=spread(users.recent_likes, users.recent_views * base_rate),
            topic_spread=spread(topic_likes, _expect(topic_views, rate, topics)),
            cluster_spread=spread(likes, _expect(views, rate, clusters)),
            topics=topics,
            clusters=clusters,
        )


def user_side(counts: UserCounts, common: Population) -> Counts:
    """Return float64 (users, 4): lift, recent lift, views, days since the last view (NaN: none)."""
    users, base = counts.users, common.base_rate
    away = (counts.at_s - counts.last_seen_s) / DAY_S
    return np.column_stack(
        [
            shrink(users.likes, users.views * base, common.spread),
            shrink(users.recent_likes, users.recent_views * base, common.recent_spread),
            users.views,
            away,
        ]
    )


def cell_side(counts: UserCounts, topic_of_cluster: Ints32, common: Population) -> Floats32:
    """Return float32 (3, users, clusters): lift in the topic, lift in the cluster, share of the topic.

    A topic's value stands under each of its clusters.
    """
    likes, views, topic_likes, topic_views = _by_cell(counts, topic_of_cluster)
    rate = _rate(counts.users, common.base_rate, common.spread)
    of_topic = shrink(topic_likes, _expect(topic_views, rate, common.topics), common.topic_spread)
    of_cluster = shrink(likes, _expect(views, rate, common.clusters), common.cluster_spread)
    share = topic_views / np.maximum(counts.users.views, 1.0)[:, None]
    return np.stack([of_topic[:, topic_of_cluster], of_cluster, share[:, topic_of_cluster]]).astype(
        np.float32
    )


def _by_cell(counts: UserCounts, topic_of_cluster: Ints32) -> tuple[Counts, Counts, Counts, Counts]:
    """Return likes and views by user and cluster, then by user and topic."""
    shape = (len(counts.users.views), counts.n_groups)
    likes, views = counts.cells.likes.reshape(shape), counts.cells.views.reshape(shape)
    member = np.eye(int(topic_of_cluster.max(initial=0)) + 1)[topic_of_cluster]  # (clusters, topics)
    return likes, views, likes @ member, views @ member  # sums of whole numbers: exact in any order


def _rate(users: Count, base_rate: float, variance: float) -> Counts:
    return np.asarray(shrink(users.likes, users.views * base_rate, variance) * base_rate, np.float64)


def _scale(likes: Counts, views: Counts, rate: Counts) -> Counts:
    """Return by column how many likes there are for each that the users' own rates let expect."""
    raw = views * rate[:, None]
    return np.asarray(likes.sum(axis=0) / np.maximum(raw.sum(axis=0), 1e-9), np.float64)


def _expect(views: Counts, rate: Counts, scale: Counts) -> Counts:
    """Return likes expected of a user's own rate, scaled so that each column's sum is what it is."""
    return np.asarray(views * rate[:, None] * scale, np.float64)
