"""Stacking: weights of the components that win inside the sessions of later days; what does not pay has 0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.learn.factors.components import Components
from batch.learn.factors.link import steepness
from batch.learn.factors.names import NAMES, OF_IMPRESSIONS
from batch.learn.sessions import positions

# The first three are shrunk estimates in like rate, so 1 is expected; of the order shown nothing is.
EXPECTED = np.array([1.0, 1.0, 1.0, *[0.0] * (len(NAMES) - 3)])
PRIOR_SD = 0.5  # of a weight around what is expected
LEAST_Z = 1.0  # standard errors above 0 from which a component pays
# Of impressions the posts' own effects always do, and chance lets one in six useless parts tell by one error.
LEAST_Z_SHOWN = np.array([0.0, *[2.5] * (len(NAMES) - 1)])
MOST_ROWS = 3_000_000  # sessions are thinned to about so many impressions a period


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """Least squares of later likes on the components, within sessions and in units of the likes' own noise.

    Attributes:
        square: float64 (components, components). Sum of products of the components.
        product: float64 (components,). Sum of products of components and likes.
    """

    square: Floats
    product: Floats

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        """Pool two periods."""
        return NormalEquations(self.square + other.square, self.product + other.product)


def collect_equations(
    facts: Facts, components: Components, end_s: int, rng: np.random.Generator
) -> NormalEquations:
    """Regress the likes between the components' time and `end_s`, that not included, on the components.

    What is the same for all posts of a session cancels: only the order inside sessions counts.
    """
    low, high = np.searchsorted(facts.time, [components.as_of_s + 1, end_s], side="left")
    events = low + np.flatnonzero(facts.views[low:high])
    if len(events) > MOST_ROWS:
        keep = rng.random(len(facts.users)) < MOST_ROWS / len(events)
        events = events[keep[facts.user[events]]]
    user = facts.user[events]
    session, _ = positions(user, facts.time[events])
    rate = components.rate[user]
    scores = steepness(rate)[:, None] * components.scores(user, facts.post[events])
    noise = np.sqrt(rate * (1 - rate))
    columns = np.column_stack([scores, facts.target[events]]) / noise[:, None]
    centred = centre(columns, session)
    square = centred.T @ centred
    return NormalEquations(square[:-1, :-1], square[:-1, -1])


def fit_weights(found: NormalEquations) -> Floats:
    """Return the components' weights, float64 (components,), at least 0; of the two kinds of taste one is 0.

    The taste factors fitted with the place in the session and those without it are tried in turn, each beside
    all other components; the likelier stays. The posts' own effects stay, popularity where nothing else is.
    """
    kinds = [[NAMES.index(k) for k in OF_IMPRESSIONS if k != other] for other in ("taste_placed", "taste")]
    tried = [solve_weights(found, EXPECTED, kind, LEAST_Z_SHOWN) for kind in kinds]
    return max(tried, key=lambda weights: _log_likelihood(found, weights))


def solve_weights(
    found: NormalEquations, expected: Floats, on: Sequence[int] | None = None, least_z: Floats | None = None
) -> Floats:
    """Return the weights of least squares, float64 (components,), at least 0, and 0 for what does not pay.

    Args:
        found: What was measured.
        expected: float64 (components,). Weights where nothing was.
        on: Numbers of the components that may have a weight; None for all.
        least_z: float64 (components,). Standard errors above 0 by which likes alone, without what is
            expected, must tell of each; None: `LEAST_Z`.
    """
    least_z = np.full(len(found.product), LEAST_Z) if least_z is None else least_z
    weights, left = np.zeros(len(found.product)), list(range(len(found.product)) if on is None else on)
    while left:
        square = found.square[np.ix_(left, left)] + np.eye(len(left)) / PRIOR_SD**2
        product = found.product[left] + expected[left] / PRIOR_SD**2
        root = np.linalg.cholesky(square)
        solved, _ = nnls(root.T, np.linalg.solve(root, product))
        told, _ = nnls(root.T, np.linalg.solve(root, found.product[left]))
        above = told / np.sqrt(np.diag(np.linalg.inv(square))) - least_z[left]
        if above.min() >= 0:
            weights[left] = solved
            break
        del left[int(above.argmin())]
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


def measure_worth(facts: Facts, events: Ints, base: Floats, further: Floats) -> Worth:
    """Measure how much of `further` to add to `base` so that later likes are met best inside sessions.

    Args:
        facts: Events.
        events: int64 (n,). Rows of impressions that neither score was made from.
        base: float64 (n,). Log-odds.
        further: float64 (n,). Log-odds to be added, such as what trees say.
    """
    square, product = measure_slope(facts, events, base, further)
    if square <= 0 or product / np.sqrt(square) < LEAST_Z:
        return Worth(0.0, 0.0, 0.0)
    share = min(product / (square + 1 / PRIOR_SD**2), 1.0)
    return Worth(share, share * product - share**2 * square / 2, share * float(np.sqrt(square)))


def measure_slope(facts: Facts, events: Ints, base: Floats, further: Floats) -> tuple[float, float]:
    """Return the information on a weight of `further` inside sessions, and the likelihood's slope at 0.

    The slope over the root of the information is how many standard errors later likes are from asking for
    none; arguments as of `measure_worth`.

    Source: Rao's score test.
    """
    session, _ = positions(facts.user[events], facts.time[events])
    chance = 1 / (1 + np.exp(-base))
    noise = np.sqrt(chance * (1 - chance))
    rows = np.column_stack([further * noise, (facts.target[events] - chance) / noise])
    centred = centre(rows, session)
    return float(centred[:, 0] @ centred[:, 0]), float(centred[:, 0] @ centred[:, 1])


def _log_likelihood(found: NormalEquations, weights: Floats) -> float:
    return float(weights @ found.product - weights @ found.square @ weights / 2)


def centre(columns: Floats, session: Ints) -> Floats:
    """Return float64 (rows, columns) less the means of each row's session."""
    size = np.maximum(np.bincount(session), 1)
    means = [np.bincount(session, column) / size for column in columns.T]
    return np.asarray(columns - np.column_stack(means)[session], np.float64)
