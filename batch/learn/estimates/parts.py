"""The parts of an estimate as of a time: posts' own effects, users' tastes, latent types; not yet weighed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.features.text import Texts
from batch.learn.estimates.hierarchical import describe, fit_tastes
from batch.learn.estimates.impressions import Impressions, gather
from batch.learn.estimates.levels import fit_levels, steepness
from batch.learn.estimates.types import Types, fit_types, membership
from batch.source.facts import Facts

Floats = npt.NDArray[np.float64]

NAMES = ("post", "taste", "taste_placed", "types")
PRIOR_VIEWS = 20.0  # a user's own like rate is shrunk to everyone's as if by so many views


@dataclass(frozen=True, slots=True)
class Parts:
    """Every part as factors; the score of part k for user u and post p is `x[k][u] · y[k][p]`, in like rate.

    Attributes:
        as_of_s: No fact later than this was used.
        base: Like rate of everybody together.
        rate: float64 (users,). Users' shrunk like rates; `base` for a user without an impression.
        x: By the order of `NAMES`, float64 (users, columns).
        y: The same, float64 (posts, columns), of mean 0 over what was shown.
        types: The latent types.
    """

    as_of_s: int
    base: float
    rate: Floats
    x: tuple[Floats, ...]
    y: tuple[Floats, ...]
    types: Types

    def scores(self, users: npt.NDArray[np.integer], posts: npt.NDArray[np.integer]) -> Floats:
        """Return every part's score of (user, post) pairs, float64 (pairs, parts)."""
        pairs = zip(self.x, self.y, strict=True)
        return np.column_stack([np.einsum("ij,ij->i", x[users], y[posts]) for x, y in pairs])


def fit_parts(facts: Facts, texts: Texts, as_of_s: int, seed: int, warm: Parts | None) -> Parts:
    """Fit all parts on the facts up to and including `as_of_s`.

    Args:
        facts: Events; later ones are not read.
        texts: What the posts are about.
        as_of_s: Epoch seconds.
        seed: Of the types' search.
        warm: An earlier time's parts to go on from, which is faster; None starts anew.
    """
    shown = gather(facts.until(as_of_s))
    about = describe(texts, int((np.diff(shown.start) > 0).sum()))
    placed = fit_levels(shown, placed=True)
    free = fit_levels(shown, placed=False, post=placed.post)
    taste, taste_placed = fit_tastes(shown, free, about), fit_tastes(shown, placed, about)
    types = fit_types(shown, texts.cluster, seed, warm.types if warm is not None else None)
    exposure = np.bincount(shown.post, minlength=shown.n_posts) + 1e-9
    y = (placed.post[:, None], taste.post, taste_placed.post, types.first)
    users = np.ones((shown.n_users, 1))
    base = float((shown.liked.sum() + 0.5) / (len(shown.liked) + 5.0))
    return Parts(
        as_of_s=as_of_s,
        base=base,
        rate=_rates(shown, base),
        x=(users, taste.user, taste_placed.user, membership(shown, types)),
        y=tuple(part - np.average(part, axis=0, weights=exposure) for part in y),
        types=types,
    )


def _rates(shown: Impressions, base: float) -> Floats:
    likes, views = shown.likes, np.diff(shown.start)
    return np.asarray((likes + PRIOR_VIEWS * base) / (views + PRIOR_VIEWS), np.float64)


def gain(rate: Floats) -> Floats:
    """Return how much log-odds of a like one unit of like rate is, at each user's own rate."""
    return steepness(rate) / (rate * (1 - rate))
