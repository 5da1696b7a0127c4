"""Values by user, unequally many each, in one flat array a column, as SciPy's CSR keeps them. Pure."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from batch.arrays import AnyInts, Bools, Ints


@dataclass(frozen=True, slots=True)
class Ragged:
    """Values by user; a subclass adds the columns, of which user `u` has the places `start[u]:start[u + 1]`.

    Attributes:
        start: int64 (users + 1,), ascending from 0.
    """

    start: Ints

    @property
    def n_users(self) -> int:
        """Return the number of users, those without a value included."""
        return len(self.start) - 1

    @property
    def sizes(self) -> Ints:
        """Return int64 (users,): how many values each user has."""
        return np.diff(self.start)

    @property
    def user(self) -> Ints:
        """Return int64 (values,): the user of each value."""
        return np.repeat(np.arange(self.n_users), self.sizes)

    def of_users(self, users: AnyInts) -> Self:
        """Return the values of some users, who then count from 0 in the order given."""
        sizes = self.sizes[users]
        start = starts(sizes)
        return self._at(start, np.arange(start[-1]) + np.repeat(self.start[users] - start[:-1], sizes))

    def where(self, kept: Bools) -> Self:
        """Return all users with some of the values; `kept` is bool (values,)."""
        return self._at(starts(kept)[self.start], np.flatnonzero(kept))

    def _at(self, start: Ints, places: Ints) -> Self:
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "start"}
        taken = {name: of[places] for name, of in columns.items() if isinstance(of, np.ndarray)}
        return replace(self, start=start, **taken)


def starts(sizes: npt.ArrayLike) -> Ints:
    """Return int64 (n + 1,): where each of `n` runs of these sizes begins, and where the last one ends.

    >>> starts([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
