"""A small set of rows in StartML's schema, ways to put them somewhere, and what reading them must give."""

from collections.abc import Mapping as Map
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.validation.rejects import Limits
from batch.settings import Settings

NOW_S = 1_700_000_000
TEXT = 'Shares fell, "again".\n\nThe second line, с кириллицей.'


def tables() -> dict[str, pa.Table]:
    """Give four tables; user 7 has no profile, post 30 no text and no embedding, post 40 no event."""
    return {
        "user_data": pa.table(
            {
                "user_id": [5, 3, 9],
                "gender": [1, None, 0],
                "age": [34, 17, 80],
                "city": ["Moscow", None, "Kyiv"],
                "score": [0.5, None, -2.25],
            }
        ),
        "post_text_df": pa.table(
            {
                "post_id": [40, 10, 30, 20],
                "topic": ["covid", "sport", "movie", "covid"],
                "text": ["forty", TEXT, None, "twenty"],
            }
        ),
        "post_embeddings": pa.table(
            {
                "post_id": [10, 20, 40],
                "e0": pa.array([0.5, 1.0, -1.5], pa.float32()),
                "e1": pa.array([2.0, None, 3.0], pa.float32()),
            }
        ),
        "feed_data": feed(
            ["2021-10-01 10:00:02", 5, 20, "like", 0],
            ["2021-10-01 10:00:00", 5, 20, "view", 1],
            ["2021-10-01 10:00:00", 3, 10, "view", 0],
            ["2021-10-01 10:00:00", 3, 30, "view", 0],
            ["2021-10-02 00:00:00", 7, 10, "view", 0],
        ),
    }


def feed(*rows: list[Any]) -> pa.Table:
    """Give a feed table out of rows of timestamp, user_id, post_id, action, target; times as ISO text."""
    columns = list(zip(*rows, strict=True))
    return pa.table(
        {
            "timestamp": pa.array(columns[0]).cast(pa.timestamp("us")),
            "user_id": pa.array(columns[1], pa.int64()),
            "post_id": pa.array(columns[2], pa.int64()),
            "action": pa.array(columns[3], pa.string()),
            "target": pa.array(columns[4], pa.int8()),
        }
    )


def parquet(folder: Path, rows: Map[str, pa.Table]) -> str:
    """Write Parquet files and give their folder."""
    folder.mkdir(exist_ok=True)
    for name, table in rows.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return str(folder)


def csv(folder: Path, rows: Map[str, pa.Table], suffix: str = "csv") -> str:
    """Write CSV files and give their folder; `suffix` csv.gz compresses them."""
    folder.mkdir(exist_ok=True)
    for name, table in rows.items():
        compression = "gzip" if suffix.endswith("gz") else None
        with pa.output_stream(folder / f"{name}.{suffix}", compression=compression) as out:
            pa_csv.write_csv(table, out)
    return str(folder)


def read_all(
    location: str, folder: Path, *, mapping: Mapping | None = None, share: float = 1.0, now_s: int = NOW_S
) -> Facts:
    """Read with the defaults of these tests; rejects go to `folder`/rejects.jsonl."""
    return read(
        location,
        mapping=mapping or Mapping(),
        rejects=folder / "rejects.jsonl",
        limits=Limits.of(Settings(max_rejected_share=share)),
        now_s=now_s,
    )


def assert_equal_facts(left: Facts, right: Facts) -> None:
    """Compare values and types of everything but the report."""
    pd.testing.assert_frame_equal(left.users, right.users)
    pd.testing.assert_frame_equal(left.posts, right.posts)
    assert left.user_names.as_json(left.user_ids) == right.user_names.as_json(right.user_ids)
    assert left.post_names.as_json(left.post_ids) == right.post_names.as_json(right.post_ids)
    for name in ("user", "post", "time", "action", "target", "embeddings"):
        mine, other = getattr(left, name), getattr(right, name)
        if mine is None or other is None:
            assert mine is other, name
        else:
            assert mine.dtype == other.dtype, name
            np.testing.assert_array_equal(mine, other, err_msg=name)
