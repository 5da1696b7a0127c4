"""What a near-ideal learner knows of hours and fame in a moving world: the posterior under true spreads."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats, Ints, Ints32
from batch.simulate import effects
from batch.simulate.moves import hour_covariance
from batch.simulate.posts import TOPIC_NAMES
from batch.simulate.truth import Truth

STEP_S = effects.DAY_S // 2  # weeks of fame are taken to begin with one of these
N_IN_WEEK = effects.FAME_S // STEP_S


@dataclass(frozen=True, slots=True)
class MovingRows:
    """Where each impression lies among hours and steps.

    Attributes:
        cell: int64 (impressions,). Topic × hour.
        place: int64 (impressions,). Post × step.
        n_posts: Posts.
        first_s: Begin of the first step, epoch seconds: nobody's fame begins earlier.
        n_steps: Steps in which fame may begin.
    """

    cell: Ints
    place: Ints
    n_posts: int
    first_s: int
    n_steps: int

    @classmethod
    def of(cls, truth: Truth, post: Ints32, time: Ints) -> "MovingRows":
        """Place impressions of posts, given by row, at times, epoch seconds."""
        first_s, last_s = truth.config.start_s - effects.FAME_S, truth.config.end_s + effects.DAY_S
        n_steps = -(-(last_s - first_s) // STEP_S)
        cell = truth.posts.topic[post] * 24 + time // 3600 % 24
        place = post.astype(np.int64) * n_steps + (time - first_s) // STEP_S
        return cls(cell, place, len(truth.post_ids), first_s, n_steps)

    def step_of(self, at_s: int) -> int:
        """Return the step of a time."""
        return (at_s - self.first_s) // STEP_S

    def update_hours(self, by_hour: Floats, slope: Floats, weight: Floats) -> Floats:
        """Return topics' hours after a Newton step, float64 (topics, 24).

        Args:
            by_hour: The same before it.
            slope: float64 (impressions,). Of the likelihood, in the sum of effects.
            weight: float64 (impressions,). The information about it.
        """
        covariance, shape = hour_covariance(), (len(TOPIC_NAMES), 24)
        information = np.bincount(self.cell, weight, by_hour.size).reshape(shape)
        pull = np.bincount(self.cell, slope, by_hour.size).reshape(shape) + information * by_hour
        spread = np.eye(24) + information[:, :, None] * covariance
        return np.asarray(np.linalg.solve(spread, pull[:, :, None])[:, :, 0] @ covariance, np.float64)

    def infer_fame(self, log_ratio: Floats) -> Floats:
        """Return the chance of each post to be famous at each step, float64 (posts, steps).

        Args:
            log_ratio: float64 (impressions,). How much likelier what happened is if the post is famous.
        """
        size = self.n_posts, self.n_steps
        sums = np.bincount(self.place, log_ratio, size[0] * size[1]).reshape(size)
        until = np.pad(np.cumsum(sums, axis=1), ((0, 0), (1, 0)))
        begin = np.arange(self.n_steps)
        evidence = until[:, np.minimum(begin + N_IN_WEEK, self.n_steps)] - until[:, begin]
        most = np.maximum(evidence.max(axis=1, keepdims=True), 0.0)
        chance = effects.FAMOUS_SHARE / self.n_steps * np.exp(evidence - most)
        chance /= chance.sum(axis=1, keepdims=True) + (1 - effects.FAMOUS_SHARE) * np.exp(-most)
        began = np.pad(np.cumsum(chance, axis=1), ((0, 0), (1, 0)))
        return np.asarray(began[:, begin + 1] - began[:, np.maximum(begin + 1 - N_IN_WEEK, 0)], np.float64)
