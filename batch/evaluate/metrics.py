"""Metrics of order: how early ranked posts hold what was liked, in sessions and in lists.

Every metric at a cut-off is a function of `Hits`, which come from scores of sessions' impressions or from
ranked lists of posts, so one formula serves both. Definitions are RecTools' with its own defaults, and a test
holds them equal (`make rectools`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.rows import find_rows
from batch.learn.sessions import pairs_won

CUTS = (1, 3, 5, 10, 15)
NO_POST = -1  # stands in a list where it has ended


@dataclass(frozen=True, slots=True)
class Hits:
    """Which places of ranked lists hold something relevant.

    Attributes:
        relevant: bool (lists, depth). Best place first; False past a list's end.
        n_relevant: int64 (lists,). All that is relevant to each, listed or not.
    """

    relevant: Bools
    n_relevant: Ints

    @classmethod
    def of_sessions(cls, session: Ints, scores: Floats, liked: Bools, depth: int) -> "Hits":
        """Rank each session's impressions by score; what was liked is relevant.

        Args:
            session: int64 (n,). Numbers 0..sessions-1 in any order; each occurs.
            scores: float64 (n,). Higher is better; ties go to the earlier row.
            liked: bool (n,).
            depth: Places to keep.
        """
        order = np.lexsort((-scores, session))
        sizes = np.bincount(session)
        place = np.arange(len(session)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept, relevant = place < depth, np.zeros((len(sizes), depth), np.bool_)
        relevant[session[order][kept], place[kept]] = liked[order][kept]
        return cls(relevant, np.bincount(session[liked], minlength=len(sizes)).astype(np.int64))

    @classmethod
    def of_lists(cls, lists: Ints, row: Ints, post: Ints) -> "Hits":
        """Look up ranked posts among the relevant ones.

        Args:
            lists: int64 (lists, depth). Posts, best first, different ones in a list; `NO_POST` past its end.
            row: int64 (n,). For each relevant post, the row in `lists` of whom it is relevant to.
            post: int64 (n,). The relevant posts, named as `lists` names them; repeated pairs count once.

        >>> Hits.of_lists(np.array([[7, 8], [9, -1]]), np.array([0, 0, 1]), np.array([8, 5, 9])).relevant
        array([[False,  True],
               [ True, False]])
        """
        names, number = np.unique(post, return_inverse=True)
        pairs = np.unique(row * len(names) + number)
        n_relevant = np.bincount(pairs // max(len(names), 1), minlength=len(lists)).astype(np.int64)
        at = find_rows(names, lists)
        keys = np.arange(len(lists))[:, None] * len(names) + at
        return cls((at >= 0) & (lists != NO_POST) & np.isin(keys, pairs), n_relevant)


def hitrate(hits: Hits, k: int) -> Floats:
    """Return for each list whether its first `k` hold something relevant, float64 (lists,), 1.0 or 0.0.

    Source: `HitRate` of RecTools.
    """
    return np.asarray(hits.relevant[:, :k].any(axis=1), np.float64)


def precision(hits: Hits, k: int) -> Floats:
    """Return the relevant among each list's first `k`, over `k` also where the list is shorter.

    Source: `Precision` of RecTools.
    """
    return np.asarray(hits.relevant[:, :k].sum(axis=1) / k, np.float64)


def recall(hits: Hits, k: int) -> Floats:
    """Return which share of all that is relevant stands among the first `k`; NaN where nothing is.

    Source: `Recall` of RecTools: over all that is relevant, also where that is more than `k`.
    """
    return divide(hits.relevant[:, :k].sum(axis=1), hits.n_relevant)


def ndcg(hits: Hits, k: int, *, achievable: bool = False) -> Floats:
    """Return the discounted gain of the first `k` over the ideal one; NaN where nothing is relevant.

    Args:
        hits: Lists.
        k: Cut-off.
        achievable: The ideal is what the list could reach, `min(k, relevant)` places, so that a perfect list
            has 1. Without it the ideal is `k` relevant places for everybody, which is RecTools' default.

    Source: Järvelin and Kekäläinen, ACM TOIS 20 (2002), 422-446; RecTools' `NDCG(divide_by_achievable=...)`.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = hits.relevant[:, :k] @ discount[: hits.relevant.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    best = ideal[np.minimum(hits.n_relevant, k)] if achievable else np.full(len(gain), ideal[k])
    return divide(gain, np.where(hits.n_relevant > 0, best, 0.0))


def average_precision(hits: Hits, k: int) -> Floats:
    """Return the precision at each relevant place of the first `k`, summed, over all that is relevant.

    So a list of `k` cannot reach 1 where more than `k` are relevant; NaN where nothing is. Its mean is MAP@k.

    Source: `MAP(divide_by_k=False)` of RecTools, its default.
    """
    relevant = hits.relevant[:, :k]
    at = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return divide((at * relevant).sum(axis=1), hits.n_relevant)


def reciprocal_rank(hits: Hits, k: int) -> Floats:
    """Return one over the first relevant place of the first `k`, 0 where none is; its mean is MRR@k.

    Source: Voorhees, TREC-8 question answering track, 1999; `MRR` of RecTools.
    """
    relevant = hits.relevant[:, :k]
    return np.where(relevant.any(axis=1), 1 / (relevant.argmax(axis=1) + 1), 0.0)


def partial_auc(hits: Hits, k: int) -> Floats:
    """Return the share of pairs in order of a relevant post and one of the first `k` others; NaN without any.

    All relevant posts count, and what the list does not hold stands behind: so it takes a list of `k` places
    and as many as are relevant to tell the whole.

    Source: `PartialAUC(insufficient_handling="ignore")` of RecTools, its default.
    """
    others = np.cumsum(~hits.relevant, axis=1)
    won = (np.maximum(k - others, 0) * hits.relevant).sum(axis=1)
    return divide(won, k * hits.n_relevant)


METRICS: dict[str, Callable[[Hits, int], Floats]] = {
    "hitrate": hitrate,
    "recall": recall,
    "precision": precision,
    "ndcg": ndcg,
    "ndcg_achievable": lambda hits, k: ndcg(hits, k, achievable=True),
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def auc(scores: Floats, liked: Bools) -> float:
    """Return the chance that a liked row outscores an unliked one, ties half; NaN without both kinds.

    Source: the Mann-Whitney statistic; Hanley and McNeil, Radiology 143 (1982), 29-36.
    """
    return float(auc_in_session(np.zeros(len(scores), np.int64), scores, liked))


def auc_in_session(session: Ints, scores: Floats, liked: Bools) -> float:
    """Return the AUC over pairs of one session only, each pair counted once; NaN where there is no pair.

    What a user's own rate or the hour explains cancels: only the order inside a session counts.
    """
    won, pairs = pairs_won(session, scores, liked)
    return float(won.sum() / pairs.sum()) if pairs.sum() else float("nan")


def divide(part: Floats | Ints, whole: Floats | Ints, otherwise: float = np.nan) -> Floats:
    """Divide, float64 of the parts' shape; `otherwise` where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), otherwise), where=np.greater(whole, 0))
