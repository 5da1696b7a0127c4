"""What moves in a world: topics' hours, posts' births and weeks of fame. Only a `moving` world has them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.data.windows import FOR_EVER, SINCE_EVER, Windows
from batch.simulate import effects
from batch.simulate.config import WorldConfig
from batch.simulate.posts import TOPIC_NAMES, Catalogue

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Moves:
    """How a post's chance of a like, and whether it can be shown, depend on the moment.

    Attributes:
        by_hour: float64 (topics, 24). What everybody's liking of a topic gains at an hour, UTC.
        born_s: int64 (posts,). When a post can first be shown, epoch seconds; SINCE_EVER of the old ones.
        fame_s: int64 (posts,). Begin of the post's week of fame; FOR_EVER, so never, of most.
    """

    by_hour: Floats
    born_s: Ints
    fame_s: Ints

    @classmethod
    def draw(cls, config: WorldConfig, posts: Catalogue) -> "Moves":
        """Draw hours of topics, births evenly over the period, and weeks of fame over it and a day more."""
        n_posts = len(posts.post_ids)
        by_hour = np.zeros((len(TOPIC_NAMES), 24))
        born_s, fame_s = np.full(n_posts, SINCE_EVER), np.full(n_posts, FOR_EVER)
        if config.regime != "moving":
            return cls(by_hour, born_s, fame_s)
        rng = config.rng("moves")
        root = np.linalg.cholesky(hour_covariance() + 1e-12 * np.eye(24))
        by_hour += rng.standard_normal(by_hour.shape) @ root.T
        born = rng.random(n_posts) < effects.BORN_SHARE
        born_s[born] = rng.integers(config.start_s, config.end_s, born.sum())
        famous = rng.random(n_posts) < effects.FAMOUS_SHARE
        first_s, last_s = config.start_s - effects.FAME_S, config.end_s + effects.DAY_S
        fame_s[famous] = rng.integers(first_s, last_s, famous.sum())
        return cls(by_hour, born_s, fame_s)

    @property
    def windows(self) -> Windows:
        """Return when each post may be shown: from its birth on."""
        return Windows(self.born_s, np.full(len(self.born_s), FOR_EVER))

    def of(self, posts: Catalogue, post: Ints, at_s: Ints) -> Floats:
        """Return what posts, given by row, gain at a moment, element by element, float64."""
        since = at_s - self.fame_s[post]
        famous = (since >= 0) & (since < effects.FAME_S)
        return np.asarray(
            self.by_hour[posts.topic[post], at_s // 3600 % 24] + effects.FAME_LIFT * famous, np.float64
        )


def hour_covariance() -> Floats:
    """Return the covariance of a topic's hours, float64 (24, 24): near hours are alike, a day's mean is 0.

    Source: the periodic kernel, Rasmussen and Williams, Gaussian processes for machine learning, 2006, 4.31.
    """
    apart = np.subtract.outer(np.arange(24), np.arange(24)) * (np.pi / 24)
    alike = np.exp(-2 * np.sin(apart) ** 2 / effects.HOURS_ALIKE**2)
    alike -= alike.mean()  # of every row the same, so rows and columns now sum to 0
    return np.asarray(effects.TOPIC_HOUR_SD**2 * alike / alike[0, 0], np.float64)
