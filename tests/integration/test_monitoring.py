"""Every metric and label that alerts and dashboard name is in what batch and API really expose."""

import json
import logging
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families

from batch.metrics import BatchMetrics, scraped
from batch.settings import Settings
from tests.clients import first_token, serving
from tests.conftest import free_port
from tests.world import World

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "docs/monitoring"
PROMETHEUS_OWN = {"ALERTS", "up"}
ADDED_BY_SCRAPE = {"instance", "job"}
SELECTOR = re.compile(r"\b((?:almanac|process)_[a-z_]+|ALERTS|up)\b(?!\s*\()(?:\{([^}]*)\})?")

Labels = dict[str, set[str]]


def exposed(text: str) -> Labels:
    """Return the labels of every sample that a scrape could find, by its name; none where it has none yet."""
    found: Labels = defaultdict(set)
    for family in text_string_to_metric_families(text):
        total = "_total" if family.type == "counter" else ""
        found[f"{family.name}{total}"] |= set()  # a name counts before its first sample
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


def told() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give events that bring every metric of the batch to life."""
    run = {"kind": "full", "variant": "default"}
    figures = {"rows_read": {"feed_data": 9}, "rows_rejected": {"future_time": 1}, "lists_written": 2}
    metrics = {"hitrate_at_5": 0.5, "test_sessions": 9.0}
    memory = {"store_used_mb": 1, "store_bound_mb": 2}
    served = {"generation": 1, "variant": "default", "as_of_s": 1, "promoted_s": 2, "list_left_s": 3}
    yield "run.begun", run
    yield "stage.done", {"stage": "read", "seconds": 1.0, "cpu_s": 1.0, "peak_mb": 1, "rows": 9}
    yield "generation.judged", {"outcome": "proceed", "mode": "warn"}
    yield "generation.watched", {**served, **memory}
    yield "run.done", {**run, **figures, "metrics": metrics}


@pytest.fixture
def of_both(store: redis.Redis, valkey_url: str, tmp_path: Path) -> Labels:
    """Scrape both processes and give the labels of what they expose."""
    batch = BatchMetrics(Settings(), memory_mb=1)
    for event, fields in told():
        batch.handle(logging.makeLogRecord({"msg": event, "levelname": "INFO", **fields}))
    port = free_port()
    with (
        scraped(batch, "127.0.0.1", port),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply,
    ):
        found = exposed(reply.read().decode())
    World().publish(store).promote(store)
    with serving(valkey_url, tmp_path) as client:
        client.headers.update(first_token(tmp_path, "admin"))
        client.get("/users/2/feed?limit=100")
        client.get("/none")
        client.post("/events", json=[{"user_id": 2, "post_id": 40, "action": "view"}])
        return found | exposed(client.get("/metrics").text)


def written() -> list[str]:
    """Return every PromQL expression of alerts and dashboard."""
    alerts = yaml.safe_load((FOLDER / "alerts.yml").read_bytes())
    board = json.loads((FOLDER / "grafana/dashboards/almanac.json").read_bytes())
    questions = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    questions += [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    questions += [variable["definition"] for variable in board["templating"]["list"]]
    questions += [note["expr"] for note in board["annotations"]["list"]]
    return questions


def asked(questions: list[str]) -> set[tuple[str, str]]:
    """Return (metric, label) of every selector in expressions; the label is empty where there is none."""
    found = set()
    for question in questions:
        for name, selectors in SELECTOR.findall(question):
            labels = re.findall(r'([a-z]+)\s*(?:=~|!=|!~|=)\s*"', selectors) or [""]
            found |= {(name, label) for label in labels}
    return found


def absent(questions: list[str], exposed: Labels) -> set[tuple[str, str]]:
    """Return what of that nobody exposes."""
    return {
        (name, label)
        for name, label in asked(questions)
        if name not in PROMETHEUS_OWN
        and (name not in exposed or (label and label not in exposed[name] | ADDED_BY_SCRAPE))
    }


def test_what_alerts_and_dashboard_ask_for_is_exposed_by_batch_or_api(of_both: Labels) -> None:
    names = {name for name, _ in asked(written())}

    assert len(names) > 30
    assert absent(written(), of_both) == set()
    assert {"almanac_arm_answers_total", "almanac_exposures_total", "almanac_unanswered_total"} <= names
    slips = ['almanac_batch_runs{kind="full"} > 0', 'sum(rate(almanac_events_total{route="/events"}[5m]))']
    assert absent(slips, of_both) == {("almanac_batch_runs", "kind"), ("almanac_events_total", "route")}
