"""What operators see: counts that are right, and the id of a request on its way."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
import redis
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.log import JsonLines, request_id
from tests.clients import first_token, serving
from tests.world import World

pytestmark = pytest.mark.integration

FEED = "/post/recommendations/"


@pytest.fixture
def client(store: redis.Redis, valkey_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """Give a client of an app that serves the world."""
    World().publish(store).promote(store)
    with serving(valkey_url, tmp_path) as opened:
        opened.headers.update(first_token(tmp_path, "admin"))
        yield opened


def scraped(client: TestClient) -> dict[tuple[str, ...], float]:
    """Return (name, values of the labels in the order of their names) to value of every sample."""
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_status_and_rung(client: TestClient) -> None:
    for path in (
        f"{FEED}?id=2&limit=3",
        f"{FEED}?id=2&limit=3",
        f"{FEED}?id=999",
        f"{FEED}?id=",
        "/users/2/feed",
        "/no",
    ):
        client.get(path)
    client.get("/users/2/feed?exclude=40")

    found = scraped(client)
    name, native = "almanac_requests_total", "/users/{user_id}/feed"
    assert found[name, FEED, "own", "200"] == 2
    assert found[name, FEED, "popular", "200"] == 1
    assert found[name, FEED, "", "422"] == 1
    assert sum(value for (what, *labels), value in found.items() if what == name and labels[0] == native) == 2
    assert found[name, "none", "", "404"] == 1


def test_underfill_events_and_what_is_served_are_told(client: TestClient) -> None:
    client.get(f"{FEED}?id=2&limit=100")
    client.post("/events", json=[{"user_id": 2, "post_id": 40, "action": "view"}, 7])

    found = scraped(client)
    assert sum(value for (name, *_), value in found.items() if name == "almanac_underfilled_total") == 1
    assert (found["almanac_events_total", "accepted"], found["almanac_events_total", "malformed"]) == (1, 1)
    assert found["almanac_generation", "default"] == 1
    assert (
        found["almanac_newest_fact_age_seconds", "default"]
        > found["almanac_publication_age_seconds", "default"]
        > 0
    )
    assert found["almanac_store_up",] == 1
    assert found["almanac_lookup_seconds_count",] == found["almanac_lookup_batch_count",] == 1


def test_every_metric_stands_in_the_docs_and_no_other(client: TestClient) -> None:
    client.get(f"{FEED}?id=2&limit=100")
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()

    families = text_string_to_metric_families(client.get("/metrics").text)

    documented = {name.removesuffix("_total") for name in re.findall(r"`(almanac_[a-z_]+)", page)}
    assert {family.name for family in families} == documented


def test_a_request_keeps_its_id_or_gets_one_on_every_route(client: TestClient) -> None:
    paths = (FEED, f"{FEED}?id=2", "/users/2/feed", "/users/2/feed?exclude=1", "/health", "/nothing")

    own = [client.get(path, headers={"X-Request-Id": "a-1"}).headers["x-request-id"] for path in paths]
    made = [
        client.get(path, headers=headers).headers["x-request-id"]
        for path in paths
        for headers in ({}, {"X-Request-Id": "two words"})
    ]

    assert set(own) == {"a-1"}
    assert {len(text) for text in made} == {16}
    assert len(set(made)) == len(made)


def test_a_log_line_names_the_request_that_it_belongs_to() -> None:
    record = logging.makeLogRecord({"msg": "store.lost", "levelname": "WARNING"})

    said = request_id.set("a-1")
    inside = orjson.loads(JsonLines().format(record))
    request_id.reset(said)

    assert inside["request_id"] == "a-1"
    assert "request_id" not in orjson.loads(JsonLines().format(record))


def test_a_log_line_is_not_lost_where_keys_of_a_field_are_numbers() -> None:
    record = logging.makeLogRecord({"msg": "model.chosen", "compared": {"stack": {1: np.float64(0.5)}}})

    assert orjson.loads(JsonLines().format(record))["compared"] == {"stack": {"1": 0.5}}


def test_a_request_logs_nothing_but_at_debug(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="api")

    client.get("/health")
    client.get(f"{FEED}?id=2")

    ours = [record for record in caplog.records if record.name.startswith("api")]  # not the test client's
    assert {record.levelname for record in ours} <= {"DEBUG"}
    assert [record.message for record in ours] == ["request.done"] * 2
