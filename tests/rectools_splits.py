"""Run where RecTools is installed: interactions as JSON on stdin, its folds of them as JSON on stdout."""

import json
import sys
from datetime import timedelta
from typing import Any


def folds(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return RecTools' folds in order: borders in epoch seconds, rows, and what its popular items count.

    Args:
        given: `rows` as [user, item, epoch seconds], in order of time; `days` of a fold; `n_folds`.
    """
    import pandas as pd
    from rectools import Columns  # type: ignore[import-not-found] # it lives in .rectools
    from rectools.dataset import Dataset, Interactions  # type: ignore[import-not-found]
    from rectools.model_selection import TimeRangeSplitter  # type: ignore[import-not-found]
    from rectools.models import PopularModel  # type: ignore[import-not-found]

    frame = pd.DataFrame(given["rows"], columns=[Columns.User, Columns.Item, Columns.Datetime])
    frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], unit="s")
    frame[Columns.Weight] = 1.0
    splitter = TimeRangeSplitter(f"{given['days']}D", n_splits=given["n_folds"])
    found = []
    for train, test, about in splitter.split(Interactions(frame)):
        dataset = Dataset.construct(frame.iloc[train])
        popular = PopularModel(period=timedelta(days=7)).fit(dataset)
        items, counts = popular.popularity_list
        names = dataset.item_id_map.convert_to_external(items).tolist()
        found.append(
            {
                "start_s": int(about["start"].timestamp()),
                "end_s": int(about["end"].timestamp()),
                "n_train": len(train),
                "test": frame.iloc[test][[Columns.User, Columns.Item]].to_numpy().tolist(),
                "popular": dict(zip(names, counts.tolist(), strict=True)),
            }
        )
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(folds(json.load(sys.stdin))))
