"""Metrics over sessions: did the five we would have put first hold a like."""

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]


def hitrate_at_k(
    session: npt.NDArray[np.int64], scores: Floats, liked: npt.NDArray[np.bool_], k: int
) -> Floats:
    """Return for each session whether its `k` best-scored impressions hold a like.

    Args:
        session: int64 (n,). Numbers 0..sessions-1 in any order; each occurs.
        scores: float64 (n,). Higher is better; ties go to the earlier row.
        liked: bool (n,).
        k: Cut-off; a shorter session counts whole.

    Returns:
        float64 (sessions,): 1.0 or 0.0.

    >>> hitrate_at_k(np.array([0, 0, 1]), np.array([1.0, 2.0, 1.0]), np.array([True, False, True]), 1)
    array([0., 1.])
    """
    order = np.lexsort((-scores, session))
    sizes = np.bincount(session)
    rank = np.arange(len(session)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.minimum(np.bincount(session[order], (rank < k) & liked[order], len(sizes)), 1.0)


def random_hitrate_at_k(session: npt.NDArray[np.int64], liked: npt.NDArray[np.bool_], k: int) -> Floats:
    """Return for each session the exact chance that `k` random impressions hold a like, float64 (sessions,).

    Of n impressions with l likes: 1 - C(n - l, k) / C(n, k); 1.0 where fewer than k are unliked.

    >>> random_hitrate_at_k(np.array([0, 0]), np.array([True, False]), 1)
    array([0.5])
    """
    n = np.bincount(session).astype(np.float64)
    rest = n - np.bincount(session, liked, len(n))
    k_of = np.minimum(k, n)
    some = rest >= k_of
    missed = np.zeros(len(n))
    missed[some] = np.exp(_log_choose(rest[some], k_of[some]) - _log_choose(n[some], k_of[some]))
    return 1.0 - missed


def auc(scores: Floats, liked: npt.NDArray[np.bool_]) -> float:
    """Return the chance that a liked row outscores an unliked one, ties half; NaN without both kinds.

    Source: the Mann-Whitney statistic; Hanley and McNeil, Radiology 143 (1982), 29-36.
    """
    return float(auc_in_session(np.zeros(len(scores), np.int64), scores, liked))


def auc_in_session(session: npt.NDArray[np.int64], scores: Floats, liked: npt.NDArray[np.bool_]) -> float:
    """Return the AUC over pairs of one session only, each pair counted once; NaN where there is no pair.

    What a user's own rate or the hour explains cancels: only the order inside a session counts.
    """
    won, pairs = pairs_won(session, scores, liked)
    return float(won.sum() / pairs.sum()) if pairs.sum() else float("nan")


def pairs_won(
    session: npt.NDArray[np.int64], scores: Floats, liked: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Count each session's pairs of a liked and an unliked row: those in order, and all of them.

    Args:
        session: int64 (n,). Numbers 0..sessions-1 in any order; each occurs.
        scores: float64 (n,). Higher is better; a tie is half a pair in order.
        liked: bool (n,).

    Returns:
        float64 (sessions,) each.

    >>> pairs_won(np.array([0, 0, 0]), np.array([3.0, 1.0, 2.0]), np.array([True, False, True]))
    (array([2.]), array([2.]))
    """
    ranks = np.empty(len(scores))
    order = np.lexsort((scores, session))
    new = np.ones(len(scores), np.bool_)
    new[1:] = (np.diff(session[order]) != 0) | (np.diff(scores[order]) != 0)
    tie = np.cumsum(new) - 1
    place = np.arange(len(scores), dtype=np.float64)
    ranks[order] = (np.bincount(tie, place) / np.bincount(tie))[tie]
    sizes = np.bincount(session)
    ranks -= (np.cumsum(sizes) - sizes)[session]
    likes = np.bincount(session, liked, len(sizes))
    won = np.bincount(session, ranks * liked, len(sizes)) - likes * (likes - 1) / 2
    return won, likes * (sizes - likes)


def _log_choose(n: Floats, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), np.float64)
