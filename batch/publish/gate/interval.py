"""A hit rate, the difference of two, and how sure they are."""

from math import hypot

from scipy.stats import binomtest


def difference(a: float, n_a: float, b: float, n_b: float, confidence: float) -> tuple[float, float]:
    """Return the interval of `a - b`, taken as independent: wider than the truth where sessions are shared.

    Args:
        a: A hit rate, 0..1.
        n_a: The sessions that it was measured on; 0 says nothing of it.
        b: Another one.
        n_b: Its sessions.
        confidence: Probability that the interval holds the difference, such as 0.99.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.

    >>> [round(end, 3) for end in difference(0.56, 100, 0.48, 100, 0.95)]
    [-0.058, 0.213]
    """
    low_a, high_a = wilson(a, n_a, confidence)
    low_b, high_b = wilson(b, n_b, confidence)
    return a - b - hypot(a - low_a, high_b - b), a - b + hypot(high_a - a, b - low_b)


def wilson(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the interval of a rate, 0..1, that was measured `n` times; 0 to 1 where it never was.

    Source: Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
    """
    if n < 1:
        return 0.0, 1.0
    interval = binomtest(round(rate * n), round(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
