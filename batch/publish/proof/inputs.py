"""What a generation's lists were computed from, kept beside them: model, sides, posts left out.

Parquet, JSON and LightGBM's text, no pickle: whoever doubts a list can compute it again with other tools.
At 163,205 users × 421 posts left out the whole takes 0.1 GB and a second to write (made values, 2026-11-22).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batch.arrays import AnyInts, Bools
from batch.data.ragged import starts
from batch.data.seen import SeenPosts
from batch.data.windows import FROM_S, TO_S, Windows
from batch.features.sides import Feature, Sides
from batch.learn.factors.factor_table import fingerprint
from batch.score.caps import Caps
from batch.score.predict import Dense

INPUTS = "inputs"  # the folder beside the Parquet shards, and the name of its checksum
ROWS = 8192  # users a row group: no more are laid out at a time
CAP = "max_per_topic"  # metadata of the posts, where their lists are capped
Columns = dict[str, npt.NDArray[Any]]
NAMES = ("model.txt", "features.json", "users.parquet", "posts.parquet", "times.parquet")


class InputsMissing(LookupError):
    """There are no inputs to score again by."""


class InputsBroken(InputsMissing):
    """The manifest names inputs, and the folder holds none, or others."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that scoring reads: the model's text, the sides, what lists leave out, and what else there is."""

    model: str
    sides: Sides
    left_out: SeenPosts
    dense: Dense | None = None
    caps: Caps | None = None
    windows: Windows | None = None

    @property
    def opened(self) -> Bools | None:
        """Return bool (buckets, posts): which are candidates; None: all, in every bucket."""
        return None if self.windows is None else self.windows.at(self.sides.starts)

    def save(self, folder: Path) -> str:
        """Write the five files of `NAMES`; return their digest, as `digest` gives it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(self.model)
        features = [asdict(feature) for feature in self.sides.features]
        (folder / "features.json").write_bytes(orjson.dumps(features, option=orjson.OPT_INDENT_2))
        self.save_users(folder / "users.parquet")
        posts: Columns = {"post_id": self.sides.post_ids, "group": self.sides.group, "post": self.sides.post}
        if self.dense is not None:
            posts["dense"] = self.dense[1]
        if self.caps is not None:
            posts["topic"] = self.caps.topic
        if self.windows is not None:
            posts |= {FROM_S: self.windows.from_s, TO_S: self.windows.to_s}
        table = _table(posts)
        if self.caps is not None:
            table = table.replace_schema_metadata({CAP: self.caps.text})
        _write(folder / "posts.parquet", iter([table]))
        _write(
            folder / "times.parquet", iter([_table({"start": self.sides.starts, "time": self.sides.time})])
        )
        return digest(folder)

    def save_users(self, path: Path) -> None:
        """Write the file of `NAMES` that holds what is a user's."""
        _write(path, self._users())

    def part(self, users: AnyInts, buckets: AnyInts | slice = slice(None)) -> "Inputs":
        """Return the inputs of some users and buckets, given by row number."""
        return Inputs(
            self.model,
            self.sides.part(users, buckets),
            self.left_out.of_users(users),
            None if self.dense is None else (self.dense[0][users], self.dense[1]),
            self.caps,
            self.windows,
        )

    def of_posts(self, posts: AnyInts) -> "Inputs":
        """Return the inputs of all users and some posts, given by row number, ascending; without caps."""
        return Inputs(
            self.model,
            self.sides.of_posts(posts),
            self.left_out.of_posts(posts),
            None if self.dense is None else (self.dense[0], self.dense[1][posts]),
            windows=None if self.windows is None else self.windows.of_posts(posts),
        )

    def _users(self) -> Iterator[pa.Table]:
        sides, n_users = self.sides, len(self.sides.user_ids)
        for low in range(0, max(n_users, 1), ROWS):
            part = slice(low, min(low + ROWS, n_users))
            ends = self.left_out.start[low : part.stop + 1]
            columns: Columns = {"user_id": sides.user_ids[part], "user": sides.user[part]}
            columns["user_group"] = sides.user_group[:, part].transpose(1, 0, 2).reshape(part.stop - low, -1)
            if self.dense is not None:
                columns["dense"] = self.dense[0][part]
            table = _table(columns)
            offsets = pa.array(ends - ends[0], pa.int32())
            posts = pa.array(self.left_out.post[ends[0] : ends[-1]], pa.int32())
            yield table.append_column("left_out", pa.ListArray.from_arrays(offsets, posts))


def load(folder: Path, users: AnyInts | None, sealed: str) -> Inputs:
    """Read the inputs of some users, or of all.

    Args:
        folder: Where `Inputs.save` wrote.
        users: Row numbers of users, ascending; None: all.
        sealed: The digest in the manifest.

    Returns:
        Inputs whose users are the given ones, in order.

    Raises:
        InputsBroken: They are not there, or are not what was sealed.
    """
    missing = [name for name in NAMES if not (folder / name).is_file()]
    if missing:
        raise InputsBroken(f"{folder} has no {', '.join(missing)}: nothing can be computed again from it")
    if digest(folder) != sealed:
        raise InputsBroken(f"the files in {folder} are not those that were sealed with the generation")
    features = tuple(Feature(**raw) for raw in orjson.loads((folder / "features.json").read_bytes()))
    chosen = _read_users(folder / "users.parquet", users).combine_chunks()
    posts = pq.read_table(folder / "posts.parquet")
    times = pq.read_table(folder / "times.parquet")
    n_cells = sum(feature.side == "user_group" for feature in features)
    n_groups = int(np.max(posts["group"].to_numpy(), initial=-1)) + 1
    cells = _matrix(chosen, "user_group", np.float32)
    cells = cells.reshape(len(chosen), n_cells, cells.shape[1] // n_cells if n_cells else n_groups)
    sides = Sides(
        features=features,
        user_ids=chosen["user_id"].to_numpy(),
        post_ids=posts["post_id"].to_numpy(),
        starts=times["start"].to_numpy(),
        user=_matrix(chosen, "user", np.float32),
        post=_matrix(posts, "post", np.float32),
        time=_matrix(times, "time", np.float32),
        user_group=np.ascontiguousarray(cells.transpose(1, 0, 2)),
        group=posts["group"].to_numpy().astype(np.int32),
    )
    lists = chosen["left_out"].combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    left_out = SeenPosts(starts(sizes), np.asarray(lists.flatten().to_numpy(), np.int32))
    dense = (
        (_matrix(chosen, "dense", np.float64), _matrix(posts, "dense", np.float64))
        if "dense" in posts.column_names
        else None
    )
    return Inputs(
        (folder / "model.txt").read_text(), sides, left_out, dense, _caps(posts), Windows.of_table(posts)
    )


def _read_users(path: Path, users: AnyInts | None) -> pa.Table:
    """Read the rows of some users, and no row groups but theirs; or of all."""
    with pq.ParquetFile(path) as file:
        if users is None:
            return file.read()
        sizes = np.array([file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)], np.int64)
        group = np.searchsorted(sizes.cumsum(), users, side="right")
        is_read = np.isin(np.arange(len(sizes)), group)
        skipped = (sizes * ~is_read).cumsum()  # rows before the end of each group that are not read
        return file.read_row_groups(np.flatnonzero(is_read).tolist()).take(pa.array(users - skipped[group]))


def _caps(posts: pa.Table) -> Caps | None:
    cap = (posts.schema.metadata or {}).get(CAP.encode())
    if cap is None:
        return None
    most, window = cap.decode().split("/")
    return Caps(int(most), int(window), posts["topic"].to_numpy())


def _unless_changed(read: Callable[[Path], str]) -> Callable[[Path], str]:
    """Return the same function, which reads a folder's files again only once one of them has changed."""
    again = lru_cache(maxsize=16)(lambda folder, _: read(folder))

    @wraps(read)
    def ask(folder: Path) -> str:
        found = [(folder / name).stat() for name in NAMES]
        return again(folder, tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found))

    return ask


@_unless_changed
def model_of(folder: Path) -> str:
    """Return the fingerprint of the model that lies there, trees and factors; read part by part."""
    posts = pq.read_table(folder / "posts.parquet")
    text = (folder / "model.txt").read_text()
    if "dense" not in posts.column_names:
        return fingerprint(text)
    file = pq.ParquetFile(folder / "users.parquet")
    groups = (file.read_row_group(number, ["dense"]) for number in range(file.num_row_groups))
    return fingerprint(
        text, (_matrix(group, "dense", np.float64) for group in groups), _matrix(posts, "dense", np.float64)
    )


@_unless_changed
def digest(folder: Path) -> str:
    """Digest the five files as hexadecimal text: BLAKE2b of 16 bytes over name, length and bytes of each."""
    found = blake2b(digest_size=16)
    for name in NAMES:
        path = folder / name
        found.update(f"{name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()


def open_side(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file of a side for writing: floats and row numbers have encodings of their own."""
    floats = [f"{name}.list.element" for name in ("user", "user_group", "post", "time", "dense")]
    encoding = {name: "BYTE_STREAM_SPLIT" for name in floats if name.split(".")[0] in schema.names}
    if "left_out" in schema.names:
        encoding["left_out.list.element"] = "DELTA_BINARY_PACKED"
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, column_encoding=encoding)


def _table(columns: Columns) -> pa.Table:
    """Return columns; a matrix becomes one column of lists of fixed length, or none if it has no column."""
    arrays = {}
    for name, values in columns.items():
        if values.ndim == 1:
            arrays[name] = pa.array(values)
        elif values.shape[1]:
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(arrays)


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with open_side(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _matrix(table: pa.Table, name: str, kind: type[np.floating[Any]]) -> npt.NDArray[Any]:
    if name not in table.column_names:
        return np.empty((len(table), 0), kind)
    column = table[name].combine_chunks()
    width = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), kind).reshape(len(table), width)
