"""How values are spread, kept as a few numbers, and how far another set of values has moved from that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from batch.arrays import AnyFloats, Floats

TENTHS = np.arange(0.1, 0.95, 0.1)
SAME = 0.25  # the index below which two spreads pass for one
LEAST = 1e-3  # an empty bin counts as this share, or one value where none was would weigh without bound


@dataclass(frozen=True, slots=True)
class Spread:
    """Shares of values between edges: up to the first edge, …, beyond the last, and missing."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, values: AnyFloats) -> "Spread":
        """Cut at the tenths of the values that are not missing; equal tenths make one edge.

        >>> Spread.of(np.array([1.0, 1.0, 2.0, np.nan]))
        Spread(edges=(1.0, 2.0), shares=(0.5, 0.25, 0.0, 0.25))
        """
        present = values[~np.isnan(values)]
        edges = (
            np.unique(np.quantile(present, TENTHS, method="inverted_cdf")) if len(present) else np.empty(0)
        )
        return cls(tuple(edges.tolist()), tuple(_shares(values, edges).tolist()))

    @classmethod
    def from_values(cls, raw: Mapping[str, Any]) -> "Spread":
        """Read what `asdict` gave."""
        return cls(tuple(raw["edges"]), tuple(raw["shares"]))

    def psi(self, values: AnyFloats) -> float:
        """Return the population stability index of other values against these; 0 where nothing moved.

        By custom below 0.1 is no shift, above 0.25 a large one. Two spreads with nothing in common have
        some 6.

        Source: Siddiqi, Credit Risk Scorecards (2006), chapter 8; as relative entropy in both directions,
        Kullback and Leibler, Annals of Mathematical Statistics 22 (1951), 79-86.
        """
        expected = np.maximum(np.array(self.shares), LEAST)
        actual = np.maximum(_shares(values, np.array(self.edges)), LEAST)
        return float(np.sum((actual - expected) * np.log(actual / expected)))


def find_mistaken(
    live: Mapping[str, Spread], values: Mapping[str, AnyFloats], limits: tuple[float, float]
) -> dict[str, str]:
    """Return the features that have left their place, each with what its values look like now.

    Counts grow and ages of posts shift by a day a night, far beyond any index of drift; that alone is no
    fault. A feature is mistaken when it has moved far *and* looks like another one did, or went missing.

    Args:
        live: How each feature was spread when the live generation was made.
        values: Feature to its values now.
        limits: Index above which a feature has moved far; share by which missing values may grow.
    """
    found = {}
    for name, spread in live.items():
        if name not in values or spread.psi(values[name]) <= limits[0]:
            continue
        gone = float(np.isnan(values[name]).mean()) - spread.shares[-1]
        others = {other: old.psi(values[name]) for other, old in live.items() if other != name}
        like = min(others, key=lambda other: others[other], default="")
        if gone > limits[1]:
            found[name] = "missing"
        elif like and others[like] < SAME:
            found[name] = like
    return found


def _shares(values: AnyFloats, edges: AnyFloats) -> Floats:
    """Return float64 (edges + 2,): shares in the bins, the last of them missing values."""
    missing = np.isnan(values)
    place = np.where(missing, len(edges) + 1, np.searchsorted(edges, values, side="left"))
    return np.bincount(place, minlength=len(edges) + 2) / max(len(values), 1)
