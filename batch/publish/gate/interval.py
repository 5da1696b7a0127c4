"""The difference of two hit rates and how sure it is."""

from math import sqrt


def wilson(rate: float, n: float, z: float) -> tuple[float, float]:
    """Return the interval of a proportion `rate` seen in `n` sessions, `z` standard errors wide.

    Source: Wilson, Journal of the American Statistical Association 22 (1927), 209-212.

    >>> [round(end, 3) for end in wilson(0.5, 100, 1.96)]
    [0.404, 0.596]
    """
    if n <= 0:
        return 0.0, 1.0
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def difference(a: float, n_a: float, b: float, n_b: float, z: float) -> tuple[float, float]:
    """Return the interval of `a - b`, taken as independent: wider than the truth where sessions are shared.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.

    >>> [round(end, 3) for end in difference(0.56, 100, 0.48, 100, 1.96)]
    [-0.058, 0.213]
    """
    low_a, high_a = wilson(a, n_a, z)
    low_b, high_b = wilson(b, n_b, z)
    gap = a - b
    return gap - sqrt((a - low_a) ** 2 + (high_b - b) ** 2), gap + sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
