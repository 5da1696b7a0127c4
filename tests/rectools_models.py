"""Run where RecTools is installed: likes and users as JSON on stdin, its models' lists as JSON on stdout."""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any


def make_models(seed: int) -> dict[str, Callable[[], Any]]:
    """Return RecTools' models by name, with usual settings or those of our own peers."""
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
    from rectools import models  # type: ignore[import-not-found] # it lives in .rectools

    return {
        "popular": lambda: models.PopularModel(),
        "item_knn_cosine": lambda: models.ImplicitItemKNNWrapperModel(CosineRecommender(K=100)),
        "item_knn_tfidf": lambda: models.ImplicitItemKNNWrapperModel(TFIDFRecommender(K=100)),
        "item_knn_bm25": lambda: models.ImplicitItemKNNWrapperModel(BM25Recommender(K=100)),
        "als": lambda: models.ImplicitALSWrapperModel(AlternatingLeastSquares(factors=64, random_state=seed)),
        "ease": lambda: models.EASEModel(regularization=500.0),
    }


def rank(given: dict[str, Any]) -> dict[str, Any]:
    """Return each model's lists of all posts, best first, and the seconds that it learnt and ranked.

    Args:
        given: `likes` as [user, post, epoch seconds] rows; `users` to ask for; `names` of models, empty for
            all; `seed`. Whom or what a model does not know gets what its popular one says.
    """
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset  # type: ignore[import-not-found]

    rows = pd.DataFrame(given["likes"], columns=[Columns.User, Columns.Item, Columns.Datetime])
    rows[Columns.Datetime] = pd.to_datetime(rows[Columns.Datetime], unit="s")
    rows[Columns.Weight] = 1.0
    data, popular = Dataset.construct(rows), rows[Columns.Item].value_counts().index.tolist()
    known = [user for user in given["users"] if user in set(rows[Columns.User])]
    out = {}
    for name, make in make_models(given["seed"]).items():
        if given["names"] and name not in given["names"]:
            continue
        began = time.perf_counter()
        model = make().fit(data)
        fitted = time.perf_counter()
        found = model.recommend(known, data, k=len(popular), filter_viewed=False)
        seconds = [fitted - began, time.perf_counter() - fitted]
        own = found.sort_values(Columns.Rank).groupby(Columns.User)[Columns.Item].apply(list).to_dict()
        lists = [[*own.get(user, []), *popular] for user in given["users"]]
        out[name] = {"lists": [list(dict.fromkeys(one)) for one in lists], "seconds": seconds}
    return out


if __name__ == "__main__":
    stdout, sys.stdout = sys.stdout, sys.stderr  # what is printed on the way is no answer
    warnings.simplefilter("ignore")
    answer = rank(json.load(sys.stdin))
    stdout.write(json.dumps(answer))
