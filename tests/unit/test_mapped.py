"""Columns in a mapped file come back as they were, as often as they are released."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batch.data.mapped import MappedColumns, write_columns

COLUMNS = {
    "user": np.arange(100_000, dtype=np.int32),
    "time": np.arange(100_000, dtype=np.int64) << 20,
    "target": (np.arange(100_000) % 2).astype(np.int8),
}


def test_columns_come_back_with_their_types_although_the_file_is_gone(tmp_path: Path) -> None:
    write_columns(tmp_path / "events", COLUMNS)

    mapped = MappedColumns(tmp_path / "events")
    (tmp_path / "events").unlink()

    assert list(mapped.columns) == list(COLUMNS)
    for name, column in COLUMNS.items():
        assert mapped.columns[name].dtype == column.dtype
        assert np.array_equal(mapped.columns[name], column)


def test_released_columns_are_read_again_and_forget_what_was_written_into_them(tmp_path: Path) -> None:
    write_columns(tmp_path / "events", COLUMNS)
    mapped = MappedColumns(tmp_path / "events")
    mapped.columns["user"][:] = -1

    mapped.release()

    assert np.array_equal(mapped.columns["user"], COLUMNS["user"])
    assert np.array_equal(MappedColumns(tmp_path / "events").columns["user"], COLUMNS["user"])


def test_columns_without_a_row_are_columns_too(tmp_path: Path) -> None:
    write_columns(tmp_path / "events", {"user": np.empty(0, np.int32), "time": np.empty(0, np.int64)})

    mapped = MappedColumns(tmp_path / "events")

    assert [column.dtype for column in mapped.columns.values()] == [np.int32, np.int64]
    assert [len(column) for column in mapped.columns.values()] == [0, 0]


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    write_columns(tmp_path / "events", COLUMNS)
    whole = (tmp_path / "events").read_bytes()
    (tmp_path / "events").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(pa.ArrowInvalid):
        MappedColumns(tmp_path / "events")
