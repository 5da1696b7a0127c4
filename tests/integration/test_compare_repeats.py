"""A comparison repeats to the byte, whatever the number of threads and the seed of hashes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from batch.data.write import write
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables

PEERS = "random,popular,item_knn_tfidf,user_knn,als,bpr,ease,embedding_affinity,two_stage"
COSTS = ("fit_s", "rank_s", "memory_mb")
WORLD = WorldConfig(90, 200, 3, "typed", start=date(2021, 10, 1), end=date(2021, 11, 12))


def compare(folder: Path, threads: int, *arguments: str) -> str:
    """Return what `almanac compare` printed in a process of its own, without costs."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    threads_of = dict.fromkeys((*pools, "ALMANAC_THREADS", "PYTHONHASHSEED"), str(threads))
    environment = {**os.environ, **threads_of, "ALMANAC_N_TREES": "8", "ALMANAC_STATE_DIR": str(folder)}
    command = [
        sys.executable,
        "-m",
        "batch",
        "compare",
        "--json",
        "--data",
        str(folder / "facts"),
        *arguments,
    ]
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    del found["seconds"]
    found["results"] = [row for row in found["results"] if row["metric"] not in COSTS]
    return json.dumps(found)


def of_impressions(_folder: Path) -> tuple[str, ...]:
    return ()


def of_choices(folder: Path) -> tuple[str, ...]:
    (folder / "choices.toml").write_text('shown = "choices"\n')
    return ("--unseen", "--cuts", "1", "--mapping", str(folder / "choices.toml"))


@pytest.mark.parametrize("prepare", [of_impressions, of_choices])
def test_a_comparison_repeats_to_the_byte(tmp_path: Path, prepare: Callable[[Path], tuple[str, ...]]) -> None:
    pytest.importorskip("implicit", reason="the extra `zoo` brings it; its threads could differ most")
    write(str(tmp_path / "facts"), tables(WORLD), replace=True)
    arguments = prepare(tmp_path)

    one, other = (compare(tmp_path, threads, *arguments) for threads in (1, 2))

    assert "almanac" in one
    assert one == other
