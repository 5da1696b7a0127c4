"""Protocol `shown`: later sessions' impressions in the order of every model, with and without their place."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.metrics import CUTS, Hits
from batch.evaluate.own import OURS, OwnModel, raw_scores
from batch.learn.baselines.recommender import Recommender
from batch.learn.sessions import pairs_won, positions
from batch.learn.split import MIN_SHOWN, Split

# Scores from user ids, post ids and epoch seconds: a line that somebody else draws, such as an oracle's.
Line = Callable[[Ints, Ints, Ints], Floats]

AUC: results.Metric = ("auc_in_session", 0)
AS_SHOWN, RANDOM = "as_shown", "random"
MOST_USERS = 20_000  # whose sessions count: it bounds memory, intervals are narrow by then
FEW: tuple[results.Metric, ...] = (AUC, ("hitrate", 5), ("ndcg", 10))  # by segment and by warmth


@dataclass(frozen=True, slots=True)
class Sessions:
    """A split's impressions in sessions of ten or more, in a random order.

    Ties go to the earlier row, and an order by time would give the place away.

    Attributes:
        event: int64 (n,). Row in the facts.
        session: int64 (n,). Number, 0 on.
        position: int64 (n,). Place in the session, 0 first.
        at_s: int64 (n,). Epoch seconds.
        user: int64 (n,). Row.
        post: int64 (n,). Row.
        liked: bool (n,).
        owner: int64 (sessions,). Row of each session's user.
    """

    event: Ints
    session: Ints
    position: Ints
    at_s: Ints
    user: Ints
    post: Ints
    liked: Bools
    owner: Ints

    @classmethod
    def of(
        cls, facts: Facts, split: Split, seed: int, users: Bools | None = None, most: int | None = MOST_USERS
    ) -> "Sessions":
        """Find them, of all users or of some.

        Args:
            facts: All events.
            split: Whose impressions count.
            seed: Of the order, and of the users drawn.
            users: bool (users,). Whose sessions count; None for all.
            most: Of more users so many drawn at random count; None for all.
        """
        low, high = np.searchsorted(facts.time, [split.test_from_s, split.test_to_s], side="left")
        event = low + np.flatnonzero(facts.views[low:high])
        session, position = positions(facts.user[event], facts.time[event])
        long = np.flatnonzero(np.bincount(session)[session] >= MIN_SHOWN)
        kept = np.random.default_rng(seed).permutation(long)
        if users is not None:
            kept = kept[users[facts.user[event[kept]]]]
        came = np.unique(facts.user[event[kept]])
        if most is not None and len(came) > most:
            drawn = np.random.default_rng(seed).choice(came, most, replace=False)
            kept = kept[np.isin(facts.user[event[kept]], drawn)]
        event, position = event[kept], position[kept]
        _, number = np.unique(session[kept], return_inverse=True)
        user, post = facts.user[event].astype(np.int64), facts.post[event].astype(np.int64)
        owner = np.empty(int(number.max(initial=-1)) + 1, np.int64)
        owner[number] = user
        liked = np.equal(facts.target[event], 1)
        at_s = facts.time[event].astype(np.int64)
        return cls(event, number.astype(np.int64), position, at_s, user, post, liked, owner)

    @property
    def sizes(self) -> tuple[Ints, Ints]:
        """Return how many impressions each session has, and how many were liked, int64 (sessions,)."""
        n = np.bincount(self.session).astype(np.int64)
        return n, np.bincount(self.session[self.liked], minlength=len(n)).astype(np.int64)

    def measure(self, scores: Floats) -> results.Columns:
        """Return every metric of each session, its impressions in the order of scores, float64 (n,)."""
        won, pairs = pairs_won(self.session, scores, self.liked)
        hits = Hits.of_sessions(self.session, scores, self.liked, max(CUTS))
        return {AUC: results.Column(won, pairs), **results.order_columns(hits)}

    def score(self, model: Recommender) -> Floats:
        """Return a model's scores of the impressions, each at its own moment, float64 (n,)."""
        return model.pairs(self.user, self.post, self.at_s)

    def rank(self, model: Recommender) -> results.Columns:
        """Return every metric of each session in a model's order; all commands rank sessions by this."""
        return self.measure(self.score(model))

    def rank_by_nobody(self) -> dict[str, results.Columns]:
        """Return the same of the old feed's order, and as expected of a random one, exact."""
        shown = self.measure(-self.position.astype(np.float64))
        return {AS_SHOWN: shown, RANDOM: self.measure_random()}

    def measure_random(self) -> results.Columns:
        """Return the same as expected of a random order, exact."""
        n, likes = self.sizes
        pairs = (likes * (n - likes)).astype(np.float64)
        return {AUC: results.Column(pairs / 2, pairs), **results.random_columns(n, likes)}


def weekly_splits(first: Split, n: int) -> list[Split]:
    """Return the split itself, or `n` of a week each from its begin on."""
    if n == 1:
        return [first]
    starts = [first.test_from_s + k * 7 * DAY_S for k in range(n)]
    return [Split(start, start + 7 * DAY_S) for start in starts]


def measure_shown(
    own: OwnModel, models: dict[str, Recommender], split: Split, what: Sessions, lines: dict[str, Line]
) -> results.MeasuredLists:
    """Rank what the split's sessions showed.

    Beside the models stand `as_shown`, the old feed's order, and `random`, exact; and ours trained with the
    place in the session among its features: given the places, which nobody knows beforehand
    (`almanac_with_position`), and as if all came first (`almanac_position_fixed`), which is how such a model
    would have to be served.

    Args:
        own: Ours, trained before the split.
        models: Who ranks, ours among them, learned from the same.
        split: Whose sessions count.
        what: Those sessions.
        lines: Further scores, by name.
    """
    facts = own.facts
    ids = facts.user_ids[what.user], facts.post_ids[what.post], what.at_s
    scores = {**_score_with_position(own, what), **{name: line(*ids) for name, line in lines.items()}}
    found = {name: what.rank(model) for name, model in models.items()}
    found |= {name: what.measure(values) for name, values in scores.items()}
    past = results.past_impressions(facts, split.test_from_s)[what.owner]
    return results.MeasuredLists(found | what.rank_by_nobody(), what.owner, past)


def _score_with_position(own: OwnModel, what: Sessions) -> dict[str, Floats]:
    x, additive, trees = own.snapshot(what.event), own.additive(what.event), own.fit_with_position()
    placed = np.column_stack([x, what.position.astype(np.float32)])
    first = np.column_stack([x, np.zeros(len(x), np.float32)])
    return {
        f"{OURS}_with_position": additive + raw_scores(trees, placed),
        f"{OURS}_position_fixed": additive + raw_scores(trees, first),
    }
