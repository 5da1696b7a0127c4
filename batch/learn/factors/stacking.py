"""How much of each part: weights that win inside the sessions of later days; what does not pay stays off."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from batch.data.facts import Facts
from batch.learn.factors.biases import steepness
from batch.learn.factors.components import NAMES, OF_IMPRESSIONS, Parts
from batch.learn.sessions import positions

Floats = npt.NDArray[np.float64]

EXPECTED = np.array(
    [1.0, 1.0, 1.0, *[0.0] * (len(NAMES) - 3)]
)  # shrunk estimates are on their own scale; the order says nothing
PRIOR_SD = 0.5  # of a weight around what is expected
LEAST_Z = 1.0  # standard errors above 0 from which a part pays
MOST_ROWS = 3_000_000  # sessions are thinned to about so many impressions a period


@dataclass(frozen=True, slots=True)
class Evidence:
    """Least squares of later likes on the parts, within sessions and in units of the likes' own noise.

    Attributes:
        square: float64 (parts, parts). Sum of products of the parts.
        product: float64 (parts,). Sum of products of parts and likes.
    """

    square: Floats
    product: Floats

    def __add__(self, other: "Evidence") -> "Evidence":
        """Pool two periods."""
        return Evidence(self.square + other.square, self.product + other.product)


def evidence(facts: Facts, parts: Parts, end_s: int, rng: np.random.Generator) -> Evidence:
    """Hold parts against the likes of the period between their time and `end_s`, that not included.

    What is the same for all posts of a session cancels: only the order inside sessions counts.
    """
    low, high = np.searchsorted(facts.time, [parts.as_of_s + 1, end_s], side="left")
    events = low + np.flatnonzero(facts.views[low:high])
    if len(events) > MOST_ROWS:
        keep = rng.random(len(facts.users)) < MOST_ROWS / len(events)
        events = events[keep[facts.user[events]]]
    user = facts.user[events]
    session, _ = positions(user, facts.time[events])
    rate = parts.rate[user]
    scores = steepness(rate)[:, None] * parts.scores(user, facts.post[events])
    noise = np.sqrt(rate * (1 - rate))
    columns = np.column_stack([scores, facts.target[events]]) / noise[:, None]
    centred = _centred(columns, session)
    square = centred.T @ centred
    return Evidence(square[:-1, :-1], square[:-1, -1])


def weigh(found: Evidence) -> Floats:
    """Return the parts' weights, float64 (parts,), at least 0; of the two kinds of taste one is 0.

    Tastes with and without the place held against the likes are compared by how well the rest of the blend
    does with each.
    """
    kinds = [[NAMES.index(k) for k in OF_IMPRESSIONS if k != other] for other in ("taste_placed", "taste")]
    tried = [solve(found, EXPECTED, kind) for kind in kinds]
    return max(tried, key=lambda weights: _fit(found, weights))


def solve(found: Evidence, expected: Floats, on: Sequence[int] | None = None) -> Floats:
    """Return the weights that meet the evidence best, float64 (parts,), 0 for parts that do not pay.

    Args:
        found: What was measured.
        expected: float64 (parts,). Weights where nothing was.
        on: Parts that may have a weight; None for all.
    """
    weights, parts = np.zeros(len(found.product)), list(range(len(found.product)) if on is None else on)
    while parts:
        square = found.square[np.ix_(parts, parts)] + np.eye(len(parts)) / PRIOR_SD**2
        product = found.product[parts] + expected[parts] / PRIOR_SD**2
        root = np.linalg.cholesky(square)
        solved, _ = nnls(root.T, np.linalg.solve(root, product))
        z = solved / np.sqrt(np.diag(np.linalg.inv(square)))
        if z.min() >= LEAST_Z:
            weights[parts] = solved
            break
        parts = [part for part in parts if part != parts[int(z.argmin())]]
    return weights


@dataclass(frozen=True, slots=True)
class Worth:
    """What adding a further score to a first one is worth.

    Attributes:
        share: How much of it to add: 0 where it does not pay, at most 1.
        gain: By how much later likes are met better then, in log likelihood; 0 where the share is.
        error: Standard error of the gain.
    """

    share: float
    gain: float
    error: float


def worth(facts: Facts, events: npt.NDArray[np.int64], base: Floats, further: Floats) -> Worth:
    """Measure how much of `further` to add to `base` so that later likes are met best inside sessions.

    Args:
        facts: Events.
        events: int64 (n,). Rows of impressions that neither score was made from.
        base: float64 (n,). Log-odds.
        further: float64 (n,). Log-odds to be added, such as what trees say.
    """
    session, _ = positions(facts.user[events], facts.time[events])
    chance = 1 / (1 + np.exp(-base))
    noise = np.sqrt(chance * (1 - chance))
    rows = np.column_stack([further * noise, (facts.target[events] - chance) / noise])
    centred = _centred(rows, session)
    square, product = float(centred[:, 0] @ centred[:, 0]), float(centred[:, 0] @ centred[:, 1])
    if square <= 0 or product / np.sqrt(square) < LEAST_Z:
        return Worth(0.0, 0.0, 0.0)
    share = min(product / (square + 1 / PRIOR_SD**2), 1.0)
    return Worth(share, share * product - share**2 * square / 2, share * float(np.sqrt(square)))


def _fit(found: Evidence, weights: Floats) -> float:
    return float(weights @ found.product - weights @ found.square @ weights / 2)


def _centred(columns: Floats, session: npt.NDArray[np.int64]) -> Floats:
    size = np.maximum(np.bincount(session), 1)
    means = [np.bincount(session, column) / size for column in columns.T]
    return np.asarray(columns - np.column_stack(means)[session], np.float64)
