"""What users chose of posts that the table of posts no longer has: history, and no candidates."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from batch.arrays import Bools, Floats32, Ints, Ints32
from batch.data.columns import LIKE
from batch.data.validation.order import Events


@dataclass(frozen=True, slots=True)
class Retired:
    """Events that say yes to retired posts.

    Attributes:
        user: int32 (events,). Row in the facts' users.
        post: int32 (events,). Number among the retired posts.
        time: int64 (events,). Epoch seconds, ascending.
        weight: float32 (events,). How much each says; None where likes all say the same.
        n_posts: Retired posts.
    """

    user: Ints32
    post: Ints32
    time: Ints
    weight: Floats32 | None
    n_posts: int

    def until(self, as_of_s: int) -> "Retired":
        """Return the events up to and including `as_of_s`."""
        return self.where(slice(int(np.searchsorted(self.time, as_of_s, side="right"))))

    def where(self, events: slice | Bools) -> "Retired":
        """Return some of the events: a run of them, or bool (events,)."""
        weight = None if self.weight is None else self.weight[events]
        return Retired(self.user[events], self.post[events], self.time[events], weight, self.n_posts)

    def taken(self, n_users: int) -> sparse.csr_matrix:
        """Return what each user took, float64 (users, retired posts): weights added, or ones."""
        weight = np.ones(len(self.user)) if self.weight is None else self.weight.astype(np.float64)
        found = sparse.csr_matrix((weight, (self.user, self.post)), (n_users, self.n_posts))
        if self.weight is None:
            found.data[:] = 1
        return found


def part_retired(events: Events, n_posts: int) -> tuple[Events, Retired | None]:
    """Part the events of posts numbered below `n_posts` from those of retired ones, which come after."""
    gone = events.post >= n_posts
    if not gone.any():
        return events, None
    says_yes = (events.action == LIKE) | (events.target == 1) if events.weight is None else events.weight > 0
    yes = events.select(gone & says_yes)
    numbers, post = np.unique(yes.post, return_inverse=True)
    retired = Retired(yes.user, post.astype(np.int32), yes.time, yes.weight, len(numbers))
    return events.select(~gone), retired
