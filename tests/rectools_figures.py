"""Run where RecTools is installed: lists as JSON on stdin, its figures of them as JSON on stdout."""

import json
import sys
from collections.abc import Callable
from typing import Any


def figures(given: dict[str, Any]) -> dict[str, Any]:
    """Return RecTools' figures: metrics of order per user and cut-off, the others per user or in all.

    Args:
        given: `lists`, `relevant` and `shown` as [user, post] rows, lists in order; `cuts`; `k`; `n_posts`;
            `space`, a row of numbers a post.
    """
    import numpy as np
    import pandas as pd
    from rectools import Columns, metrics  # type: ignore[import-not-found] # it lives in .rectools
    from rectools.metrics.distances import PairwiseDistanceCalculator  # type: ignore[import-not-found]

    class Cosine(PairwiseDistanceCalculator):  # type: ignore[misc] # its base has no types here
        """The distance that the lists' diversity is measured by; RecTools brings Hamming's only."""

        def _get_distances_for_item_pairs(self, items_0: Any, items_1: Any) -> Any:
            space = np.asarray(given["space"])
            space = space / np.linalg.norm(space, axis=1, keepdims=True)
            return 1 - (space[np.asarray(items_0)] * space[np.asarray(items_1)]).sum(axis=1)

    lists, relevant, shown = (
        pd.DataFrame(given[name], columns=[Columns.User, Columns.Item])
        for name in ("lists", "relevant", "shown")
    )
    lists[Columns.Rank] = lists.groupby(Columns.User).cumcount() + 1
    k = given["k"]
    of_order: dict[str, Callable[[int], Any]] = {
        "hitrate": lambda k: metrics.HitRate(k),
        "recall": lambda k: metrics.Recall(k),
        "precision": lambda k: metrics.Precision(k),
        "ndcg": lambda k: metrics.NDCG(k),
        "ndcg_achievable": lambda k: metrics.NDCG(k, divide_by_achievable=True),
        "map": lambda k: metrics.MAP(k),
        "mrr": lambda k: metrics.MRR(k),
    }
    order = {
        f"{name}_at_{cut}": metric(cut).calc_per_user(lists, relevant).sort_index().tolist()
        for name, metric in of_order.items()
        for cut in given["cuts"]
    }
    made_of = {
        "novelty": metrics.MeanInvUserFreq(k).calc_per_user(lists, shown).sort_index().tolist(),
        "popularity": metrics.AvgRecPopularity(k, normalize=True)
        .calc_per_user(lists, shown)
        .sort_index()
        .tolist(),
        "diversity": metrics.IntraListDiversity(k, Cosine()).calc_per_user(lists).sort_index().tolist(),
    }
    coverage = metrics.CatalogCoverage(k, normalize=True).calc(lists, range(given["n_posts"]))
    return {"order": order, "made_of": made_of, "coverage": float(coverage)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(json.load(sys.stdin))))
