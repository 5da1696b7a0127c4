"""What a world is made from: a handful of numbers; the same numbers give the same world."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal, get_args

import numpy as np

Regime = Literal["gaussian", "typed", "moving"]

_MIN_POSTS = 100  # a session shows up to 38 different posts, half of them from a type's preferred ones


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """The whole description of a world.

    Attributes:
        n_users: Users, at least 1; 163,205 is the size of the original.
        n_posts: Posts, at least 100; 7,023 is the size of the original.
        seed: Seed of everything drawn, 0 or more.
        regime: How tastes and the old feed's order came about, since the rows cannot tell: "gaussian" is
            Gaussian tastes on topics and text factors, shown in random order; "typed" is a handful of
            latent types, whose preferred posts the old feed shows first; "moving" is a typed one in which the
            hour moves what is liked of a topic, posts come every day, and some are famous for a week.
        taste: Factor on the strength of all tastes, 0 or more; 1 is as strong as in the real rows.
        start: First day, UTC.
        end: Day after the last, UTC. Users view 421 posts in the default 90 days, in proportion in fewer.
        most_words: Words of a text, at most, a sentence at the least; 0: as many as in the original.
    """

    n_users: int = 2_000
    n_posts: int = 7_023
    seed: int = 42
    regime: Regime = "gaussian"
    taste: float = 1.0
    start: date = date(2021, 10, 1)
    end: date = date(2021, 12, 30)
    most_words: int = 0

    def __post_init__(self) -> None:
        """Refuse what no world can be made from.

        Raises:
            ValueError: A value is out of its range.
        """
        if self.n_users < 1:
            raise ValueError(f"n_users={self.n_users} must be at least 1")
        if self.n_posts < _MIN_POSTS:
            raise ValueError(f"n_posts={self.n_posts} must be at least {_MIN_POSTS}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must be 0 or more")
        if self.regime not in get_args(Regime):
            raise ValueError(f"regime={self.regime!r} must be {' or '.join(get_args(Regime))}")
        if not 0 <= self.taste < float("inf"):
            raise ValueError(f"taste={self.taste} must be a finite number, 0 or more")
        if self.most_words < 0:
            raise ValueError(f"most_words={self.most_words} must be 0 or more")
        if self.end <= self.start:
            raise ValueError(f"end={self.end} must be later than start={self.start}")

    @property
    def n_days(self) -> int:
        """Return the days of the period."""
        return (self.end - self.start).days

    @property
    def start_s(self) -> int:
        """Return the period's first moment, epoch seconds."""
        return _midnight_s(self.start)

    @property
    def end_s(self) -> int:
        """Return the first moment after the period, epoch seconds."""
        return _midnight_s(self.end)

    def rng(self, what: str, *numbers: int) -> np.random.Generator:
        """Return a generator of its own for one purpose, independent of every other purpose's."""
        return np.random.default_rng([self.seed, *what.encode(), *numbers])

    def to_json(self) -> str:
        """Return the configuration as JSON, dates in ISO 8601, to be kept beside the world."""
        return json.dumps(asdict(self), default=date.isoformat)

    @classmethod
    def from_json(cls, text: str) -> "WorldConfig":
        """Read what `to_json` wrote.

        >>> WorldConfig.from_json(WorldConfig(seed=7).to_json()) == WorldConfig(seed=7)
        True

        Raises:
            ValueError: The text is no JSON object of a world's fields.
        """
        try:
            values: Any = json.loads(text)
            for name in ("start", "end"):
                if name in values:
                    values[name] = date.fromisoformat(values[name])
            return cls(**values)
        except (TypeError, json.JSONDecodeError) as exc:
            raise ValueError(f"{text[:80]!r} does not describe a world: {exc}") from exc


def _midnight_s(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
