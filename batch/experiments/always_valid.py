"""An interval that holds at every look, however often and whenever somebody looks."""

import math

TUNED_FOR = 10_000  # users: where the interval is narrowest; fixed before the first look, never fitted to it


def always_valid(
    effect: float, error: float, n_users: int, alpha: float = 0.05, tuned_for: int = TUNED_FOR
) -> tuple[float, float, float]:
    """Return an interval of an asymptotic confidence sequence, and its p-value.

    Users come one after the other; an arm's mean of what they did converges to normal. Then, with
    probability 1 - alpha, the intervals of *all* looks hold the truth at once, from some first look on.

    Args:
        effect: A difference of the two arms.
        error: Its standard error at this look.
        n_users: Users of both arms at this look.
        alpha: How often any look may be wrong.
        tuned_for: Number of users at which the interval is narrowest, the same at each look.

    Returns:
        Lower and upper bound, and the smallest alpha whose interval leaves out 0.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central limit theory and
        asymptotic confidence sequences, Annals of Statistics 52(6): Theorem 2.2 with n · error² for the
        variance of their pseudo-outcomes of a randomised experiment, and the choice of rho in Appendix B.2.

    >>> low, high, p = always_valid(effect=1.0, error=0.25, n_users=10_000)
    >>> round(low, 3), round(high, 3), round(p, 4)
    (0.241, 1.759, 0.0025)
    """
    time = n_users * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tuned_for  # n · rho²
    half = error * math.sqrt((time + 1) / time * (math.log(time + 1) - 2 * math.log(alpha)))
    z = effect / error if error else math.nan
    p_value = math.sqrt(time + 1) * math.exp(-z * z * time / (2 * (time + 1)))
    return effect - half, effect + half, p_value if math.isnan(p_value) else min(p_value, 1.0)
