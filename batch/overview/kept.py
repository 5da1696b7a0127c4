"""Overviews as files beside the runs' record, one a run; and each post's counts, of the newest run."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from batch.data.columns import USER_ID
from batch.data.facts import Facts
from batch.data.validation.rejects import names_one
from batch.overview.counts import LIKES, VIEWS, EventCounts

POSTS = "posts.arrow"  # in the runs' folder
SAMPLES = 3  # rejected rows of a reason
CUT = 120  # characters of a value of such a row
_KEPT_WHOLE = USER_ID  # by which a forgotten user is found


def write_overview(path: Path, overview: dict[str, Any]) -> None:
    """Write an overview whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(overview, option=orjson.OPT_SERIALIZE_NUMPY))
    part.replace(path)


def read_overview(path: Path) -> dict[str, Any] | None:
    """Return an overview; None where the run has left none."""
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found


def write_post_counts(folder: Path, facts: Facts, counts: EventCounts) -> None:
    """Write how many views and likes each post has, in the place of what an earlier run wrote."""
    ids = pa.array(facts.post_names.canonical(facts.post_ids), pa.string())
    columns = (ids, pa.array(counts.by_post[:, VIEWS]), pa.array(counts.by_post[:, LIKES]))
    batch = pa.record_batch(list(columns), names=["id", "views", "likes"])
    part = folder / f"{POSTS}.part"
    with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    part.replace(folder / POSTS)


def read_views(folder: Path, posts: Iterable[str]) -> dict[str, int]:
    """Return how many views posts have, by canonical ids; who has none, or came later, is left out."""
    if not (folder / POSTS).is_file():
        return {}
    with pa.memory_map(str(folder / POSTS)) as file:
        batch = pa.ipc.open_file(file).get_batch(0)
        some = batch.filter(pc.is_in(batch.column("id"), value_set=pa.array(list(posts), pa.string())))
        return dict(zip(some.column("id").to_pylist(), some.column("views").to_pylist(), strict=True))


def read_samples(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return of each reason the first rejected rows of a file, `table` and `row`, long values cut."""
    found: dict[str, list[dict[str, Any]]] = {}
    if not path.is_file():
        return found
    with path.open("rb") as file:
        for line in file:
            told = orjson.loads(line)
            some = found.setdefault(told["reason"], []) if "reason" in told else [{}] * SAMPLES
            if len(some) < SAMPLES:
                some.append({"table": told["table"], "row": _cut_row(told["row"])})
    return found


def forget_in_overviews(folder: Path, is_gone: Callable[[str], bool]) -> int:
    """Take a user out of all overviews: who is far outside, and rejected rows; return how many changed."""
    n_changed = 0
    for path in folder.glob("*.json"):
        overview = orjson.loads(path.read_bytes())
        before = orjson.dumps(overview)
        for spread in (*overview["users"].values(), *overview["kinds"]):
            spread["far"] = [one for one in spread.get("far", ()) if not is_gone(str(one["id"]))]
        for reason in overview["rejects"]:
            reason["samples"] = [row for row in reason["samples"] if not _may_name(row, is_gone)]
        if orjson.dumps(overview) != before:
            write_overview(path, overview)
            n_changed += 1
    return n_changed


def _may_name(sample: dict[str, Any], is_gone: Callable[[str], bool]) -> bool:
    """Say whether a rejected row names the user, or may, since its line was cut."""
    return names_one(sample, is_gone) or str(sample["row"].get("line", "")).endswith("…")


def _cut_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if name == _KEPT_WHOLE else _cut(value) for name, value in list(row.items())[:8]}


def _cut(value: Any) -> Any:
    text = str(value)
    return value if value is None or len(text) <= CUT else f"{text[: CUT - 1]}…"
