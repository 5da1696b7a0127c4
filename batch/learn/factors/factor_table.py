"""The additive part of a model as it is kept: factors of users and posts, named by id."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from batch.arrays import AnyInts, Floats, Ints
from batch.data.rows import find_rows

Dense = tuple[Floats, Floats]

FACTORS = "factors.npz"  # beside a model's text


@dataclass(frozen=True, slots=True)
class FactorTable:
    """What a user's taste for a post adds to the trees' score: `x @ y.T`, in log-odds.

    Attributes:
        user_ids: int64 (users,), ascending.
        post_ids: int64 (posts,), ascending.
        x: float64 (users, k).
        y: float64 (posts, k).
        level: float64 (users,). Log-odds of the user's own like rate over everyone's; no ranking needs it,
            a probability does.
    """

    user_ids: Ints
    post_ids: Ints
    x: Floats
    y: Floats
    level: Floats

    @property
    def dense(self) -> Dense:
        """Return `x` and `y`, as scoring takes them."""
        return self.x, self.y

    def of(self, user_ids: AnyInts, post_ids: AnyInts) -> Floats:
        """Return level and taste of (user, post) pairs given by id, float64 (pairs,), in log-odds.

        An unknown user has everybody's mean taste and level 0; an unknown post is average: its taste is 0.
        """
        user, post = find_rows(self.user_ids, user_ids), find_rows(self.post_ids, post_ids)
        known = user >= 0
        x = np.where(known[:, None], self.x[user], self.x.mean(axis=0))
        taste = np.einsum("ij,ij->i", x, self.y[post])
        return np.asarray(np.where(known, self.level[user], 0.0) + np.where(post >= 0, taste, 0.0))

    def save(self, path: Path) -> None:
        """Write numpy's own format without pickle, whole or not at all."""
        part = path.with_suffix(path.suffix + ".part")
        with part.open("wb") as file:
            np.savez(
                file, user_ids=self.user_ids, post_ids=self.post_ids, x=self.x, y=self.y, level=self.level
            )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "FactorTable":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in ("user_ids", "post_ids", "x", "y", "level")})


def fingerprint(text: str, x: Iterable[Floats] = (), y: Floats | None = None) -> str:
    """Return 16 hex digits of the SHA-256 of a model: its text, then the bytes of its factors, if it has any.

    Args:
        text: LightGBM's model text.
        x: Users' factors in one or more parts, row after row.
        y: Posts' factors.
    """
    found = hashlib.sha256(text.encode())
    for part in chain(x, () if y is None else (y,)):
        found.update(np.ascontiguousarray(part, "<f8").tobytes())
    return found.hexdigest()[:16]
