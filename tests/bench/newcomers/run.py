"""Worlds and rows, one after another, on one store; the figures."""

import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import stats

from batch.arrays import Floats
from batch.data.load import read_facts
from batch.settings import Settings
from tests.bench.newcomers.chosen import judge_rows
from tests.bench.newcomers.made import judge_world
from tests.bench.nights.house import FitStore

N_DRAWS = 1_000  # of lists, for intervals


def run(users: int, posts: int, seeds: int, data: str, mapping: str, cuts: int) -> dict[str, Any]:
    """Follow posts in so many worlds, and after so many cuts of the rows, and return NDCG@10 by hours.

    Of a world a list's gain is the discounted P(like) of its posts, over the best list's; intervals are
    Student's over worlds. Of rows what users took on the next day is relevant; intervals are over lists.

    Raises:
        AssertionError: What `follow` says, or a list is better than the truth's own.
    """
    begin, found = time.perf_counter(), dict[str, Any]()
    with TemporaryDirectory(prefix="almanac-newcomers-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        how = Settings(
            state_dir=folder, n_trees=50, bucket_width_s=3 * 3600, n_buckets=10, depth=100, profiles=0,
            similar=0, gate="off", mapping=mapping,
        )  # fmt: skip
        store = FitStore(folder / "store")
        client = store.start()
        try:
            if seeds:
                found["worlds"] = _follow_worlds(how, client, users, posts, seeds)
            if data:
                facts = read_facts(how.replace(prefix="rows"), data, lambda _n: None)
                found["rows"] = _follow_rows(how.replace(prefix="rows"), client, facts, cuts)
        finally:
            store.kill()
    return {**found, "seconds": round(time.perf_counter() - begin)}


def _follow_worlds(how: Settings, client: Any, users: int, posts: int, seeds: int) -> dict[str, Any]:
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(1, seeds + 1):
        for hours, gained in judge_world(how.replace(prefix=f"w{seed}"), client, users, posts, seed):
            for of, gains in gained.items():
                for name, gain in gains.items():
                    found[f"{of} {hours}h {name}"].append(gain / gains["oracle"])
        client.flushall()
    t = stats.t.ppf(0.975, seeds - 1) if seeds > 1 else np.nan
    return {
        name: _interval(np.array(of), t * np.std(of, ddof=1) / seeds**0.5 if seeds > 1 else np.nan)
        for name, of in found.items()
    }


def _follow_rows(how: Settings, client: Any, facts: Any, cuts: int) -> dict[str, Any]:
    found: dict[str, list[Floats]] = defaultdict(list)
    for hours, lists in judge_rows(how, client, facts, cuts):
        for of, ndcg in lists.items():
            for name, gains in ndcg.items():
                found[f"{of} {hours}h {name}"].append(gains)
                if name in ("refreshed", "anew"):
                    found[f"{of} {hours}h {name} ahead of as_run"].append(gains - ndcg["as_run"])
    rng = np.random.default_rng(0)
    out = {}
    for name, parts in found.items():
        every = np.concatenate(parts)
        drawn = (
            every[rng.integers(len(every), size=(N_DRAWS, len(every)))].mean(axis=1) if len(every) else every
        )
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(every) else (np.nan, np.nan)
        out[name] = {
            "value": round(float(every.mean()), 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "n_lists": len(every),
        }
    return out


def _interval(of: Floats, half: float) -> dict[str, float]:
    return {
        "value": round(float(of.mean()), 4),
        "low": round(float(of.mean() - half), 4),
        "high": round(float(of.mean() + half), 4),
    }
