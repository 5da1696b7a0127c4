"""The command line as a person or a script meets it: results, errors, exit codes."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from batch.__main__ import run_command
from tests.clients import running
from tests.forked import program

pytestmark = pytest.mark.integration
SMALL = {"ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3", "ALMANAC_DEPTH": "10", "ALMANAC_TRAIN_DAYS": "5"}


@pytest.fixture
def env(tmp_path: Path, valkey_url: str, store: redis.Redis) -> dict[str, str]:
    """Give an environment with a state folder of its own and an empty store."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    return {**clean, **SMALL, "ALMANAC_STATE_DIR": str(tmp_path / "state"), "ALMANAC_REDIS_URL": valkey_url}


def almanac(env: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run a command with --json; return its exit code, its last line as an object, and stderr."""
    done = subprocess.run(
        [*program(), *arguments, "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


@pytest.fixture
def here(
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Give what does the same in this process, with settings of its own: most of a refusal is its start."""

    def run_here(setting: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any], str]:
        for name, value in {**env, **setting}.items():
            monkeypatch.setenv(name, value)
        code = run_command([*arguments, "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out.splitlines()[-1]), printed.err

    return run_here


def test_simulate_run_and_inspect_work_one_after_another(env: dict[str, str], store: redis.Redis) -> None:
    code, made, _ = almanac(env, "simulate", "--users", "40", "--posts", "300")
    assert (code, made["rows"]["user_data"], made["rows"]["post_text_df"]) == (0, 40, 300)

    code, ran, _ = almanac(env, "run")
    assert (code, ran["generation"], ran["lists_written"]) == (0, 1, 120)
    assert ran["rows_read"]["feed_data"] == made["rows"]["feed_data"]
    assert ran["rows_rejected"] == {}
    assert ran["chosen"]
    _, recorded, _ = almanac(env, "runs", "show", "1")
    assert recorded["chosen"] == ran["chosen"]
    assert Path(env["ALMANAC_STATE_DIR"], "model", "model.txt").is_file()

    users = store.get("almanac:1:users:1")
    assert isinstance(users, bytes)
    user = int(users.split()[0])
    code, seen, _ = almanac(env, "inspect", str(user), "--at", "2021-12-30T09:00:00")
    assert code == 0
    assert len(seen["answer"]["post_ids"]) == 10
    assert seen["chosen"] == ran["chosen"]
    assert not set(seen["answer"]["post_ids"]) & set(map(int, seen["seen"]))

    code, wrong, stderr = almanac(env, "simulate", "--users", "40")
    assert code == 3
    assert "--replace" in wrong["error"]
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("setting", "arguments", "exit_code", "says"),
    [
        ({"ALMANAC_DEPTH": "0"}, ["run"], 2, "ALMANAC_DEPTH=0"),
        ({"ALMANAC_REDIS_URL": "http://ann:hush@db"}, ["run"], 2, "ALMANAC_REDIS_URL=*** must be redis://"),
        ({}, ["run", "--data", "no/such/folder"], 3, "no/such/folder"),
        ({}, ["run"], 3, "facts.db"),
        ({"ALMANAC_REDIS_URL": "redis://127.0.0.1:1/0"}, ["generations", "list"], 4, "127.0.0.1"),
        ({}, ["inspect", "7"], 2, "almanac run"),
        ({}, ["export"], 2, "almanac run"),
        ({}, ["forget", "7"], 2, "--yes"),
        ({"ALMANAC_SCHEDULE": "nightly"}, ["schedule"], 2, "'nightly'"),
        ({}, ["simulate", "--regime", "none"], 2, "regime='none'"),
        ({}, ["simulate", "--users", "0"], 2, "--users"),
        ({}, ["tokens", "add", "--scope", "all"], 2, "'all'"),
        ({}, ["run", "--no-such"], 2, "--no-such"),
    ],
)
def test_an_error_is_one_sentence_that_names_the_value(
    here: Callable[..., tuple[int, dict[str, Any], str]],
    setting: dict[str, str],
    arguments: list[str],
    exit_code: int,
    says: str,
) -> None:
    code, said, stderr = here(setting, *arguments)

    assert code == exit_code
    assert said["exit_code"] == exit_code
    assert says in said["error"]
    assert stderr == f"error: {said['error']}\n"


def test_too_many_bad_rows_stop_the_run_and_what_is_served_stays(
    env: dict[str, str], store: redis.Redis, tmp_path: Path
) -> None:
    facts = tmp_path / "facts"
    almanac(env, "simulate", "--users", "30", "--posts", "200", "--to", str(facts))
    assert almanac(env, "run", "--data", str(facts), "--no-evaluate")[0] == 0
    before = everything(store)
    (shard,) = facts.glob("feed_data*.parquet")
    feed = pq.read_table(shard)
    bad = feed.set_column(feed.schema.get_field_index("post_id"), "post_id", pa.nulls(len(feed), pa.int64()))
    pq.write_table(pa.concat_tables([feed, bad.cast(feed.schema)]), shard)

    code, said, _ = almanac(env, "run", "--data", str(facts))

    assert code == 3
    assert "missing post" in said["error"].replace("_", " ")
    assert everything(store) == before
    assert Path(env["ALMANAC_STATE_DIR"], "rejects.jsonl").stat().st_size > 0


@pytest.mark.slow
def everything(store: redis.Redis) -> dict[bytes, object]:
    """Return every key with its value."""
    kinds: dict[str, Callable[[bytes], object]] = {
        "hash": store.hgetall,
        "string": store.get,
        "zset": lambda key: store.zrange(key, 0, -1, withscores=True),
        "set": store.smembers,
    }
    found = {}
    for key in store.keys("*"):
        kind = store.type(key)
        assert isinstance(key, bytes)
        assert isinstance(kind, bytes)
        found[key] = kinds[kind.decode()](key)
    return found


def test_an_unknown_variable_is_warned_about_on_both_sides(env: dict[str, str], tmp_path: Path) -> None:
    env = {**env, "ALMANAC_DEPHT": "7"}

    code, _, stderr = almanac(env, "tokens", "list")
    with running(env["ALMANAC_REDIS_URL"], tmp_path, ALMANAC_DEPHT="7"):
        pass

    assert (code, stderr) == (
        0,
        "warning: ALMANAC_DEPHT is no setting and changes nothing: did you mean ALMANAC_DEPTH?\n",
    )
    lines = map(json.loads, (tmp_path / "api.log").read_text().splitlines())
    (said,) = [line for line in lines if line["event"] == "setting.unknown"]
    assert (said["variable"], said["nearest"]) == ("ALMANAC_DEPHT", "ALMANAC_DEPTH")


@pytest.mark.parametrize("command", ["run", "demo"])
def test_facts_that_are_not_there_are_refused_before_a_store_is_started(
    env: dict[str, str], command: str
) -> None:
    env = {name: value for name, value in env.items() if name != "ALMANAC_REDIS_URL"}

    code, said, stderr = almanac(env, command, "--data", "no/such/folder")

    assert (code, stderr) == (3, f"error: {said['error']}\n")
    assert "no folder no/such/folder" in said["error"]
    assert not list(Path(env["ALMANAC_STATE_DIR"]).rglob("store"))
