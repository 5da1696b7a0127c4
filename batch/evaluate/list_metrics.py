"""All that is measured of ranked lists of posts, at every cut-off: their order, and what they are made of."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats, Ints, Ints32
from batch.data.facts import Facts
from batch.evaluate import results, variety
from batch.evaluate.metrics import CUTS, Hits, partial_auc
from batch.features.text import Texts


@dataclass(frozen=True, slots=True)
class ListMetrics:
    """Measures lists of posts, int64 (lists, depth), by what was known before they were made.

    Attributes:
        shown: int64 (posts,). Past impressions of each post.
        users_of: int64 (posts,). Different users who were shown it.
        n_users: Different users who were shown anything, at least 1.
        space: float64 (posts, factors). What posts are compared by; NaN where nothing is known of one.
        topic: int32 (posts,). Each post's topic.
        n_posts: Posts that lists can be made of.
    """

    shown: Ints
    users_of: Ints
    n_users: int
    space: Floats
    topic: Ints32
    n_posts: int

    @classmethod
    def before(cls, facts: Facts, texts: Texts, n_posts: int) -> "ListMetrics":
        """Count what lies in facts that end where the lists begin.

        Args:
            facts: Events up to the lists' time and none after it.
            texts: What the posts are about; topics stand in where nothing is known of any.
            n_posts: Posts that lists can be made of.
        """
        views, n = facts.views, len(facts.posts)
        pairs = np.unique(facts.user[views].astype(np.int64) * n + facts.post[views])
        space = texts.space.astype(np.float64)
        if not np.isfinite(space).any():
            space = np.eye(int(texts.topic.max(initial=0)) + 1)[texts.topic]
        return cls(
            shown=np.bincount(facts.post[views], minlength=n).astype(np.int64),
            users_of=np.bincount(pairs % n, minlength=n).astype(np.int64),
            n_users=max(len(np.unique(pairs // n)), 1),
            space=space,
            topic=texts.topic,
            n_posts=n_posts,
        )

    def measure(self, lists: Ints, hits: Hits) -> results.Columns:
        """Return every metric of each list; `hits` say which of its places are relevant."""
        columns = results.order_columns(hits) | self.measure_content(lists)
        for k in CUTS:
            found = {
                "auc": partial_auc(hits, k),
                "serendipity": variety.serendipity(hits, lists[:, :k], self.shown, self.n_posts),
            }
            columns |= {(name, k): results.mean_column(values) for name, values in found.items()}
        return columns

    def measure_content(self, lists: Ints) -> results.Columns:
        """Return the metrics that do not ask what is relevant."""
        columns, most = results.Columns(), variety.most_shown(self.shown)
        for k in CUTS:
            top = lists[:, :k]
            found = {
                "novelty": variety.novelty(top, self.users_of, self.n_users),
                "diversity": variety.diversity(top, self.space),
                "popularity": variety.popularity(top, self.shown),
                "most_shown": variety.share_among(top, most),
                "topics": variety.topics(top, self.topic),
            }
            columns |= {(name, k): results.mean_column(values) for name, values in found.items()}
        return columns

    def coverage(self, lists: Ints) -> dict[results.Metric, float]:
        """Return at each cut-off which share of the posts stands in any of the lists."""
        return {("coverage", k): variety.coverage(lists[:, :k], self.n_posts) for k in CUTS}
