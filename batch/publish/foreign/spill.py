"""Rows on disk while they are sorted: written as they come, cut by ranges of users, read range by range."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROW = np.dtype(
    [
        ("user", np.int32),
        ("post", np.int32),
        ("from_s", np.int64),
        ("order", np.float64),
        ("score", np.float64),
    ]
)
PART_ROWS = 1_000_000  # sorted at a time: 32 MB, and three times that while they are
READ_ROWS = 1 << 18
Table = npt.NDArray[np.void]  # of ROW


def as_table(columns: dict[str, npt.NDArray[Any]], n: int) -> Table:
    """Return columns of equal length as rows."""
    table = np.empty(n, ROW)
    for name, values in columns.items():
        table[name] = values
    return table


class Spill:
    """A file of rows in a folder that somebody else makes and removes."""

    def __init__(self, path: Path) -> None:
        """Begin with no row."""
        self.path = path
        self.n_rows = 0
        path.write_bytes(b"")

    def add(self, table: Table) -> None:
        """Write rows behind those that are there."""
        with self.path.open("ab") as file:
            table.tofile(file)
        self.n_rows += len(table)

    def read(self) -> Table:
        """Return all rows."""
        return np.fromfile(self.path, ROW)

    def chunks(self) -> Iterator[Table]:
        """Yield the rows in order, some at a time."""
        with self.path.open("rb") as file:
            while len(table := np.fromfile(file, ROW, READ_ROWS)):
                yield table


def cut(
    spill: Spill, ends: Sequence[int], users: npt.NDArray[np.int32], posts: npt.NDArray[np.int32]
) -> list[Spill]:
    """Cut rows by ranges of users, with users and posts numbered anew; the rows of a range stay in order.

    Args:
        spill: The rows; its file is removed.
        ends: Where each range of users ends, ascending; the last one is the number of users.
        users: int32 (users,). The new number of each user; the rows of -1 are left out.
        posts: int32 (posts,). The new number of each post; -1 is one that is not known.
    """
    parts = [Spill(spill.path.with_name(f"part-{k:05d}")) for k in range(len(ends))]
    for table in spill.chunks():
        table["user"], table["post"] = users[table["user"]], posts[table["post"]]
        table = table[table["user"] >= 0]
        part = np.searchsorted(ends, table["user"], side="right")
        order = np.argsort(part, kind="stable")
        places = np.searchsorted(part[order], np.arange(len(ends) + 1))
        for k in range(len(ends)):
            if places[k] < places[k + 1]:
                parts[k].add(table[order[places[k] : places[k + 1]]])
    spill.path.unlink()
    return parts
