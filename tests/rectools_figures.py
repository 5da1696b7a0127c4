"""Run where RecTools is installed: lists as JSON on stdin, its figures of them as JSON on stdout."""

import json
import sys
from collections.abc import Callable
from typing import Any


def figures(given: dict[str, Any]) -> dict[str, Any]:
    """Return RecTools' figures: `per_user` by metric and cut-off, in order of users; `coverage` by cut-off.

    Args:
        given: `lists`, `relevant` and `shown` as [user, post] rows, lists in order; `cuts`; `n_posts`;
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
    catalog = range(given["n_posts"])
    per_user: dict[str, Callable[[int], Any]] = {
        "hitrate": lambda k: metrics.HitRate(k).calc_per_user(lists, relevant),
        "recall": lambda k: metrics.Recall(k).calc_per_user(lists, relevant),
        "precision": lambda k: metrics.Precision(k).calc_per_user(lists, relevant),
        "ndcg": lambda k: metrics.NDCG(k).calc_per_user(lists, relevant),
        "ndcg_achievable": lambda k: metrics.NDCG(k, divide_by_achievable=True).calc_per_user(
            lists, relevant
        ),
        "map": lambda k: metrics.MAP(k).calc_per_user(lists, relevant),
        "mrr": lambda k: metrics.MRR(k).calc_per_user(lists, relevant),
        "auc": lambda k: metrics.PartialAUC(k).calc_per_user(lists, relevant),
        "novelty": lambda k: metrics.MeanInvUserFreq(k).calc_per_user(lists, shown),
        "popularity": lambda k: metrics.AvgRecPopularity(k, normalize=True).calc_per_user(lists, shown),
        "diversity": lambda k: metrics.IntraListDiversity(k, Cosine()).calc_per_user(lists),
        "serendipity": lambda k: metrics.Serendipity(k).calc_per_user(lists, relevant, shown, catalog),
    }
    cuts = given["cuts"]
    found = {
        f"{name}_at_{k}": metric(k).sort_index().tolist() for name, metric in per_user.items() for k in cuts
    }
    coverage = {str(k): float(metrics.CatalogCoverage(k, normalize=True).calc(lists, catalog)) for k in cuts}
    return {"per_user": found, "coverage": coverage}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(json.load(sys.stdin))))
