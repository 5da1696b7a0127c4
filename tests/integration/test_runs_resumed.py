"""Runs killed at each stage: the next one goes on from what was read and learnt, to the same lists.

`ALMANAC_CHAOS=1` kills twenty of 2,000 users, each stage at least twice; else a few of a small world.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from batch.runs.runs import Runs
from tests.content import KEYS
from tests.integration.test_publish import hashes
from tests.integration.test_publish_killed import current
from tests.runs import Commands

FULL = bool(os.environ.get("ALMANAC_CHAOS"))
READ, LEARN = ("read", "keep", "count", "describe"), ("estimate", "train", "features")
STAGES = (*READ, *LEARN, "publish", "gate", "promote", "retire")
KILLS = [f"{stage}:{moment}" for stage in STAGES for moment in ("begin", "end")]
KILLS += ["retire:begin#2", "retire:end#2"]  # after the promotion; the first clears what killed runs left
FEW = ["estimate:begin", "publish:middle", "promote:end"]
WORLD = ("2000", "1000") if FULL else ("120", "200")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800 if FULL else 300)]


@pytest.fixture
def commands(tmp_path: Path, valkey_url: str, store: redis.Redis) -> Iterator[Commands]:
    """Give commands on an empty store, with a world to read."""
    env = {
        "ALMANAC_STATE_DIR": str(tmp_path / "state"),
        "ALMANAC_REDIS_URL": valkey_url,
        "ALMANAC_DATABASE_URL": str(tmp_path / "facts"),
    }
    with Commands(tmp_path, env) as found:
        code, *_ = found.run("simulate", "--users", WORLD[0], "--posts", WORLD[1])
        assert code == 0
        yield found


def root_of(store: redis.Redis, generation: int) -> str:
    """Return the root of a generation's checksums."""
    return str(json.loads(store.get(KEYS.manifest(generation)) or b"{}")["root"])


def test_kills_at_each_stage_resume_to_the_same_lists_and_what_is_served_stays(
    commands: Commands, store: redis.Redis, tmp_path: Path
) -> None:
    runs = Runs(tmp_path / "state")
    assert commands.run("run", "--no-evaluate")[0] == 0
    wanted, lists = root_of(store, 1), hashes(store, 1)
    for kill in KILLS if FULL else FEW:
        nights = "0" if kill.startswith("train:") else "7"  # a warm night trains nothing, to the same lists
        code, *_ = commands.run("run", "--no-evaluate", at=kill, ALMANAC_ESTIMATES_NIGHTS=nights)
        assert code == -signal.SIGKILL, kill
        store.delete(KEYS.lease(), KEYS.runs_now())  # they would run out in ten seconds

        assert runs.recent(1)[0].outcome == "lost"
        assert root_of(store, current(store)) == wanted
        assert hashes(store, current(store)) == lists

    code, ran, _ = commands.run("run", "--no-evaluate")

    assert code == 0
    assert root_of(store, ran["generation"]) == wanted
    last = runs.show(runs.recent(1)[0].number)
    kept = {stage.name for stage in last.stages if stage.outcome == "kept"}
    assert (kept, last.resumed_from is None) == ({"read"}, False)
    assert "train" not in {stage.name for stage in last.stages}

    code, said, _ = commands.run("run", "--no-evaluate", "--from", "features", ALMANAC_N_TREES="5")
    assert code == 2
    assert (
        "--from features needs a model that was trained on the kept facts by these settings" in said["error"]
    )
    assert runs.recent(1)[0].outcome == "failed"
