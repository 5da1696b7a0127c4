"""Nights by the weights and trees of one before: the same wherever that one's estimates are kept."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import redis

from api.contract.keys import Keys
from batch.jobs.warm import FOLDER
from batch.learn.train import AGE
from tests.runs import Commands

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture
def commands(tmp_path: Path, valkey_url: str, store: redis.Redis) -> Iterator[Commands]:
    """Give commands on an empty store, with a world to read."""
    assert store.ping()
    env = {"ALMANAC_REDIS_URL": valkey_url, "ALMANAC_DATABASE_URL": str(tmp_path / "facts")}
    with Commands(tmp_path, env) as found:
        code, *_ = found.run(
            "simulate", "--users", "120", "--posts", "200", ALMANAC_STATE_DIR=str(tmp_path / "made")
        )
        assert code == 0
        yield found


def test_a_warm_night_is_the_same_wherever_yesterdays_estimates_are_kept(
    commands: Commands, store: redis.Redis, tmp_path: Path
) -> None:
    here, there = (
        {"ALMANAC_STATE_DIR": str(tmp_path / name), "ALMANAC_PREFIX": name} for name in ("here", "there")
    )

    def run(env: dict[str, str], *arguments: str, at: str = "") -> tuple[int, dict[str, Any], str]:
        code, ran, _ = commands.run("run", "--no-evaluate", *arguments, at=at, **env)
        if code:
            return code, {}, ""
        manifest = store.get(Keys(env["ALMANAC_PREFIX"]).manifest(ran["generation"]))
        return code, ran, json.loads(manifest or b"{}")["root"]

    (path,) = (tmp_path / "facts").glob("feed_data.*")
    whole = path.read_bytes()
    feed = pd.read_parquet(path)
    yesterday = feed[feed["timestamp"] < feed["timestamp"].max() - np.timedelta64(1, "D")]
    yesterday.to_parquet(path)
    cold = run(here)
    shutil.copytree(tmp_path / "here" / FOLDER, tmp_path / "there" / FOLDER)
    path.write_bytes(whole)

    warm = run(here)
    killed = run(there, at="features:begin")
    store.delete(Keys("there").lease(), Keys("there").runs_now())  # they would run out in ten seconds
    again = run(there)
    fresh = run(here, "--fresh")

    assert (cold[1]["metrics"][AGE], fresh[1]["metrics"][AGE]) == (0, 0)
    assert killed[0] == -signal.SIGKILL
    assert warm[1]["metrics"][AGE] == again[1]["metrics"][AGE] == pytest.approx(1, abs=0.5)
    assert "train" in cold[1]["seconds"]
    assert "train" in fresh[1]["seconds"]
    assert "train" not in warm[1]["seconds"]
    assert "estimate" not in again[1]["seconds"]  # it goes on from the killed run's model
    assert warm[2] == again[2]
    assert warm[1]["model"] == again[1]["model"]
    assert len({cold[2], warm[2], fresh[2]}) == 3
