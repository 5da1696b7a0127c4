"""Choosing among what was learnt by what later periods say of it; one rule for parts, trees and floors.

The stack of all parts stands on many likes, a period's judges on few lists, so it takes a clear lead to put
a part alone, or the stack without one, in its place: over all periods, or in the last one, where something
has turned. Trees come on top and have to earn it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats

CLEAR_Z = 3.0  # standard errors by which something simpler must lead to be taken: a dozen are tried
ANY_Z = 1.0  # standard errors by which a part alone must be better than nothing
LEAST_JUDGED = 10  # lists or sessions; fewer say nothing

Gains = list[Floats]  # of each period what each list or session is worth, oldest first
Judged = Callable[[Floats], Gains]  # of weights, float64 (components,)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and between what.

    Attributes:
        weights: float64 (components,).
        compared: Name to the mean of each period; `stack` is all parts, `estimate` what was chosen.
    """

    weights: Floats
    compared: dict[str, list[float]]


def choose_weights(stacked: Floats, fitted: Sequence[int], names: Sequence[str], judged: Judged) -> Choice:
    """Return the weights of the stack, or of fewer of its parts where these rank later likes clearly better.

    Args:
        stacked: float64 (components,). Weights that all parts got together.
        fitted: Numbers of the components there are; those without a weight are tried alone.
        names: Of all components.
        judged: Judges weights on the periods.

    Returns:
        The weights; where the stack has none, those of the best part that is worth anything.
    """
    gains = {names[k]: judged(_alone(stacked, k)) for k in fitted}
    stack = judged(stacked)
    compared = {name: means(of) for name, of in {**gains, "stack": stack}.items()}
    alone = {names[k]: (_alone(stacked, k), gains[names[k]]) for k in fitted}
    weights, held = stacked, stack
    for _ in names:  # each turn takes something simpler; so many could only go round
        on = np.flatnonzero(weights).tolist()
        fewer = [_without(weights, k) for k in on] if len(on) > 1 else []
        tried = [*alone.values(), *((one, judged(one)) for one in fewer)]
        least_z = CLEAR_Z if len(on) else ANY_Z
        leads = [_lead(one, held) for _, one in tried]
        if not leads or max(leads) <= least_z:
            break
        weights, held = tried[int(np.argmax(leads))]
    return Choice(weights, {**compared, "estimate": means(held)})


def earned(with_it: Gains, without: Gains, least_z: float, last_z: float) -> float:
    """Return the mean gain of something further, 0 where it does not pay.

    Args:
        with_it: What lists or sessions are worth with it.
        without: And without.
        least_z: Standard errors above 0 from which the gain over all periods pays.
        last_z: Those of the gain in the last period: what has leaked into earlier rows, or has turned since,
            shows there.
    """
    gain = [one - other for one, other in zip(with_it, without, strict=True)]
    every = np.concatenate([np.empty(0), *gain])
    if len(every) < LEAST_JUDGED or not len(gain[-1]) or gain[-1].mean() < last_z * _error(gain[-1]):
        return 0.0
    gained = float(every.mean())
    return gained if gained > least_z * _error(every) else 0.0


def means(gains: Gains) -> list[float]:
    """Return the mean of each period; NaN of one without a list."""
    return [float(one.mean()) if len(one) else float("nan") for one in gains]


def _lead(gains: Gains, held: Gains) -> float:
    """Return by how many standard errors it leads, over all periods or in the last one."""
    ahead = [one - other for one, other in zip(gains, held, strict=True)]
    return max(_z(np.concatenate(ahead)), _z(ahead[-1]))


def _z(gain: Floats) -> float:
    error = _error(gain) if len(gain) >= LEAST_JUDGED else 0.0
    return float(gain.mean()) / error if error > 0 else 0.0


def _error(gain: Floats) -> float:
    """Return the standard error of the mean."""
    return float(gain.std(ddof=1)) / float(np.sqrt(len(gain))) if len(gain) > 1 else 0.0


def _alone(weights: Floats, k: int) -> Floats:
    found = np.zeros(len(weights))
    found[k] = weights[k] if weights[k] > 0 else 1.0
    return found


def _without(weights: Floats, k: int) -> Floats:
    return np.where(np.arange(len(weights)) == k, 0.0, weights)
