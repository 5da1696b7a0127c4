"""The truth of a world: P(like | user, post, time). Nothing that trains, scores or publishes may import it.

The truth is computed again from the configuration; nothing of it is stored beside the world. The place in
the session is a nuisance: asked without it, the truth is averaged over the two halves of a session as the
old feed made them, so it answers how often this user would like this post shown at any place at that time.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batch.simulate import effects
from batch.simulate.config import WorldConfig
from batch.simulate.moves import Moves
from batch.simulate.posts import CLUSTER_TOPIC, N_CLUSTERS, N_FACTORS, TOPIC_NAMES, Catalogue, catalogue
from batch.simulate.profiles import user_table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_TYPES = 5
_HIGHEST = 0.95  # no like is certain
_SESSION_S = 2_640  # mean time from the first to the last view of a session
_TYPE_TOPIC, _TYPE_FACTOR, _TYPE_CLUSTER = 0.55, 0.10, 1.0  # what a type's preference of clusters comes from
_SWAPPED = 0.2  # posts with a fan their cluster does not tell; rows: text tells the order with AUC .93


@dataclass(frozen=True, slots=True)
class Truth:
    """What is latent in users and posts, and the chances that follow. Row numbers link the arrays.

    Attributes:
        config: The world's.
        posts: What is latent in the posts.
        user_ids: int64 (users,), ascending.
        user_base: float64 (users,). The user's part of the chance, the world's level included.
        post_base: float64 (posts,). The post's part, the same for everyone.
        user_taste: float64 (users, tastes) and
        post_taste: float64 (posts, tastes). Their product is the taste of a user for a post.
        user_type: int64 (users,). The latent type; 0 in a Gaussian world, which has none.
        preferred: bool (types, posts). What the old feed shows a type first; none in a Gaussian world.
        moves: What depends on the moment beside everybody's level; nothing but in a moving world.
    """

    config: WorldConfig
    posts: Catalogue
    user_ids: Ints
    user_base: Floats
    post_base: Floats
    user_taste: Floats
    post_taste: Floats
    user_type: Ints
    preferred: npt.NDArray[np.bool_]
    moves: Moves

    @classmethod
    def from_config(cls, config: WorldConfig) -> "Truth":
        """Draw the world's latent values; equal configurations give equal truths."""
        return _set_level(_draw(config))

    @property
    def post_ids(self) -> Ints:
        """Return int64 (posts,), ascending."""
        return self.posts.post_ids

    def likely(
        self,
        user_ids: npt.ArrayLike,
        post_ids: npt.ArrayLike,
        at_s: npt.ArrayLike,
        position: Ints | None = None,
    ) -> Floats:
        """Return P(like | user, post, time), element by element; the arguments broadcast.

        Args:
            user_ids: int64. Users of this world.
            post_ids: int64. Posts of this world.
            at_s: int64. Epoch seconds.
            position: int64. Place in the session, 0 first; None averages over the places.

        Returns:
            float64 of the broadcast shape, 0..0.95.

        Raises:
            KeyError: A user or post is not of this world.
        """
        user = _rows(self.user_ids, user_ids, "user")
        post = _rows(self.post_ids, post_ids, "post")
        taste = np.einsum("...k,...k", self.user_taste[user], self.post_taste[post])
        at_s = np.asarray(at_s, np.int64)
        moment = effects.of_moment(self.config, at_s) + self.moves.of(self.posts, post, at_s)
        early = effects.EARLY_SHARE if position is None else effects.early_chance(position)
        chance = self.user_base[user] + self.post_base[post] + taste + moment
        return self.average(np.array(np.broadcast_arrays(chance, early)[0]), early)

    def matrix(self, user_ids: npt.ArrayLike, at_s: int) -> Floats:
        """Return P(like | user, post, time) of every post, float64 (users, posts), posts by ascending id.

        Raises:
            KeyError: A user is not of this world.
        """
        user = np.atleast_1d(_rows(self.user_ids, user_ids, "user"))
        level = self.user_base[user] + effects.of_moment(self.config, np.array(at_s))
        chance = self.user_taste[user] @ self.post_taste.T
        chance += level[:, None] + self.post_base
        chance += self.moves.of(self.posts, np.arange(len(self.post_ids)), np.array(at_s))
        return self.average(chance, effects.EARLY_SHARE)

    def average(self, chance: Floats, early: "Floats | float") -> Floats:
        """Return the clipped chance of a view in its session's first half with chance `early`, in place."""
        lift = effects.EARLY_LIFT * (1 - effects.PREFERENCE_SHARE[self.config.regime])
        first = np.clip(chance + lift, 0.0, _HIGHEST)
        first *= early
        rest = np.clip(chance, 0.0, _HIGHEST, out=chance)
        rest *= 1 - early
        first += rest
        return first


def _rows(ids: Ints, wanted: npt.ArrayLike, what: str) -> Ints:
    asked = np.asarray(wanted, np.int64)
    rows = pd.Index(ids).get_indexer(asked.ravel()).reshape(asked.shape)
    if (rows < 0).any():
        raise KeyError(f"{what} {asked[rows < 0].flat[0]} is not of this world")
    return np.asarray(rows, np.int64)


def _draw(config: WorldConfig) -> Truth:
    """Draw everything but the level that makes the like rate right."""
    posts, users = catalogue(config), user_table(config)
    rng = config.rng("tastes")
    base = _profile_effect(users) + effects.USER_SD * rng.standard_normal(config.n_users)
    by_topic = np.array([effects.TOPIC_EFFECT.get(name, 0.0) for name in TOPIC_NAMES])
    quality = by_topic[posts.topic] + effects.QUALITY_SD[config.regime] * posts.quality
    user_type = np.zeros(config.n_users, np.int64)
    preferred = np.zeros((1, len(posts.post_ids)), np.bool_)
    if config.regime != "gaussian":
        user_type = rng.integers(0, N_TYPES, config.n_users)
        preferred = _swap_fans(rng, _preferences(rng, posts)[:, posts.cluster])
        lift = effects.EARLY_LIFT * effects.PREFERENCE_SHARE[config.regime] * config.taste
        user_taste, post_taste = np.eye(N_TYPES)[user_type], np.asarray(lift * preferred.T, np.float64)
    else:
        user_taste, post_taste = _gaussian(rng, config, posts)
    ids, moves = users["user_id"].to_numpy(), Moves.draw(config, posts)
    return Truth(config, posts, ids, base, quality, user_taste, post_taste, user_type, preferred, moves)


def _profile_effect(users: pa.Table) -> Floats:
    country = users["country"].to_pylist()
    abroad = [effects.COUNTRY_EFFECT.get(name, effects.OTHER_COUNTRY_EFFECT) for name in country]
    groups = effects.EXP_GROUP_EFFECT[users["exp_group"].to_numpy()]
    return np.asarray(groups + effects.GENDER_EFFECT[users["gender"].to_numpy()] + abroad, np.float64)


def _gaussian(rng: np.random.Generator, config: WorldConfig, posts: Catalogue) -> tuple[Floats, Floats]:
    """Return users' tastes and posts' values: one for each topic, then one for each text factor."""
    n_topics = len(TOPIC_NAMES)
    sd_factor = effects.FACTOR_TASTE_SD / np.sqrt(N_FACTORS)
    sd = np.repeat([effects.TOPIC_TASTE_SD, sd_factor], [n_topics, N_FACTORS])
    user_taste = rng.standard_normal((config.n_users, n_topics + N_FACTORS)) * (config.taste * sd)
    return user_taste, np.hstack([np.eye(n_topics)[posts.topic], posts.factors])


def _preferences(rng: np.random.Generator, posts: Catalogue) -> npt.NDArray[np.bool_]:
    """Return which clusters each type prefers, bool (types, clusters).

    Every cluster is preferred by two or three of the five types, so that hardly a post is the better for its
    cluster alone, and preferred clusters make up about the first half of a session.
    """
    score = (
        _TYPE_TOPIC * rng.standard_normal((N_TYPES, len(TOPIC_NAMES)))[:, CLUSTER_TOPIC]
        + _TYPE_FACTOR * rng.standard_normal((N_TYPES, N_FACTORS)) @ posts.centres.T
        + _TYPE_CLUSTER * rng.standard_normal((N_TYPES, N_CLUSTERS))
    )
    place = np.argsort(np.argsort(-score, axis=0), axis=0)
    n_fans = np.floor(N_TYPES * effects.EARLY_SHARE + rng.random(N_CLUSTERS))
    return np.asarray(place < n_fans)


def _swap_fans(rng: np.random.Generator, preferred: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Let one fan and one other type change places for some posts: a post keeps the number of its fans."""
    lot = rng.random(preferred.shape)
    swap = np.flatnonzero(rng.random(preferred.shape[1]) < _SWAPPED)
    for group in (preferred, ~preferred):
        preferred[np.where(group, lot, -1.0).argmax(axis=0)[swap], swap] ^= True
    return preferred


def _set_level(truth: Truth, n: int = 100_000) -> Truth:
    """Shift every user's part by the one amount that makes the like rate the published one."""
    config, rng = truth.config, truth.config.rng("level")
    user = rng.integers(0, config.n_users, n)
    post = rng.choice(len(truth.post_ids), n, p=truth.posts.exposure)
    seconds = rng.uniform(effects.FIRST_START_S, effects.LAST_START_S, n) + rng.uniform(0, _SESSION_S, n)
    at_s = config.start_s + rng.integers(0, config.n_days, n) * 86_400 + seconds.astype(np.int64)
    early, weight = rng.random(n) < effects.EARLY_SHARE, np.ones(n)
    if config.regime != "gaussian":  # the half follows from the post, and each type's shelf from its share
        early = truth.preferred[truth.user_type[user], post]
        share = (truth.preferred @ truth.posts.exposure)[truth.user_type[user]]
        weight = np.where(early, effects.EARLY_SHARE / share, (1 - effects.EARLY_SHARE) / (1 - share))
    chance = truth.user_base[user] + truth.post_base[post] + effects.of_moment(config, at_s)
    chance += np.einsum("ij,ij->i", truth.user_taste[user], truth.post_taste[post])
    chance += truth.moves.of(truth.posts, post, at_s)
    low, high = -1.0, 1.0
    for _ in range(40):
        level = (low + high) / 2
        likely = truth.average(chance + level, early.astype(np.float64))
        too_low = np.average(likely, weights=weight) < effects.LIKE_RATE
        low, high = (level, high) if too_low else (low, level)
    return replace(truth, user_base=truth.user_base + level)
