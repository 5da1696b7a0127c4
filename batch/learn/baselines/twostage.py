"""The field's usual pipeline: candidates by several peers, then a ranker over features and their scores."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Floats32, Ints
from batch.features import asof
from batch.features.sides import Feature, Sides
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.rankers import Ranker, Rows, fit_ranker
from batch.learn.baselines.recommender import PostScores, users_at_once
from batch.learn.stages import Stages

TRAIN_S = 7 * DAY_S  # the last week trains the ranker; half of the history where that is shorter
MOST_ROWS = 300_000
WIDTH_S = 3600
USERS_AT_ONCE = 64
BELOW = -1e3  # log-odds; popular posts stand below every candidate


@dataclass(frozen=True, slots=True)
class FirstStage:
    """Peers that know nothing after a moment, and what a ranker is told of their candidates.

    Attributes:
        stages: Whose candidates, and how many.
        sources: The peers' scores.
        sides: Our features as of the moment.
        hide: Marks posts that users of some rows took and will not take again, bool (users, posts).
        n_likes: float32 (users,). How long each user's history is.
    """

    stages: Stages
    sources: tuple[PostScores, ...]
    sides: Sides
    hide: Callable[[Ints], Bools]
    n_likes: Floats32

    @classmethod
    def fit(cls, interactions: Interactions) -> "FirstStage":
        """Fit the peers that the stages name.

        Raises:
            ValueError: A name is no other peer's.
            LookupError: A package that one needs is not installed.
        """
        from batch.learn.baselines.named import first_stage  # which names this one, too

        facts, statics, at_s = interactions.facts, interactions.statics, interactions.facts.as_of_s
        counts, views = asof.start_tally(facts, statics).advance(at_s), interactions.views()
        sides = asof.make_sides(facts, statics, counts, np.array([at_s - at_s % WIDTH_S], np.int64))
        sources = tuple(one.learn(interactions) for one in first_stage(interactions.stages.candidates))
        chosen, n_likes = facts.shown == "choices", np.diff(interactions.likes().indptr)
        return cls(
            interactions.stages,
            sources,
            sides,
            lambda users: (views[users].toarray() > 0) & chosen,
            n_likes.astype(np.float32),
        )

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Return what a ranker is told; the sides of what is not ours tell nothing."""
        own = [f"{what}_{name}" for what in ("score", "rank") for name in self.stages.candidates]
        return (*self.sides.features, *(Feature(name, "user") for name in (*own, "n_likes")))

    def tell(self, users: Ints, wanted: Bools | None = None) -> tuple[Ints, Ints, Floats32]:
        """Describe the candidates of users, or those pairs that are `wanted`, bool (users, posts).

        Returns:
            Places in `users` ascending, posts, and float32 (pairs, columns).
        """
        hidden, n = self.hide(users), self.stages.per_user
        scores = [source(users) for source in self.sources]
        ranks = [np.minimum(_rank(np.where(hidden, -np.inf, one)), n + 1) for one in scores]
        among = np.logical_or.reduce([one <= n for one in ranks]) & ~hidden if wanted is None else wanted
        row, post = np.nonzero(among)
        ours = self.sides.rows(users[row], post, np.zeros(len(row), np.int64))
        told = [*(one[row, post] for one in (*scores, *ranks)), self.n_likes[users[row]]]
        return row, post, np.column_stack([ours, *told]).astype(np.float32)


def two_stage(ranker: Ranker) -> Callable[[Interactions], PostScores]:
    """Return a baseline whose candidates a ranker puts in order; popular posts follow.

    Who has liked nothing gets popular posts alone; what else they are asked by are exploration places.
    The first stage is fitted twice: before the last week, which trains the ranker, and on everything. Where a
    feed shows, the ranker learns from what the week showed; where users choose, from the candidates of those
    who liked anything new in it. All that it is told is as of the moment before.
    """

    def fit(interactions: Interactions) -> PostScores:
        rows = gather(interactions)
        stages = interactions.stages
        predict = fit_ranker(ranker, rows, stages.aim, interactions.seed, interactions.threads)
        first, popular = FirstStage.fit(interactions), interactions.rates()

        def scores(users: Ints) -> Floats:
            out = np.tile(BELOW + popular, (len(users), 1))
            known = np.flatnonzero(first.n_likes[users])
            for low in range(0, len(known), _at_once(len(popular))):
                some = known[low : low + _at_once(len(popular))]
                row, post, x = first.tell(users[some])
                out[some[row], post] = predict(x)
            return out

        return scores

    return fit


def gather(interactions: Interactions) -> Rows:
    """Return what the last week teaches a ranker, of users drawn until `MOST_ROWS` are reached.

    Raises:
        ValueError: The week holds no like of a candidate.
    """
    facts = interactions.facts
    begin_s = facts.as_of_s - min(TRAIN_S, (facts.as_of_s - int(facts.time[0])) // 2)
    first = FirstStage.fit(replace(interactions, facts=facts.until(begin_s)))
    week = replace(interactions, facts=facts.between(begin_s + 1, facts.as_of_s + 1))
    liked, shown = week.likes(), week.views()
    chosen, n_posts = facts.shown == "choices", len(facts.posts)
    some = np.flatnonzero(np.diff((liked if chosen else shown).indptr))
    order = np.random.default_rng(interactions.seed).permutation(some)
    parts, n_rows = list[tuple[Ints, Floats32, Ints]](), 0
    for low in range(0, len(order), _at_once(n_posts)):
        users = order[low : low + _at_once(n_posts)]
        row, post, x = first.tell(users, None if chosen else shown[users].toarray() > 0)
        parts.append((users[row], x, liked[users].toarray()[row, post] > 0))
        n_rows += len(row)
        if n_rows >= MOST_ROWS:
            break
    if not any(of.any() for _, _, of in parts):
        raise ValueError(f"nobody liked a candidate after {begin_s}: two stages have nothing to learn from")
    user, x, y = (np.concatenate(of) for of in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    return Rows(x[order], y[order].astype(np.int8), user[order].astype(np.int64), first.columns)


def _at_once(n_posts: int) -> int:
    return users_at_once(n_posts, USERS_AT_ONCE)


def _rank(scores: Floats) -> Ints:
    """Return each row's places, 1 for the largest, ties to the lower column.

    >>> _rank(np.array([[0.1, 0.3, 0.3]])).tolist()
    [[3, 1, 2]]
    """
    places = np.empty(scores.shape, np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.put_along_axis(places, order, np.broadcast_to(np.arange(1, scores.shape[1] + 1), scores.shape), axis=1)
    return places
