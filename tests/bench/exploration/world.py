"""A made world in which a tenth more posts come each night, and who visits it when."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.data.columns import LIKE, VIEW
from batch.data.facts import Facts
from batch.simulate.config import WorldConfig
from batch.simulate.profiles import user_table
from batch.simulate.texts import post_table
from batch.simulate.truth import Truth

START = date(2021, 10, 1)
HISTORY = 7  # days in which posts were shown at random, before the first night
GROWTH = 1.1  # posts there are, from a night to the next
PLACES = 20  # of a visit's page
COMES = (0.2, 0.6)  # chance of a visit a day, uniform between users
HOURS = (3, 9, 15, 21)  # of visits: the middles of four buckets
LIKE_AFTER_S, GAP_S = 20, 60


@dataclass(frozen=True, slots=True)
class World:
    """What is the same with and without exploration.

    Attributes:
        truth: P(like) of each user, post and time.
        users: The table of users.
        posts: The table of posts, those to come too.
        born: int64 (posts,). The day, 0 the first after the history, in whose night a post comes; -1: before.
        comes: bool (history and days, users). Who visits.
        hour: int64 (history and days, users). At which hour they do.
    """

    truth: Truth
    users: pd.DataFrame
    posts: pd.DataFrame
    born: Ints
    comes: Bools
    hour: Ints

    @classmethod
    def make(cls, n_users: int, n_posts: int, n_days: int, seed: int) -> "World":
        """Make a moving world of so many users, and of so many posts at its end."""
        end = START + timedelta(HISTORY + n_days)
        config = WorldConfig(n_users, n_posts, seed, "moving", start=START, end=end)
        truth, rng = Truth.from_config(config), np.random.default_rng([seed, 17])
        there = np.round(n_posts / GROWTH ** np.arange(n_days, -1, -1)).astype(np.int64)
        born = np.repeat(np.arange(-1, n_days), np.diff(there, prepend=0))
        chance = rng.uniform(*COMES, n_users)
        shape = (HISTORY + n_days, n_users)
        return cls(
            truth,
            user_table(config).to_pandas(),
            post_table(config, truth.posts).to_pandas(),
            rng.permutation(born),
            rng.random(shape) < chance,
            rng.choice(HOURS, shape),
        )

    @property
    def first_s(self) -> int:
        """Return the midnight with which the first day after the history begins, epoch seconds."""
        return self.truth.config.start_s + HISTORY * DAY_S

    def likes(self, day: int) -> Floats:
        """Return float64 (users, posts): a view on that day is liked where its P(like) is above this."""
        return np.random.default_rng([self.truth.config.seed, 23, HISTORY + day]).random(
            (len(self.users), len(self.posts))
        )


class Diary:
    """Who saw and liked what, row by row of users and posts."""

    def __init__(self, world: World) -> None:
        """Begin with the history: pages of posts at random."""
        self._world = world
        self._parts: list[tuple[Ints, ...]] = []
        rng = np.random.default_rng([world.truth.config.seed, 29])
        old = np.flatnonzero(world.born < 0)
        self.seen = np.zeros((len(world.users), len(world.posts)), np.bool_)
        for day in range(-HISTORY, 0):
            lots, midnight_s = world.likes(day), world.first_s + day * DAY_S
            for user in np.flatnonzero(world.comes[HISTORY + day]):
                left = old[~self.seen[user, old]]
                page = rng.permutation(left)[:PLACES]
                at_s = midnight_s + int(world.hour[HISTORY + day, user]) * 3600
                chance = world.truth.likely(
                    world.truth.user_ids[user], world.truth.post_ids[page], np.array(at_s)
                )
                self.note(int(user), page, at_s, chance > lots[user, page])

    def note(self, user: int, page: Ints, at_s: int, liked: Bools) -> None:
        """Note that a user saw a page, and what of it they liked."""
        self.seen[user, page] = True
        times = at_s + GAP_S * np.arange(len(page))
        nothing = np.zeros(len(page), np.int64)
        self._parts.append((nothing + user, page, times, nothing + VIEW, liked.astype(np.int64)))
        those = np.flatnonzero(liked)
        self._parts.append(
            (
                nothing[those] + user,
                page[those],
                times[those] + LIKE_AFTER_S,
                nothing[those] + LIKE,
                nothing[those],
            )
        )

    def tell(self, day: int) -> Facts:
        """Return all that is known in the night before a day, with the posts that came in it."""
        world = self._world
        user, post, time, action, target = (
            np.concatenate(column) for column in zip(*self._parts, strict=True)
        )
        there = np.flatnonzero(world.born <= day)
        post = np.searchsorted(there, post)
        order = np.lexsort((action, post, user, time))
        return Facts(
            users=world.users,
            posts=world.posts.iloc[there].reset_index(drop=True),
            embeddings=None,
            user=user[order].astype(np.int32),
            post=post[order].astype(np.int32),
            time=time[order],
            action=action[order].astype(np.int8),
            target=target[order].astype(np.int8),
        )
