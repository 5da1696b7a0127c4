"""How whole nights grow along one axis, posts or users: CPU seconds, minutes, memory, bytes of a user.

Few events and short texts, packed lists. Each night's lists are held to LightGBM's own scores of all posts,
of a few users in two of the buckets.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.proof.verify import rescore
from tests.bench.night import command, environment, run_once

Axis = Literal["posts", "users"]
CHECKED, BUCKETS_CHECKED = 3, 2  # users, and buckets of each
WORDS = 60  # of a text, at most
_DRAWN = {"a night": "cpu_s"}, {"batch": "peak_mb", "store": "store_peak_mb"}


def run(axis: Axis, sizes: Sequence[int], other: int, days: int, folder: Path | None) -> dict[str, object]:
    """Run a cold night of each size, smallest first, and fit how CPU seconds grow.

    Args:
        axis: What grows.
        sizes: How many there are of it.
        other: Users, where posts grow; else posts.
        days: Days of the made feed; five posts seen a user in each.
        folder: Keeps the made facts for the next time; None: they are made and dropped.

    Returns:
        Of each size what it took. `exponent` is the slope of CPU seconds over sizes, both as logarithms, by
        least squares; `exponent_last` that between the two largest, where what each night takes weighs least.

    Raises:
        AssertionError: A list differs from what LightGBM's own scores make.
    """
    with TemporaryDirectory(prefix="almanac-growth-") as name:
        nights = [
            _measure(*((other, size) if axis == "posts" else (size, other)), days, folder or Path(name))
            for size in sorted(sizes)
        ]
    size, cpu_s = (np.log([night[of] for night in nights]) for of in (axis, "cpu_s"))
    grows = len(nights) > 1
    return {
        "axis": axis,
        "nights": nights,
        "exponent": round(float(np.polyfit(size, cpu_s, 1)[0]), 3) if grows else None,
        "exponent_last": round(float(np.diff(cpu_s)[-1] / np.diff(size)[-1]), 3) if grows else None,
        "load": os.getloadavg(),
    }


def plot(grown: Mapping[str, Any], file: Path) -> None:
    """Draw what `run` returned: CPU seconds and memory over sizes, all as logarithms.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; see `require_extra`.
    """
    from matplotlib.figure import Figure

    axis, nights = grown["axis"], grown["nights"]
    sizes = [night[axis] for night in nights]
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    for panel, name, of in zip(figure.subplots(1, 2), ("CPU seconds", "MB, at most"), _DRAWN, strict=True):
        for label, column in of.items():
            panel.loglog(sizes, [night[column] for night in nights], "o-", label=label)
        panel.set(xlabel=axis, ylabel=name)
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def _measure(users: int, posts: int, days: int, folder: Path) -> dict[str, Any]:
    facts = folder / f"facts_{users}_{posts}_{days}"
    with TemporaryDirectory(prefix="almanac-growth-") as name:
        state = Path(name)
        sizes = ["--users", f"{users}", "--posts", f"{posts}", "--days", f"{days}"]
        if not facts.exists():
            words = ["simulate", *sizes, "--most-words", f"{WORDS}", "--to", f"{facts}"]
            own = environment(f"{facts}", state)
            subprocess.run(command(*words), env=own, check=True, stdout=subprocess.DEVNULL)
        night = run_once(f"{facts}", state, {"ALMANAC_LAYOUT": "packed"})
        n_lists = _check(GenerationFolder.of(state / "generations", night.said["generation"]))
    figures = night.figures()
    return {
        "users": users,
        "posts": posts,
        "rows": night.said["rows_read"]["feed_data"],
        "minutes": round(night.seconds / 60, 2),
        "cpu_s": round(sum(night.cpu_s.values()), 1),
        "peak_mb": figures["peak_rss_mb"],
        "store_peak_mb": figures["store_peak_mb"],
        "bytes_per_user": night.bytes_taken // users,
        "stages": figures["stages"],
        "lists_checked": n_lists,
    }


def _check(folder: GenerationFolder) -> int:
    """Hold some lists to LightGBM's own scores of every post; return how many."""
    manifest = orjson.loads(folder.manifest.read_bytes())
    everything = pq.read_table(folder.inputs / "users.parquet", columns=["user_id"])["user_id"].to_numpy()
    users = np.unique(np.linspace(0, len(everything) - 1, CHECKED).astype(int))
    inputs = load(folder.inputs, users, manifest["checksums"][INPUTS])
    buckets = np.linspace(0, len(inputs.sides.starts) - 1, BUCKETS_CHECKED).astype(int)
    wanted = rescore(inputs.part(np.arange(len(users)), buckets), manifest["depth"])
    of_users = pc.field("user_id").isin(everything[users].tolist())
    found = pq.read_table(folder.lists(), filters=of_users).to_pylist()
    lists = {(row["user_id"], row["bucket"]): row["posts"] for row in found}
    for user, of_user in zip(everything[users].tolist(), wanted.tolist(), strict=True):
        for bucket, posts in zip(inputs.sides.starts[buckets].tolist(), of_user, strict=True):
            expected = [post for post in posts if post >= 0]
            assert lists[user, bucket] == expected, f"the list of user {user} at {bucket} is another"
    return len(users) * len(buckets)
