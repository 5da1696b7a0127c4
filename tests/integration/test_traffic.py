"""Traffic against real APIs: one that is right, and one that shows what was seen."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
import redis

from tests.bench.stock import Stock
from tests.bench.traffic.run import own, run
from tests.clients import first_token
from tests.clients import running as serving
from tests.forked import program
from tests.world import World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        importlib.util.find_spec("locust") is None, reason="locust, of the extra `load`, is not installed"
    ),
]


def test_users_come_scroll_and_tell_while_generations_flip_and_nothing_is_wrong() -> None:
    tiny = Stock(n_users=400, n_posts=300, n_seen=20, n_buckets=24, depth=30, n_takedowns=5, text_bytes=100)

    with own(tiny, lambda *_: None, flip_s=0.5) as target:
        found = run(target, seconds=4, speed=2000)

    routes, people, events = found["routes"], found["people"], found["events"]
    assert isinstance(routes, dict)
    assert isinstance(people, dict)
    assert isinstance(events, dict)
    assert found["wrong"] == dict.fromkeys(
        ("seen", "taken_down", "duplicate", "foreign", "short", "malformed"), 0
    )
    assert set(routes) == {
        "GET /post/recommendations/",
        "GET /users/{user_id}/feed",
        "POST /events",
        "PUT /posts/{post_id}/takedown",
        "DELETE /posts/{post_id}/takedown",
    }
    assert {status for route in routes.values() for status in route["statuses"]} == {"200"}
    assert people["visits"] > 5
    assert people["unfinished"] == 0
    assert events["accepted"] == people["views"] + people["likes"]
    assert (events["untold"], found["degraded"]) == (0, {})


def test_an_api_that_shows_what_was_seen_is_found_out(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    World(seen_policy="none", users=range(1, 100)).publish(store).promote(store)
    command = [*program("tests.bench"), "traffic", "--json", "--first-user", "1"]
    options = ["--users", "99", "--seconds", "3", "--speed", "6000"]

    with serving(valkey_url, tmp_path) as base:
        token = first_token(tmp_path, "write")["Authorization"].removeprefix("Bearer ")
        played = subprocess.run(
            [*command, *options, "--url", base],
            env={**os.environ, "ALMANAC_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )

    found = json.loads(played.stdout.splitlines()[-1])
    assert played.returncode == 7
    assert found["n_wrong"] == found["wrong"]["seen"] > 0
    assert found["wrong_told"][0].startswith("seen: user ")
    assert token not in played.stdout + played.stderr
