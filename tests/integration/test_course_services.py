"""The course's three services, with the settings that docker-compose.yml gives them, and a client of each."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
import yaml

from api.contract.experiment import Arm, Experiment
from api.contract.keys import Keys
from batch.experiments.registry import create, start
from tests.clients import running
from tests.world import AS_OF_S, HOUR_S, World

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
CLASSIC, TEXT = World(), World(generation=2, turn=1, variant="text")
SALT = "my_salt"


def settings_of(service: str) -> dict[str, str]:
    """Return a service's variables; what a person may set is not set."""
    given: dict[str, str] = SERVICES[service]["environment"]
    return {name: "" if value.startswith("${") else value for name, value in given.items()}


def test_each_service_answers_its_own_client(store: redis.Redis, valkey_url: str, tmp_path: Path) -> None:
    for world in (CLASSIC, TEXT):
        world.publish(store).promote(store)
    arms = (Arm("control", "default", 50), Arm("test", "text", 50))
    create(store, Keys(), Experiment("course", SALT, arms, response="ab"), "ann@night", 1)
    start(store, Keys(), "course", "ann@night", 1)

    with ExitStack() as stack:
        replies = {}
        for service in ("api-classic", "api-text", "api-ab"):
            folder = tmp_path / service
            folder.mkdir()
            address = stack.enter_context(running(valkey_url, folder, **settings_of(service)))
            client = stack.enter_context(httpx2.Client(base_url=address))
            replies[service] = [
                client.get(f"/post/recommendations/?id={user}&time=2021-12-20 12:00:00&limit=5").json()
                for user in range(1, 9)
            ]

    for user in range(1, 9):
        plain = {"api-classic": CLASSIC, "api-text": TEXT}
        for service, world in plain.items():
            posts = replies[service][user - 1]
            assert [set(post) for post in posts] == [{"id", "text", "topic"}] * 5
            assert [post["id"] for post in posts] == world.own(user, NOON_S)[:5]
        place = int(hashlib.md5((str(user) + SALT).encode()).hexdigest(), 16) % 100
        group, service = ("control", "api-classic") if place < 50 else ("test", "api-text")
        said = replies["api-ab"][user - 1]
        assert said == {"exp_group": group, "recommendations": replies[service][user - 1]}
