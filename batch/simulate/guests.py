"""Who of a made world comes when, and what they like of what they are shown: by its truth alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batch.simulate.truth import Truth


@dataclass(frozen=True, slots=True)
class Guests:
    """Some of a world's users, who come one after another and look at the first posts.

    Visits are drawn by their number, so that it does not matter who plays which, or in what order.

    Attributes:
        truth: Of their world.
        user_ids: Who may come.
        seed: Of who comes and what they like.
    """

    truth: Truth
    user_ids: Sequence[int]
    seed: int

    @classmethod
    def draw(cls, truth: Truth, n_users: int, seed: int) -> "Guests":
        """Draw so many of a world's users, or all if it has fewer."""
        rng = np.random.default_rng([seed, 0])
        n_users = min(n_users, len(truth.user_ids))
        return cls(truth, sorted(rng.choice(truth.user_ids, n_users, replace=False).tolist()), seed)

    def who(self, visit: int) -> int:
        """Return the user of a visit; some come often, some seldom, as in the world itself."""
        often = np.random.default_rng([self.seed, 1]).uniform(0.3, 1.0, len(self.user_ids))
        rng = np.random.default_rng([self.seed, 2, visit])
        return self.user_ids[int(rng.choice(len(self.user_ids), p=often / often.sum()))]

    def likes(self, visit: int, user_id: int, post_ids: Sequence[int], at_s: int) -> list[bool]:
        """Return which of the posts that a visit shows its user likes, as the truth has it at that time.

        Raises:
            KeyError: A user or post is not of this world.
        """
        chance = self.truth.likely(user_id, np.array(post_ids, np.int64), at_s)
        liked: list[bool] = (
            np.random.default_rng([self.seed, 3, visit]).random(len(chance)) < chance
        ).tolist()
        return liked
