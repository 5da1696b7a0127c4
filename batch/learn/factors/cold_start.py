"""Factors of a user of whom only the profile is known: what users with that profile have in common."""

import numpy as np

from batch.arrays import AnyInts, Floats


def shared_factors(x: Floats, y: Floats, group: AnyInts, n_groups: int) -> Floats:
    """Return each group's mean factors, shrunk to everybody's as far as groups differ by chance.

    Everybody's mean is what the estimates' own prior is: a user without a history has it.

    Args:
        x: float64 (users, k).
        y: float64 (posts, k). How much a factor matters is how far posts differ in it.
        group: int (users,). 0..groups-1; -1 is in none.
        n_groups: How many groups.

    Returns:
        float64 (groups, k).

    Source: the method of moments for one-way random effects, Searle, Casella and McCulloch, Variance
    Components, 1992, 69-78.
    """
    everybody = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
    inside = group >= 0
    members = np.bincount(group[inside], minlength=n_groups).astype(np.float64)
    sums = np.zeros((n_groups, x.shape[1]))
    np.add.at(sums, group[inside], x[inside] - everybody)
    means = sums / np.maximum(members, 1)[:, None]
    weight = _prior_strength(x[inside] - everybody, means, members, group[inside], y.std(axis=0))
    return np.asarray(everybody + means * (members / (members + weight))[:, None], np.float64)


def _prior_strength(own: Floats, means: Floats, members: Floats, group: AnyInts, scale: Floats) -> float:
    """Return how many users everybody's mean counts for beside a group's; infinite where groups are alike."""
    n, n_groups = members.sum(), int((members > 0).sum())
    if n_groups < 2 or n <= n_groups:
        return float("inf")
    within = float((((own - means[group]) * scale) ** 2).sum()) / (n - n_groups)
    average = (n - float((members**2).sum()) / n) / (n_groups - 1)
    centre = (members[:, None] * means).sum(axis=0) / n
    spread = float((members[:, None] * ((means - centre) * scale) ** 2).sum()) / (n_groups - 1)
    between = (spread - within) / average
    return within / between if between > 0 else float("inf")
