"""A night in shards by the command line: prepare, shards on machines of their own, one killed, seal."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.content import KEYS
from tests.integration.test_publish import hashes
from tests.runs import Commands

pytestmark = pytest.mark.integration


@pytest.fixture
def commands(tmp_path: Path, valkey_url: str, store: redis.Redis) -> Iterator[Commands]:
    """Give commands on an empty store, with a world to read."""
    env = {
        "ALMANAC_STATE_DIR": str(tmp_path / "state"),
        "ALMANAC_REDIS_URL": valkey_url,
        "ALMANAC_DATABASE_URL": str(tmp_path / "facts"),
        "ALMANAC_TOPIC_DEPTH": "5",
        "ALMANAC_MAX_PER_TOPIC": "2/5",
        "ALMANAC_GATE": "on",
    }
    with Commands(tmp_path, env) as found:
        assert found.run("simulate", "--users", "120", "--posts", "200")[0] == 0
        yield found


def manifest(store: redis.Redis, generation: int) -> dict[str, object]:
    """Return a generation's manifest, without what no two runs have in common."""
    found: dict[str, object] = json.loads(store.get(KEYS.manifest(generation)) or b"{}")
    counts = {name: n for name, n in found["counts"].items() if not name.startswith("bytes_")}  # type: ignore[attr-defined]
    own = ("generation", "created_at", "created_at_s", "gate", "counts")
    return {name: value for name, value in found.items() if name not in own} | counts


def test_shards_on_three_machines_make_what_one_run_makes(
    commands: Commands, store: redis.Redis, tmp_path: Path
) -> None:
    assert commands.run("run", "--no-evaluate")[0] == 0
    place, machine = str(tmp_path / "shared"), {"ALMANAC_STATE_DIR": str(tmp_path / "other")}

    code, begun, _ = commands.run("prepare", "--shards", "3", "--to", place, "--no-evaluate")
    assert (code, begun["generation"], begun["shards"]) == (0, 2, 3)
    assert commands.run("run", "--shard", "1/3")[0] == 0
    assert commands.run("run", "--shard", "2/3", at="publish:middle", **machine)[0] == -signal.SIGKILL
    store.delete(KEYS.shard(2, 2))  # it would run out in ten seconds
    assert commands.run("run", "--shard", "3/3", **machine)[0] == 0

    code, said, _ = commands.run("seal")
    assert (code, "lacks shards 2 of 3" in said["error"]) == (7, True)
    code, said, _ = commands.run("run", "--shard", "2/4")
    assert (code, "was prepared for 3 shards" in said["error"]) == (2, True)
    code, said, _ = commands.run("run", "--shard", "3/3")
    assert (code, said["was_there"]) == (0, True)
    code, said, _ = commands.run("run", "--shard", "2/3", **machine)
    assert (code, said["was_there"], said["users"]) == (0, False, 40)
    code, sealed, _ = commands.run("seal")

    assert (code, sealed["generation"]) == (0, 2)
    assert sealed["root"] == manifest(store, 1)["root"]
    assert manifest(store, 2) == manifest(store, 1)
    assert hashes(store, 2) == hashes(store, 1)
    assert store.hget(KEYS.current("default"), "generation") == b"2"
    assert commands.run("generations", "verify", "2")[0] == 0
    code, ran, _ = commands.run("run", "--incremental", "--no-evaluate")
    assert (code, ran["incremental"], ran["base"]) == (0, True, 2)


def test_a_peer_has_no_shards(commands: Commands) -> None:
    code, said, _ = commands.run("prepare", "--shards", "2", "--variant", "popular")

    assert (code, "which has no shards: run it whole" in said["error"]) == (2, True)
