"""The store on its bad days, as the batch meets it: down, loading, silent, slow, killed and restarted."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from batch.__main__ import run_command
from batch.errors import exit_code_of
from batch.progress import Progress
from batch.settings import Settings
from batch.store import connection
from batch.store.connection import StoreFailed, connect_store, open_store
from batch.store.embedded.attach import attach
from batch.store.embedded.files import Files
from batch.store.wait import wait_until
from tests.clients import OwnStore, await_answer, running
from tests.world import World

pytestmark = pytest.mark.integration
N_LOGGED = 1_500_000  # commands in a log: some two seconds of loading


def is_gone(state_dir: Path) -> bool:
    """Say whether no embedded store runs."""
    return not Files(state_dir).address.exists()


def lengthen_log(state_dir: Path) -> None:
    """Add to the embedded store's log, so that reading it takes a while."""
    (log,) = (state_dir / "store/appendonlydir").glob("*.incr.aof")
    with log.open("ab") as out:
        for first in range(0, N_LOGGED, 10_000):
            keys = range(first, first + 10_000)
            out.write(b"".join(b"*3\r\n$3\r\nSET\r\n$8\r\n%08d\r\n$1\r\n1\r\n" % key for key in keys))


def test_a_store_that_is_down_is_named_with_its_variable_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", "redis://ann:hush@127.0.0.1:1/0")

    assert run_command(["generations", "list"]) == 4

    said = capsys.readouterr().err
    assert said.startswith(
        "error: the store at redis://ann:***@127.0.0.1:1/0 does not work for us: Error 111"
    )
    assert "ALMANAC_REDIS_URL" in said
    assert "hush" not in said
    assert said.count("\n") == 1


def test_a_store_that_loads_its_log_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with attach(tmp_path):
        pass
    assert wait_until(lambda: is_gone(tmp_path), 30)
    lengthen_log(tmp_path)
    progress = Progress()

    with attach(tmp_path) as early:  # INFO answers, the data are not there yet
        with connection.connect(early.url, 5.0) as client, pytest.raises(redis.BusyLoadingError):
            client.ping()
        with connect_store(Settings(state_dir=tmp_path), progress) as store:
            assert store.dbsize() == N_LOGGED

    assert progress.seconds["store"] > 0
    assert wait_until(lambda: is_gone(tmp_path), 30)


def test_a_silent_store_ends_a_command_with_a_sentence_and_exit_code_4(
    own_store: OwnStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REPLY_S", 0.5)
    own_store.start().close()

    def ask() -> None:
        with open_store(own_store.url) as client:
            own_store.signal(signal.SIGSTOP)
            client.get("a")

    with pytest.raises(StoreFailed, match=own_store.url) as failed:
        ask()

    assert exit_code_of(failed.value) == 4
    assert "Timeout" in str(failed.value)


def test_a_store_that_refuses_a_batch_of_commands_is_told_without_the_users_in_their_keys(
    own_store: OwnStore,
) -> None:
    own_store.start("--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes").close()

    def write() -> None:
        with open_store(own_store.url) as client, client.pipeline() as pipe:
            pipe.unlink("almanac:1:list:{ann) smith}:1")
            pipe.execute()

    with pytest.raises(StoreFailed) as failed:
        write()

    assert "ann" not in str(failed.value)
    assert str(failed.value).endswith(
        "does not work for us: You can't write against a read only replica.; it takes no writes: "
        "ALMANAC_REDIS_URL should name the primary, not a replica"
    )


def test_a_store_that_was_slow_for_a_while_is_waited_for(own_store: OwnStore) -> None:
    own_store.start().close()

    with open_store(own_store.url) as client:
        client.set("a", "1")
        own_store.signal(signal.SIGSTOP)
        threading.Timer(6.0, own_store.signal, [signal.SIGCONT]).start()  # beyond redis-py's own 5 s
        assert client.get("a") == b"1"


def test_a_store_that_restarts_between_two_commands_is_found_again(own_store: OwnStore) -> None:
    own_store.start().close()

    with open_store(own_store.url) as client:
        client.set("a", "1")
        client.waitaof(1, 0, 5000)
        own_store.kill()
        threading.Timer(0.5, own_store.start).start()
        assert client.get("a") == b"1"


def test_a_killed_embedded_store_comes_back_where_it_was_and_the_api_finds_it(tmp_path: Path) -> None:
    with attach(tmp_path) as store, redis.Redis.from_url(store.url) as client:
        World().publish(client).promote(client)
        client.waitaof(1, 0, 5000)
        with running("", tmp_path) as base:
            await_answer(f"{base}/ready")
            os.kill(store.pid, signal.SIGKILL)
            files = Files(tmp_path)
            assert wait_until(lambda: (files.read_address() or store).pid != store.pid, 30)

            again = files.read_address()
            assert again is not None
            assert again.url == store.url
            assert wait_until(lambda: b"store.found" in (tmp_path / "api.log").read_bytes(), 30)
            await_answer(f"{base}/ready")
    assert wait_until(lambda: is_gone(tmp_path), 30)

    with attach(tmp_path) as next_day:
        assert next_day.url == store.url
    assert wait_until(lambda: is_gone(tmp_path), 30)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="three whole demos: set ALMANAC_CHAOS=1")
def test_a_second_demo_in_the_same_folder_ends_well_and_a_third(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    small = {"ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3", "ALMANAC_TRAIN_DAYS": "5"}
    env = {**clean, **small, "ALMANAC_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "batch", "demo", "--once", "--users", "40", "--json"]

    for generation in range(1, 4):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout.splitlines()[-1])["generation"] == generation
        (folder,) = (tmp_path / "demo").iterdir()
        assert wait_until(lambda folder=folder: is_gone(folder), 30)  # type: ignore[misc]
        lengthen_log(folder)
