"""How the API starts and stops: in a process, under a test client, on the embedded store, or not at all."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx2
import orjson
import pytest
import redis
from fastapi.testclient import TestClient

from api.lifespan import StoreMissing
from api.main import create_app
from api.schemas.value import TIMES, read_time
from api.settings import Settings
from tests.clients import await_answer
from tests.conftest import free_port
from tests.world import World

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PATH = "/post/recommendations/"
QUERY = {"id": "2", "time": "2021-12-20 12:00:00", "limit": "5"}


@pytest.fixture
def world(store: redis.Redis) -> World:
    """Publish the world and make it current."""
    return World().publish(store).promote(store)


@pytest.fixture
def state_dir(tmp_path: Path, valkey_url: str) -> Path:
    """Give a folder as the embedded store leaves it while it runs."""
    (tmp_path / "store.lock").touch()
    (tmp_path / "store.json").write_bytes(orjson.dumps({"url": valkey_url}))
    return tmp_path


def is_locked(state_dir: Path) -> bool:
    """Tell whether someone holds the embedded store."""
    with (state_dir / "store.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with only the given settings."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    return bare | {f"ALMANAC_{name.upper()}": value for name, value in settings.items()}


def test_a_test_client_outside_with_is_answered(world: World, valkey_url: str) -> None:
    client = TestClient(create_app(Settings(redis_url=valkey_url)))

    replies = [client.get(PATH, params=QUERY) for _ in range(3)]

    assert [[post["id"] for post in reply.json()] for reply in replies] == [[36, 34, 32, 30, 28]] * 3


def test_the_app_at_import_reads_the_environment_when_it_is_first_used(
    world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.main import app

    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)

    assert len(TestClient(app).get(PATH, params=QUERY).json()) == 5


def test_the_embedded_store_is_held_while_the_app_lives(world: World, state_dir: Path) -> None:
    app = create_app(Settings(state_dir=state_dir))

    with TestClient(app) as client:
        held = is_locked(state_dir)
        reply = client.get(PATH, params=QUERY)

    assert (reply.status_code, held, is_locked(state_dir)) == (200, True, False)


@pytest.mark.parametrize("left", [[], ["store.lock"]])
def test_without_a_store_the_start_fails_and_says_what_to_do(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).touch()

    client = TestClient(create_app(Settings(state_dir=tmp_path)))

    with pytest.raises(StoreMissing, match="set ALMANAC_REDIS_URL or run `almanac store`"), client:
        pass


@pytest.mark.parametrize("command", [["api.main"], ["uvicorn", "api.main:app", "--port", "0"]])
def test_a_process_that_cannot_start_prints_one_sentence(tmp_path: Path, command: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(state_dir=str(tmp_path)),
        capture_output=True,
        text=True,
    )

    assert ran.returncode == (4 if command == ["api.main"] else 3)  # uvicorn's own where it runs the app
    assert "set ALMANAC_REDIS_URL or run `almanac store`" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_process_serves_logs_json_and_stops_when_told(world: World, valkey_url: str) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "api.main"],
        cwd=ROOT,
        env=environment(redis_url=valkey_url, port=str(port)),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        await_answer(f"{base}/ready")
        served = len(httpx2.get(base + PATH, params=QUERY).json())
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=10)

    lines = [json.loads(line) for line in printed.splitlines()]
    assert served == 5
    started, stopped = [line for line in lines if line["event"].startswith("api.")]
    assert (started["event"], stopped["event"]) == ("api.started", "api.stopped")
    assert (started["generation"], started["variant"]) == (1, "default")


def test_openapi_documents_parameters_headers_and_statuses() -> None:
    paths = create_app(Settings(redis_url="redis://nowhere")).openapi()["paths"]

    feed = paths[PATH]["get"]
    parameters = {parameter["name"]: parameter for parameter in feed["parameters"]}
    assert set(parameters) == {"id", "time", "limit", "variant", "profile", "topic", "not_topic", "filter"}
    assert [name for name, parameter in parameters.items() if parameter["required"]] == ["id"]
    limit, at = parameters["limit"]["schema"], parameters["time"]["schema"]
    assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == ("integer", 1, 100, 10)
    assert at["examples"] == TIMES
    assert {read_time(text) for text in TIMES} == {1_639_958_400}
    assert set(feed["responses"]) == {"200", "401", "404", "422", "503"}
    assert len(feed["responses"]["200"]["headers"]) == 13
    assert "Retry-After" in feed["responses"]["503"]["headers"]
    assert set(paths) >= {PATH, "/users/{user_id}/feed", "/health", "/ready"}
    assert set(paths["/users/{user_id}/feed"]["get"]["responses"]) >= {"200", "410", "422", "503"}


@pytest.mark.parametrize(("hard", "raised_to"), [(9999, 300 + 16 + 64), (200, 200)])
def test_open_files_are_raised_to_what_the_connections_need_or_the_log_says_how_many_fit(
    world: World, valkey_url: str, tmp_path: Path, hard: int, raised_to: int
) -> None:
    port = free_port()
    told = environment(redis_url=valkey_url, port=str(port), state_dir=str(tmp_path), max_connections="300")
    limited = f"import resource as r, runpy; r.setrlimit(r.RLIMIT_NOFILE, (90, {hard})); "
    process = subprocess.Popen(
        [sys.executable, "-c", limited + "runpy.run_module('api.main', run_name='__main__')"],
        cwd=ROOT,
        env=told,
        stdout=subprocess.PIPE,
        text=True,
    )
    with ExitStack() as stack:
        try:
            await_answer(f"http://127.0.0.1:{port}/ready")
            (limits,) = re.findall(r"Max open files +(\d+)", Path(f"/proc/{process.pid}/limits").read_text())
            for _ in range(400):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            reply = httpx2.get(f"http://127.0.0.1:{port}{PATH}", params=QUERY)
        finally:
            process.terminate()
            printed, _ = process.communicate(timeout=60)

    said = [json.loads(line) for line in printed.splitlines() if "connections.limited" in line]
    assert (int(limits), reply.status_code) == (raised_to, 200)
    why = "this process may open 200 files: raise `ulimit -n` to 380 or lower ALMANAC_MAX_CONNECTIONS"
    assert [(one["most"], one["why"]) for one in said] == [(120, why)] * (raised_to < 380)
