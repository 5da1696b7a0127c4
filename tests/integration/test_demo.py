"""The whole way: the demo in a process of its own, asked by a client that shares no code with it."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from tests.forked import program
from tests.oracle import Events, expected

pytestmark = pytest.mark.integration
SMALL = {"ALMANAC_N_TREES": "30", "ALMANAC_N_BUCKETS": "6", "ALMANAC_DEPTH": "20", "ALMANAC_TRAIN_DAYS": "10"}
N_ASKED = 1_000


@dataclass(frozen=True)
class Demo:
    """A demo that is up: what it printed, and where its world lies."""

    said: dict[str, object]
    world: Path
    store_url: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run `almanac demo --json` with no settings but a state folder; stop it as Ctrl-C does."""
    state = tmp_path_factory.mktemp("state")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    process = subprocess.Popen(
        [*program(), "demo", "--users", "60", "--port", "8901", "--json"],
        env={**clean, **SMALL, "ALMANAC_STATE_DIR": str(state)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = next((json.loads(line) for line in process.stdout if '"feeds"' in line), None)
        assert said is not None, "the demo ended without its result"
        yield Demo(said, Path(said["state_dir"]) / "world" / "facts", said["store"])
    finally:
        process.send_signal(signal.SIGINT)
        exit_code = process.wait(30)
        process.stdout.close()
    assert exit_code == 0


def seen_events(world: Path) -> Events:
    """Read the raw feed: whatever was viewed or liked counts as seen."""
    feed = pq.read_table(world / "feed_data.parquet").to_pandas()
    seconds = feed["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    return Events(feed["user_id"].to_numpy(np.int64), feed["post_id"].to_numpy(np.int64), seconds)


def test_a_thousand_random_requests_equal_the_independent_oracle(demo: Demo) -> None:
    events, rng = seen_events(demo.world), np.random.default_rng(11)
    users = np.unique(events.user)
    prefix = f"almanac-demo-{Path(str(demo.said['state_dir'])).name}"
    begin = datetime(2021, 12, 1, tzinfo=UTC)
    api = http.client.HTTPConnection(urlsplit(str(demo.said["api"])).netloc, timeout=10)
    store = redis.Redis.from_url(demo.store_url)

    for _ in range(N_ASKED):
        user, limit = int(rng.choice(users)), int(rng.choice([1, 5, 10, 25]))
        at = begin + timedelta(seconds=int(rng.integers(0, 45 * 86_400)))
        api.request(
            "GET",
            "/post/recommendations/?"
            + urlencode({"id": user, "time": at.strftime("%Y-%m-%d %H:%M:%S"), "limit": limit}),
        )
        answer = api.getresponse()
        posts = [int(post["id"]) for post in json.loads(answer.read())]
        at_s = int(at.timestamp())

        seen = set(events.post[(events.user == user) & (events.time <= at_s)].tolist())
        assert answer.status == 200
        assert len(posts) == len(set(posts)) == limit
        assert not seen & set(posts)
        assert posts == expected(store, events, user, at_s, limit, prefix=prefix), (user, at)

    api.close()
    store.close()


def test_the_demo_says_what_it_read_wrote_and_measured(demo: Demo) -> None:
    said = demo.said

    assert said["generation"] == 1
    assert said["lists_written"] == 60 * 6
    assert set(said["expected_hitrate_at_5"]) == {"almanac", "oracle", "popular", "random"}  # type: ignore[call-overload]
    assert "auc" not in said["metrics"]  # type: ignore[operator] # the world's truth judges, above
    assert len(said["feeds"]) == 9  # type: ignore[arg-type]
