"""Facts as files: Arrow columns without pickle, with a digest, for a run that goes on after one that died.

Columns are written from the arrays that are there, and mapped when they are read, private to the process: so
neither way takes the memory of a second copy.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa

from batch.data.facts import EVENT_COLUMNS, Facts, Report
from batch.data.ids import IdNames
from batch.data.mapped import MappedColumns, write_columns
from batch.data.retired import Retired
from batch.data.versions import PostVersions

ABOUT = "about.json"
_RETIRED = ("user", "post", "time")
Arrays = Mapping[str, npt.NDArray[Any]]


class FactsSpoilt(ValueError):
    """The files are not what was written."""


def write_facts(facts: Facts, folder: Path) -> str:
    """Write facts into a new folder, whole or not at all; return their digest, 64 hex digits.

    Raises:
        OSError: The disk has no room, or cannot be written; nothing stays.
        ValueError, TypeError: A cell of a profile is of a kind that no column of Arrow holds.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write_all(facts, part)
        digest = digest_of(part)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return digest


def read_facts(folder: Path, digest: str) -> Facts:
    """Read what `write_facts` wrote, once it is found to be that.

    Raises:
        FactsSpoilt: Files are missing or changed.
        OSError: They cannot be read.
    """
    if digest_of(folder) != digest:
        raise FactsSpoilt(f"the facts kept in {folder} are not those that were written")
    about = orjson.loads((folder / ABOUT).read_bytes())
    events = MappedColumns(_path(folder, "events"))
    retired, versions = _map(folder, "retired"), _map(folder, "versions")
    embeddings = _map(folder, "embeddings").get("value")
    columns: dict[str, Any] = events.columns  # by their names
    return Facts(
        users=_read_frame(folder, "users"),
        posts=_read_frame(folder, "posts"),
        embeddings=None if embeddings is None else embeddings.reshape(-1, about["dimensions"]),
        **columns,
        report=Report(**about["report"]),
        shown=about["shown"],
        user_names=_read_names(folder, "user_names", about["user_ids"]),
        post_names=_read_names(folder, "post_names", about["post_ids"]),
        post_came=_map(folder, "post_came").get("value"),
        retired=_retired(retired, about["n_retired"]) if retired else None,
        versions=PostVersions(versions["post"], versions["time"], _read_frame(folder, "versions_of_posts"))
        if versions
        else None,
        zone=about["zone"],
        kinds=about["kinds"],
        mapped=events,
    )


def columns_of(facts: Facts) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the events, by their names."""
    weight = {} if facts.weight is None else {"weight": facts.weight}
    return {name: getattr(facts, name) for name in EVENT_COLUMNS} | weight


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a folder's files, their names among them."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def _write_all(facts: Facts, folder: Path) -> None:
    if facts.mapped is not None and facts.mapped.path.is_file():
        os.link(facts.mapped.path, _path(folder, "events"))  # they lie in a file already
    else:
        write_columns(_path(folder, "events"), columns_of(facts))
    _write_frame(folder, "users", facts.users)
    _write_frame(folder, "posts", facts.posts)
    if facts.embeddings is not None:
        flat = np.ascontiguousarray(facts.embeddings).reshape(-1)
        write_columns(_path(folder, "embeddings"), {"value": flat})
    if facts.post_came is not None:
        write_columns(_path(folder, "post_came"), {"value": facts.post_came})
    for name, ids in (("user_names", facts.user_names), ("post_names", facts.post_names)):
        _write_table(folder, name, pa.record_batch({"code": ids.codes, "id": ids.texts}))
    if facts.retired is not None:
        columns = {name: getattr(facts.retired, name) for name in _RETIRED}
        own = {} if facts.retired.weight is None else {"weight": facts.retired.weight}
        write_columns(_path(folder, "retired"), {**columns, **own})
    if facts.versions is not None:
        write_columns(_path(folder, "versions"), {"post": facts.versions.post, "time": facts.versions.time})
        _write_frame(folder, "versions_of_posts", facts.versions.columns)
    about = {
        "dimensions": 0 if facts.embeddings is None else facts.embeddings.shape[1],
        "report": asdict(facts.report),
        "shown": facts.shown,
        "user_ids": facts.user_names.kind,
        "post_ids": facts.post_names.kind,
        "n_retired": 0 if facts.retired is None else facts.retired.n_posts,
        "zone": facts.zone,
        "kinds": facts.kinds,
    }
    (folder / ABOUT).write_bytes(orjson.dumps(about))


def _write_table(folder: Path, name: str, batch: pa.RecordBatch) -> None:
    with pa.OSFile(str(_path(folder, name)), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _map(folder: Path, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file of numbers, mapped; none where there is no such file."""
    path = _path(folder, name)
    return MappedColumns(path).columns if path.is_file() else {}


def _write_frame(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a table whose columns are numbers, or objects: texts, tuples of texts, None where missing."""
    columns = {}
    for key in frame.columns:
        values = frame[key].to_numpy()
        cells = [None if _is_missing(cell) else cell for cell in values] if values.dtype == object else values
        columns[key] = pa.array(cells)
    kinds = orjson.dumps({key: str(frame[key].dtype) for key in frame.columns})
    batch = pa.record_batch(columns)
    _write_table(folder, name, batch.replace_schema_metadata({"dtypes": kinds}))


def _read_frame(folder: Path, name: str) -> pd.DataFrame:
    with pa.OSFile(str(_path(folder, name)), "rb") as file:
        batch = pa.ipc.open_file(file).get_batch(0)
    kinds = orjson.loads(batch.schema.metadata[b"dtypes"])
    columns = {}
    for key, column in zip(batch.schema.names, batch.columns, strict=True):
        if kinds[key] != "object":
            columns[key] = pd.Series(np.array(column.to_numpy(zero_copy_only=False)), dtype=kinds[key])
            continue
        is_list = pa.types.is_list(column.type)
        cells = [tuple(cell) if is_list and cell is not None else cell for cell in column.to_pylist()]
        columns[key] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns)


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and np.isnan(cell))


def _read_names(folder: Path, name: str, kind: Any) -> IdNames:
    with pa.OSFile(str(_path(folder, name)), "rb") as file:
        batch = pa.ipc.open_file(file).get_batch(0)
    return IdNames(kind, np.array(batch.column("code")), batch.column("id"))


def _retired(columns: Arrays, n_posts: int) -> Retired:
    return Retired(columns["user"], columns["post"], columns["time"], columns.get("weight"), n_posts)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrow"
