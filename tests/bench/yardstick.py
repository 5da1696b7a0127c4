"""The public yardstick at growing size: made folders in MovieLens-20M's form, through the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.yardsticks import take, write_movielens

FULL = (20_000_263, 138_493, 26_744)  # ratings, users and films of MovieLens-20M
DAYS = 7 * 365  # of ratings; MovieLens' twenty years have fewer in a week


def run(sizes: list[int], peers: str, folds: int) -> Iterator[dict[str, object]]:
    """Yield what `almanac compare --protocol rectools-7d` takes at each number of ratings.

    Args:
        sizes: Ratings; users are as many in proportion, films too, but at least 2,000.
        peers: Names, with commas between.
        folds: Of a week.

    Raises:
        RuntimeError: The command failed.
    """
    for n_ratings in sizes:
        share = n_ratings / FULL[0]
        taken = take(int(n_ratings * 1.25), int(FULL[1] * share), max(2_000, int(FULL[2] * share)), DAYS)
        with TemporaryDirectory() as name:
            folder = write_movielens(Path(name), taken)
            yield {"n_ratings": len(taken.time), **_compare(folder, peers, folds)}


def _compare(folder: Path, peers: str, folds: int) -> dict[str, object]:
    """Return seconds, CPU seconds and peak memory of the command, and what it found."""
    command = [sys.executable, "-m", "batch", "compare", "--json", "--data", str(folder), "--peers", peers]
    command += ["--mapping", "movielens-20m", "--protocol", "rectools-7d", "--folds", str(folds)]
    environment = {**os.environ, "ALMANAC_STATE_DIR": str(folder / "state")}
    said, log = folder / "said", folder / "log"
    with said.open("w") as out, log.open("w") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise RuntimeError(f"the comparison failed: {log.read_text()[-500:]}")
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    found = lines[-1]
    figures = {
        f"{row['model']}_{row['metric']}": round(row["value"], 4)
        for row in found["results"]
        if row["segment"] == "all" and not row["against"]
        if row["metric"] in ("fit_s", "rank_s", "memory_mb")
        or (row["metric"], row["k"]) == ("ndcg_achievable", 10)
    }
    return {
        "n_lists": found["n_lists"],
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": max(line["peak_mb"] for line in lines if "peak_mb" in line),
        **found["seconds"],
        **figures,
    }
