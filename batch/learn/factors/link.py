"""The link of biases and like rate, a softened sum: its slope, and the derivatives of likes, by a table."""

from typing import Any

import numba
import numpy as np

from batch.arrays import Floats

# Like rate below which biases multiply; .02-.04 were likeliest on the training rows of two made worlds, and
# beside tastes .02 ranked better than .03 and .01 in them, and better than .03 on the real rows.
SOFTNESS = 0.02
LOW, STEP, N_STEPS = -0.8, 1.25e-4, 16_384  # sums of biases, up to 1.248; a step is 1/160 of SOFTNESS
HESSIAN = 2  # its column in TABLE, after the gradients without and with a like


def steepness(rate: Floats) -> Floats:
    """Return how fast P(like) moves with the sum of biases where P(like) is `rate`, 0..1."""
    return np.asarray(-np.expm1(-rate / SOFTNESS), np.float64)


def _tabulate() -> Floats:
    """Return gradient without and with a like, and hessian, by sum of biases from LOW in steps of STEP."""
    x = (LOW + STEP * np.arange(N_STEPS)) / SOFTNESS
    p = np.clip(SOFTNESS * np.logaddexp(0.0, x), 1e-5, 0.97)
    steep = steepness(p)
    gain = steep / (p * (1.0 - p))
    return np.column_stack([-gain * p, gain * (1.0 - p), gain * steep])


TABLE = _tabulate()


@numba.njit(cache=True, inline="always")
def step_of(eta: Any) -> Any:
    """Return the row of the table for a sum of biases."""
    return min(max(int((eta - LOW) / STEP + 0.5), 0), N_STEPS - 1)
