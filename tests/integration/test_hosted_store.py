"""A store whose host refuses commands is used all the same, and each run says once what it could not see."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from batch.publish.memory.plan import Plan, Sizes
from batch.publish.memory.probe import plan_memory
from batch.publish.publish import publish
from batch.store.connection import open_store
from batch.store.server import StoreUnfit
from tests.clients import OwnStore, first_token, serving
from tests.content import KEYS, TTL_S, blocks, config, content, expected, generations
from tests.integration.test_publish import hashes, seen_in_facts
from tests.own_lists import read_seen
from tests.world import World

pytestmark = pytest.mark.integration
FITTING = ["--hash-max-listpack-value", "512", "--zset-max-listpack-entries", "1024"]


def start(store: OwnStore, refused: Sequence[str], *settings: str) -> str:
    """Start a store without some commands and return its URL."""
    store.start(
        *FITTING, *settings, *(part for name in refused for part in ("--rename-command", name, ""))
    ).close()
    return store.url


def warnings(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    """Return what was logged under a name."""
    return [record for record in caplog.records if record.message == name]


@pytest.mark.parametrize(
    ("refused", "unseen", "planned"),
    [
        (["CONFIG"], ["whether its settings"], True),
        (["CONFIG", "INFO"], ["its version", "whether its settings"], True),
        (
            ["CONFIG", "INFO", "MEMORY", "CLIENT", "FUNCTION"],
            ["its version", "whether its settings", "what keys weigh"],
            False,
        ),
    ],
)
def test_a_run_publishes_and_says_once_what_it_could_not_see(
    own_store: OwnStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    refused: list[str],
    unseen: list[str],
    planned: bool,
) -> None:
    with open_store(start(own_store, refused)) as store:
        how = config(tmp_path, plan_memory=True)
        made = publish(generations(store), content(), blocks(content()), how)

        assert hashes(store, made.generation) == expected(content(), 0)
    assert ("bytes_planned" in made.counts, "bytes_taken" in made.counts) == (planned, "INFO" not in refused)
    (warning,) = warnings(caplog, "store.unseen")
    said = vars(warning)
    assert [text[: len(wanted)] for text, wanted in zip(said["unseen"], unseen, strict=True)] == unseen
    assert len(said["why"]) == len(unseen)
    assert len(warnings(caplog, "functions.refused")) == ("FUNCTION" in refused)


def test_a_store_that_refuses_whole_keys_gets_them_piece_by_piece(
    own_store: OwnStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = content()
    with open_store(start(own_store, ["RESTORE"])) as store:
        made = publish(generations(store), of, blocks(of), config(tmp_path))

        assert hashes(store, made.generation) == expected(of, 0)
        assert 0 < int(store.ttl(KEYS.list(1, 1))) <= TTL_S
        assert read_seen(store, KEYS.seen(1)) == seen_in_facts(of.views, of.post_ids, 0)
    (warning,) = warnings(caplog, "restore.refused")
    assert "unknown command" in vars(warning)["why"]


def test_the_api_serves_and_takes_events_from_a_store_that_tells_nothing(
    own_store: OwnStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = start(own_store, ["CONFIG", "INFO", "MEMORY", "CLIENT", "FUNCTION"])
    with open_store(url) as store:
        world = World().publish(store).promote(store)
    seen = {"event_id": "e1", "user_id": 2, "post_id": 40, "action": "view", "time": "2021-12-20T10:45:00"}

    with serving(url, tmp_path) as client:
        asked = {"id": "2", "time": "2021-12-20T10:50:00", "limit": "2"}
        before = client.get("/post/recommendations/", params=asked).json()
        for event_id in ("e1", "e2"):
            told = client.post(
                "/events", json={**seen, "event_id": event_id}, headers=first_token(tmp_path, "write")
            )
            assert told.status_code == 200, told.text
        after = client.get("/post/recommendations/", params=asked).json()

    assert before == [world.post(40), world.post(38)]
    assert after == [world.post(38), world.post(36)]
    assert len(warnings(caplog, "store.unseen")) == len(warnings(caplog, "store.untracked")) == 1


def test_the_plan_says_what_it_could_not_see(own_store: OwnStore) -> None:
    sizes = Sizes.of_numbers(users=10**4, posts=100, buckets=24, depth=50, seen=20, likes=5, text_bytes=100)

    def plan(*refused: str) -> Plan:
        own_store.kill()
        with open_store(start(own_store, refused, "--maxmemory", "64mb", "--appendonly", "no")) as store:
            return plan_memory(generations(store), sizes, 2, np.random.default_rng(0))

    whole, without_config, without_info = plan(), plan("CONFIG"), plan("INFO")

    assert (whole.limit, without_config.limit, without_info.limit) == (64 * 2**20, 64 * 2**20, None)
    assert whole.generation == pytest.approx(without_info.generation, rel=0.01)
    assert [plan.values()["fits"] for plan in (whole, without_info)] == [False, None]
    with pytest.raises(StoreUnfit, match="let this user run MEMORY USAGE"):
        plan("MEMORY")
