"""How whole nights grow along one axis, posts or users: CPU seconds, minutes, memory, bytes of a user.

Few events and short texts, packed lists. Each night's lists are held to LightGBM's own scores of all posts,
of a few users in two of the buckets.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.publish.capacity import GIB, RATES, Load, Machine, find_capacity
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.proof.verify import rescore
from tests.bench.night import command, environment, run_once

Axis = Literal["posts", "users"]
CHECKED, BUCKETS_CHECKED = 3, 2  # users, and buckets of each
COUNTED = 1000  # users of whom it is counted how many of their lists differ
WORDS = 60  # of a text, at most
JSON_BYTES = 40  # of a post as it is answered, beside its text
_DRAWN = {"a night": "cpu_s"}, {"batch": "peak_gb", "store": "store_peak_gb"}


def run(axis: Axis, sizes: Sequence[int], other: int, days: int, folder: Path | None) -> dict[str, object]:
    """Run a cold night of each size, smallest first, and fit how CPU seconds grow.

    Args:
        axis: What grows.
        sizes: How many there are of it.
        other: Users, where posts grow; else posts.
        days: Days of the made feed; five posts seen a user in each.
        folder: Keeps the made facts for the next time; None: they are made and dropped.

    Returns:
        Of each size what it took, and by which share `almanac capacity` foresees more. `exponent` is the
        slope of CPU seconds over sizes, both as logarithms, by least squares; `exponent_last` that between
        the two largest, where what each night takes weighs least.

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
    from matplotlib.ticker import LogLocator, NullLocator

    axis, nights = grown["axis"], grown["nights"]
    sizes = [night[axis] for night in nights]
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    for panel, name, of in zip(figure.subplots(1, 2), ("CPU seconds", "GiB, at most"), _DRAWN, strict=True):
        for label, column in of.items():
            panel.loglog(sizes, [night[column] for night in nights], "o-", label=label)
        panel.set(xlabel=axis, ylabel=name)
        panel.xaxis.set(major_formatter="{x:,.0f}", minor_locator=NullLocator())
        steps = LogLocator(subs=(1, 2, 5))
        panel.yaxis.set(major_locator=steps, major_formatter="{x:g}", minor_locator=NullLocator())
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
        made = GenerationFolder.of(state / "generations", night.said["generation"])
        n_lists, distinct = _check(made), _count_distinct(made)
    figures, rows = night.figures(), night.said["rows_read"]["feed_data"]
    texts = pq.read_table(facts / "post_text_df.parquet", columns=["text"])["text"]
    mean_bytes = round(pc.mean(pc.binary_length(texts)).as_py()) + JSON_BYTES
    sized: dict[str, Any] = {
        "days": days,
        "text_bytes": mean_bytes,
        "kept": 0,
        "layout": "packed",
        "distinct": distinct,
    }
    foreseen = find_capacity(Load(users, posts, rows / days, 0, **sized), Machine())
    took = {
        "cpu_s": (sum(night.cpu_s.values()), foreseen.night_cpu_s),
        "peak_gb": (night.batch.peak_mb / 1024, foreseen.night_peak_gb),
        "store_gb": (night.bytes_taken / GIB, foreseen.store_gb - RATES.server_gb),
    }
    return {
        "users": users,
        "posts": posts,
        "rows": rows,
        "minutes": round(night.seconds / 60, 2),
        **{name: round(value, 3) for name, (value, _) in took.items()},
        **{f"{name}_foreseen": round(told / value - 1, 3) for name, (value, told) in took.items()},
        "store_peak_gb": round(night.store.peak_held_mb / 1024, 3),
        "distinct": round(distinct, 2),
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


def _count_distinct(folder: GenerationFolder) -> float:
    """Return how many of a user's lists differ from the bucket before, the mean over the first users."""
    some = pq.read_table(folder.inputs / "users.parquet", columns=["user_id"])["user_id"][:COUNTED]
    rows = pq.read_table(folder.lists(), filters=pc.field("user_id").isin(some)).sort_by(
        [("user_id", "ascending"), ("bucket", "ascending")]
    )
    pairs = list(zip(rows["user_id"].to_pylist(), rows["posts"].to_pylist(), strict=True))
    return 1 / len(some) * (1 + sum(before != after for before, after in pairwise(pairs)))
