"""Public yardsticks from the command line, on made pieces in each data set's own form."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.forked import program
from tests.yardsticks import Taken, take, write_kion, write_movielens

DAYS, N_EVENTS = 63, 4_000  # no pair is drawn twice, so there are fewer
PEERS = "random,popular_7_days,user_knn"


def compare(folder: Path, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    small = {"ALMANAC_STATE_DIR": str(folder / "state"), "ALMANAC_N_TREES": "5", "ALMANAC_THREADS": "1"}
    done = subprocess.run(
        [*program(), "compare", *arguments],
        env={**clean, **small, "COLUMNS": "220"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stderr
    return done


def measure(folder: Path, mapping: str, write: Callable[[Path, Taken], Path]) -> tuple[dict[str, Any], str]:
    """Return what three weekly folds of a made piece give as JSON, and as a table."""
    taken = take(N_EVENTS, 80, 120, DAYS)
    (folder / "facts").mkdir()
    data = ("--data", str(write(folder / "facts", taken)), "--mapping", mapping)
    asked = (*data, "--peers", PEERS, "--protocol", "rectools-7d", "--folds", "3")
    machine, table = compare(folder, *asked, "--json"), compare(folder, *asked)
    found: dict[str, Any] = json.loads(machine.stdout.splitlines()[-1])
    assert found["n_interactions"] == len(taken.time)
    return found, table.stdout + table.stderr


def values_of(found: dict[str, Any], metric: str) -> dict[str, float]:
    rows = [row for row in found["results"] if row["segment"] == "all" and not row["against"]]
    return {row["model"]: row["value"] for row in rows if (row["metric"], row["k"]) == (metric, 10)}


def test_movielens_20m(tmp_path: Path) -> None:
    found, table = measure(tmp_path, "movielens-20m", write_movielens)

    assert [fold["test_to"][:10] for fold in found["folds"]] == ["2015-02-19", "2015-02-26", "2015-03-05"]
    assert found["n_lists"] == sum(fold["n_users"] for fold in found["folds"]) > found["n_users"]
    ndcg = values_of(found, "ndcg_achievable")
    assert ndcg["almanac"] > ndcg["random"]
    assert [bar["value"] for bar in found["published"]["bars"]] == [0.188, 0.167]
    for words in (
        "3 fold(s) from 2015-02-12 to 2015-03-05",
        "published, not measured here",
        "0.188",
        "0.167",
    ):
        assert words in table
    assert found["best"] in " ".join(table.split())


@pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="as MovieLens: set ALMANAC_CHAOS=1")
def test_kion_has_the_courses_bars_too(tmp_path: Path) -> None:
    found, table = measure(tmp_path, "kion", write_kion)

    bars = [(bar["metric"], bar["value"]) for bar in found["published"]["bars"]]
    assert bars == [("ndcg_achievable", 0.169), ("ndcg_achievable", 0.142), ("map", 0.075), ("map", 0.088)]
    assert all(bar["source"] for bar in found["published"]["bars"])
    assert "map@10 0.088" in table
    assert set(values_of(found, "serendipity")) == {"almanac", *PEERS.split(",")}


def test_other_facts_have_no_bars_and_the_zoo_says_who_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "facts"
    folder.mkdir()
    write_movielens(folder, take(800, 30, 40, 40))
    (tmp_path / "own.toml").write_text(
        'shown = "choices"\n[tables]\nfeed_data = "ratings"\n[columns.feed_data]\nuser_id = "userId"\n'
        'post_id = "movieId"\n[time]\nunit = "s"\n'
    )
    asked = ("--data", str(folder), "--mapping", str(tmp_path / "own.toml"), "--json", "--zoo")

    done = compare(tmp_path, *asked, "--protocol", "rectools-7d")

    found = json.loads(done.stdout.splitlines()[-1])
    assert found["published"] is None
    ranked = {row["model"] for row in found["results"]}
    assert {"popular_7_days", "ease", "slim", "user_knn_bm25"} <= ranked
    assert not ranked & set(found["absent"])
    costs = [row for row in found["results"] if row["metric"] in ("fit_s", "rank_s", "memory_mb")]
    assert {row["model"] for row in costs} == ranked


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--zoo", "--peers", "als"), "leave one of them out"),
        (("--unseen", "--protocol", "rectools-7d"), "name one"),
        (("--likes-only", "--protocol", "rectools-7d"), "leave --world, --unseen and --protocol out"),
        (("--protocol", "leave-one-out"), "protocol 'leave-one-out' is none: rectools-7d"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    done = compare(tmp_path, *arguments, fails=True)

    assert done.returncode == 2
    assert why in " ".join((done.stdout + done.stderr).replace("│", " ").split())
