"""Odd tables: whatever their types, names and encodings, facts are read, or one sentence says why not."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.data.facts import Facts
from batch.features.asof import describe
from tests.data_rows import read_all

CHAOS = bool(os.environ.get("ALMANAC_CHAOS"))
REFUSED = 3  # the exit code of facts that cannot be read
TABLES = {
    "feed_data": ("timestamp", "user_id", "post_id", "action", "target"),
    "user_data": ("user_id", "age", "city"),
    "post_text_df": ("post_id", "text", "topic"),
    "post_embeddings": ("post_id", "e0", "e1"),
}

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
names = (
    st.sampled_from(["Возраст, лет", "a[b]", "index", "Unnamed: 0", '"', "age ", "topic", "user_id", ""])
    | words
)
values = {
    "ids": st.integers(0, 30)
    | st.integers(0, 30)
    | st.sampled_from(["7", "007", "7.0", " 8", "sku-1", 2**63, 1.5]),
    "times": st.integers(0, 10**6).map(lambda s: pd.Timestamp(1_640_000_000 + s, unit="s").isoformat())
    | st.integers(1_600_000_000, 1_640_000_000)
    | st.sampled_from(["29.12.2021", "20211229", 1.64e12, "now", "2021-12-29 10:00:00 UTC"]),
    "actions": st.sampled_from(["view", "view", "like", " View ", "LIKE", "buy"]),
    "targets": st.sampled_from([0, 1, "0", "yes", "True", 0.5, "NA", float("nan")]),
    "floats": st.floats(-9, 9),
    "others": words
    | st.floats()
    | st.booleans()
    | st.binary(max_size=4)
    | st.dates()
    | st.lists(st.integers(0, 9), max_size=3)
    | st.dictionaries(words, st.integers(0, 9), min_size=1, max_size=2),
}
FEW = ("action", "target", "age", "city", "text", "topic", "e0", "e1")  # may be missing
OF = {"timestamp": "times", "user_id": "ids", "post_id": "ids", "action": "actions", "target": "targets"}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, dict[str, list[Any]]]:
    """Draw a folder's tables: columns mostly as they should be, rarely missing, now and then odd."""
    found: dict[str, dict[str, list[Any]]] = {}
    for table, columns in TABLES.items():
        if table != "feed_data" and draw(st.booleans()):
            continue
        n = draw(st.integers(1, 12))
        extra = draw(st.lists(names, max_size=2))
        kept = [name for name in columns if name not in FEW or draw(st.integers(0, 3))]
        found[table] = {name: draw(_column(name, n)) for name in (*kept, *extra)}
    return found


def _column(name: str, n: int) -> st.SearchStrategy[list[Any]]:
    usual, odd = values[OF.get(name, "floats" if name in ("e0", "e1") else "others")], values["others"]
    gaps = st.none() | usual
    columns = [*6 * [usual], gaps, gaps | odd] if name in OF else [usual, gaps, odd]
    return st.sampled_from(columns).flatmap(lambda cell: st.lists(cell, min_size=n, max_size=n))


@st.composite
def folders(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw file names and their bytes: Parquet, or text with any usual separator and encoding."""
    files: dict[str, bytes] = {}
    for table, columns in draw(tables()).items():
        if draw(st.booleans()):
            kind, blob = "parquet", _parquet(columns)
        else:
            frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
            text = frame.to_csv(index=draw(st.booleans()), sep=draw(st.sampled_from(",;\t|")))
            kind, blob = (
                "csv",
                text.encode(
                    draw(st.sampled_from([*3 * ["utf-8"], "utf-8-sig", "utf-16", "cp1251"])), "replace"
                ),
            )
        files[f"{table}.{kind}"] = blob
    return files


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    arrays = {}
    for name, cells in columns.items():
        try:
            arrays[name] = pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several types: no column holds them
            arrays[name] = pa.array([None if cell is None else str(cell) for cell in cells])
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays), out)
    return bytes(out.getvalue())


def read_or_refuse(files: dict[str, bytes]) -> Facts | str:
    """Return the facts of a folder, or the sentence that refuses it."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name, blob in files.items():
            (folder / name).write_bytes(blob)
        try:
            return read_all(text, folder / "out", share=1.0)
        except ValueError as exc:
            if getattr(exc, "exit_code", None) != REFUSED:
                raise
            return str(exc).replace(text, "folder")


@given(files=folders())
@settings(
    max_examples=2000 if CHAOS else 120,
    deadline=None,
    derandomize=not CHAOS,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_odd_tables_are_read_or_refused_in_one_sentence(files: dict[str, bytes]) -> None:
    found = read_or_refuse(files)

    if isinstance(found, str):
        assert "\n" not in found
        assert any(table in found for table in TABLES) or "event rows" in found, found
        return
    assert (np.diff(found.time) >= 0).all()
    assert found.user.max(initial=-1) < len(found.users)
    assert found.post.max(initial=-1) < len(found.posts)
    if len(found.posts) and len(found.users):
        describe(found, seed=0)
