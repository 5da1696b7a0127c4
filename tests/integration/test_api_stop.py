"""How serving ends, and why it does not begin: a signal, a second one; an address that cannot be had."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from api.http import server
from api.http.server import Life, Server
from api.http.system import let_nobody_connect
from api.main import create_app
from api.settings import Settings
from batch.store.wait import wait_until
from tests.clients import await_answer
from tests.conftest import free_port
from tests.http_bytes import running
from tests.world import World

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SERVE, DIRECT = ["batch", "serve"], ["api.main"]
HALF_A_HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def env(store: redis.Redis, valkey_url: str, tmp_path: Path) -> dict[str, str]:
    """Publish the world, and give an environment in which it is served at a free port."""
    World().publish(store).promote(store)
    own = {"REDIS_URL": valkey_url, "STATE_DIR": str(tmp_path), "PORT": str(free_port())}
    return {**os.environ, **{f"ALMANAC_{name}": value for name, value in own.items()}}


@contextmanager
def started(command: list[str], env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a command as a terminal does: in a process group that Ctrl-C reaches as a whole."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run(command: list[str], env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command that comes to an end by itself."""
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [SERVE, DIRECT])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_serving_quietly_with_exit_code_0(
    env: dict[str, str], command: list[str], number: signal.Signals
) -> None:
    with started(command, env) as process:
        await_answer(f"http://127.0.0.1:{env['ALMANAC_PORT']}/ready")
        os.killpg(process.pid, number)
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 0, printed
    assert '"event":"api.stopped"' in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_api_still_starts_ends_it_as_quietly(
    env: dict[str, str], number: signal.Signals
) -> None:
    with started(SERVE, env) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert wait_until(children.read_text, 60)
        os.killpg(process.pid, number)
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 0, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_waits_for_nobody(env: dict[str, str], number: signal.Signals) -> None:
    port = int(env["ALMANAC_PORT"])
    with started(SERVE, env) as process:
        await_answer(f"http://127.0.0.1:{port}/ready")
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(HALF_A_HEAD)
            os.killpg(process.pid, number)
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            os.killpg(process.pid, number)
            printed, _ = process.communicate(timeout=60)

    assert process.returncode == 0, printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(("stop_s", "n_signals"), [(0.2, 1), (3600.0, 2)])
def test_a_half_sent_request_does_not_hold_up_a_stop(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch, stop_s: float, n_signals: int
) -> None:
    monkeypatch.setattr(server, "STOP_S", stop_s)
    life, settings = Life(), Settings(redis_url=valkey_url)
    served = Server(create_app(settings, life=life), life, settings)

    with running(served) as port, socket.create_connection(("127.0.0.1", port), timeout=60) as half:
        half.sendall(HALF_A_HEAD)
        assert wait_until(lambda: served.connections, 60)
        for _ in range(n_signals):
            served.handle_exit(signal.SIGTERM, None)
        with suppress(ConnectionError):
            assert half.recv(1) == b""


@pytest.mark.parametrize("command", [SERVE, [*SERVE, "--json"], DIRECT])
@pytest.mark.parametrize(
    ("host", "why", "wrong"),
    [
        ("127.0.0.1", "Address already in use", "port"),
        ("192.0.2.1", "Cannot assign requested address", "host"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_sentence_and_exit_code_2(
    env: dict[str, str], command: list[str], host: str, why: str, wrong: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run(command, {**env, "ALMANAC_HOST": host, "ALMANAC_PORT": str(port)})

    remedy = f"give another by --{wrong} or" if "serve" in command else "set another"
    sentence = f"cannot listen on {host}:{port}: {why}; {remedy} ALMANAC_{wrong.upper()}"
    assert (ran.returncode, ran.stderr) == (2, f"error: {sentence}\n")
    if "--json" in command:
        assert json.loads(ran.stdout) == {"error": sentence, "exit_code": 2}


def test_of_two_that_start_at_one_port_one_serves_and_the_other_says_why_not(env: dict[str, str]) -> None:
    address = f"http://127.0.0.1:{env['ALMANAC_PORT']}/ready"
    with started(DIRECT, env) as one, started(DIRECT, env) as other:
        await_answer(address)
        wait_until(lambda: one.poll() is not None or other.poll() is not None, 60)
        ended, serving = (one, other) if one.poll() is not None else (other, one)
        printed, _ = ended.communicate(timeout=60)
        await_answer(address)

        assert serving.poll() is None
        assert ended.returncode == 2, printed
        assert "cannot listen on" in printed
        assert "Traceback" not in printed


def test_a_demo_at_a_host_of_another_machine_says_so_before_the_work(env: dict[str, str]) -> None:
    ran = run(["batch", "demo", "--once", "--host", "192.0.2.1", "--json"], env)

    assert ran.returncode == 2
    assert "192.0.2.1:" in json.loads(ran.stdout)["error"]
    assert not (Path(env["ALMANAC_STATE_DIR"]) / "demo").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux keeps newcomers out")
def test_who_has_connected_is_let_in_and_who_comes_later_is_refused_when_the_door_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = door.getsockname()
        early = socket.create_connection(address, timeout=5)
        let_nobody_connect(door)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.1)
        taken, _ = door.accept()
        with early, taken:
            early.sendall(b"asked")
            assert taken.recv(5) == b"asked"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_of_several_workers_an_address_that_cannot_be_had_is_said_once(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run(DIRECT, {**env, "ALMANAC_PORT": str(port), "ALMANAC_WORKERS": "3"})

    sentence = f"cannot listen on 127.0.0.1:{port}: Address already in use; set another ALMANAC_PORT"
    assert (ran.returncode, ran.stderr) == (2, f"error: {sentence}\n")


def test_of_several_workers_a_start_that_fails_is_said_once(env: dict[str, str], tmp_path: Path) -> None:
    ran = run(DIRECT, {**env, "ALMANAC_WORKERS": "3", "ALMANAC_REDIS_URL": ""})

    assert ran.returncode == 4
    assert ran.stderr.count("error: no store") == 1
    assert "Traceback" not in ran.stdout + ran.stderr
