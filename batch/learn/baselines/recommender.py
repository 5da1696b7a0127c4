"""One shape for all who compete, peers and ours: the best posts of users, and scores of single pairs."""

from dataclasses import dataclass, replace
from typing import Protocol

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from batch.data.seen import SeenPosts
from batch.features import asof
from batch.features.sides import Sides
from batch.learn.baselines import counts, models, neighbours, twostage
from batch.learn.baselines.interactions import Floats, Ints, Past, Peer, Ranking
from batch.learn.baselines.lists import USERS_AT_ONCE, top
from batch.learn.factors.components import NAMES, fit_components
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.score.engine import score

PEERS: tuple[Peer, ...] = (*counts.PEERS, *neighbours.PEERS, *models.PEERS, *twostage.PEERS)


class Fitted(Protocol):
    """What has learned; it knows no fact after the past it was given."""

    def lists(self, users: Ints, n: int) -> Ints:
        """Return each user's `n` best posts of all, best first, int64 (users, n), rows of posts."""
        ...

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        """Return the scores of (user, post) pairs, float64 (pairs,)."""
        ...


@dataclass(frozen=True, slots=True)
class Ranked:
    """A peer's ranking; ties go to the lower post."""

    ranking: Ranking

    def lists(self, users: Ints, n: int) -> Ints:
        """Return each user's `n` best posts."""
        lows = range(0, len(users), USERS_AT_ONCE)
        components = [top(self.ranking(users[low : low + USERS_AT_ONCE]), n) for low in lows]
        return np.vstack([np.empty((0, n), np.int64), *components])

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        """Return the scores of pairs, each user ranked once."""
        out, (distinct, place) = np.empty(len(users)), np.unique(users, return_inverse=True)
        for low in range(0, len(distinct), USERS_AT_ONCE):
            rows = np.flatnonzero((place >= low) & (place < low + USERS_AT_ONCE))
            scores = self.ranking(distinct[low : low + USERS_AT_ONCE])
            out[rows] = scores[place[rows] - low, posts[rows]]
        return out


@dataclass(frozen=True, slots=True)
class Ours:
    """The model that a run would publish, for one hour."""

    model: Ranker
    sides: Sides
    threads: int

    def lists(self, users: Ints, n: int) -> Ints:
        """Return each user's `n` best posts by the engine that publishes."""
        sides, seen = self.sides, SeenPosts.none(len(users))
        some = replace(
            sides,
            user_ids=sides.user_ids[users],
            user=sides.user[users],
            user_group=sides.user_group[:, users],
        )
        x, y = self._dense
        blocks = score(self.model.text, some, seen, n, dense=(x[users], y), threads=self.threads)
        return np.vstack([block.posts[:, 0] for block in blocks]).astype(np.int64)

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        """Return the scores of pairs by LightGBM's own predict and the factors."""
        x, y = self._dense
        rows = self.sides.rows(users, posts, np.zeros(len(users), np.int64))
        trees = lgb.Booster(model_str=self.model.text).predict(rows, raw_score=True)
        return np.asarray(trees + np.einsum("ij,ij->i", x[users], y[posts]), np.float64)

    @property
    def _dense(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return self.model.factors.dense


def ours(past: Past, recipe: Recipe, at_s: int) -> Ours:
    """Train as a run does on the past; lists are for the bucket that holds `at_s`."""
    facts, known = past.facts, past.known
    model = train(facts, known, facts.as_of_s, recipe).model
    starts = np.array([at_s - at_s % recipe.width_s], np.int64)
    counts_now = asof.tally(facts, known).advance(facts.as_of_s)
    return Ours(model, asof.sides(facts, known, counts_now, starts), recipe.threads)


def from_likes(past: Past, recipe: Recipe) -> Ranked:
    """Fit what likes alone tell: posts' effects and users' tastes, nothing of the order of what was shown.

    Places in the session only take what is due to them out of posts' effects.

    Raises:
        ValueError: Users chose what they saw, so there is no order to leave out.
    """
    facts = past.facts
    if facts.shown == "choices":
        raise ValueError(
            "users chose these posts themselves: there is no order of what was shown to leave out"
        )
    components = fit_components(facts, past.known.texts, facts.as_of_s, recipe.seed, None)
    on = [NAMES.index(name) for name in ("post", "taste")]
    x, y = (np.hstack([side[k] for k in on]) for side in (components.x, components.y))
    return Ranked(lambda users: np.asarray(x[users] @ y.T, np.float64))
