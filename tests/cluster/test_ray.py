"""A night by Ray on this machine: the same as one process makes; a killed worker costs its shard alone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.clients import ROOT
from tests.content import KEYS
from tests.integration.test_publish import hashes
from tests.runs import SMALL

pytest.importorskip("ray", reason="ray is not installed: `make test-cluster` has it")
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

Line = dict[str, Any]


def almanac(
    env: dict[str, str], *words: str, see: Callable[[Line], object] = lambda _: None
) -> tuple[int, list[Line]]:
    """Run a command with --json in a process of its own; return exit code and lines, shown as they come."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    command = [sys.executable, "-m", "batch", *words, "--json"]
    whole = {**bare, **SMALL, **env, "PYTHONPATH": str(ROOT)}
    lines: list[Line] = []
    with subprocess.Popen(command, env=whole, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if text.startswith("{"):
                lines.append(json.loads(text))
                see(lines[-1])
    return process.returncode, lines


def test_ray_makes_what_one_process_makes_and_a_killed_worker_costs_its_shard_alone(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    env = {
        "ALMANAC_STATE_DIR": str(tmp_path / "state"),
        "ALMANAC_REDIS_URL": valkey_url,
        "ALMANAC_DATABASE_URL": str(tmp_path / "facts"),
    }
    killed: list[int] = []

    def kill_one(line: Line) -> None:
        if line.get("event") == "shard.begun" and line["shard"] == 2 and not killed:
            killed.append(line["pid"])
            os.kill(line["pid"], signal.SIGKILL)

    assert almanac(env, "simulate", "--users", "120", "--posts", "200")[0] == 0
    assert almanac(env, "run", "--no-evaluate")[0] == 0

    code, lines = almanac(env, "run", "--on", "ray", "--shards", "4", "--no-evaluate", see=kill_one)

    assert (code, lines[-1]["generation"], lines[-1]["users"]) == (0, 2, 120)
    roots = [json.loads(store.get(KEYS.manifest(number)) or b"{}")["root"] for number in (1, 2)]
    assert roots[0] == roots[1]
    assert hashes(store, 1) == hashes(store, 2)
    begun, lost, written = (
        sorted(line["shard"] for line in lines if line.get("event") == f"shard.{what}")
        for what in ("begun", "lost", "written")
    )
    assert not any(name.startswith("_") for line in lines for name in line)
    assert (begun, lost, written) == ([1, 2, 2, 3, 4], [2], [1, 2, 3, 4])
    stages = {line["stage"] for line in lines if line.get("event") == "stage.done"}
    assert stages >= {"prepare", "shards", "seal"}


def test_an_error_of_a_shard_is_the_night_s(store: redis.Redis, valkey_url: str, tmp_path: Path) -> None:
    env = {
        "ALMANAC_STATE_DIR": str(tmp_path / "state"),
        "ALMANAC_REDIS_URL": valkey_url,
        "ALMANAC_DATABASE_URL": str(tmp_path / "facts"),
    }

    def spoil(line: Line) -> None:
        if line.get("event") == "generation.prepared":
            place = next((tmp_path / "state" / "prepared").iterdir())
            (place / "slices" / "2" / "users.parquet").write_bytes(b"another")

    assert almanac(env, "simulate", "--users", "60", "--posts", "200")[0] == 0

    code, lines = almanac(env, "run", "--on", "ray", "--shards", "2", "--no-evaluate", see=spoil)

    assert code == 7
    assert "shard 2: users.parquet is not what was prepared" in lines[-1]["error"]
    assert "give `almanac run --shard` for those that are missing" in lines[-1]["error"]
