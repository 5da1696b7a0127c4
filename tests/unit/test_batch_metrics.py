"""What Prometheus sees of the batch, by what was logged."""

import logging
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from batch.bound import read_memory_bound
from batch.metrics import BatchMetrics, scraped
from batch.settings import Settings
from tests.conftest import free_port

MIB = 2**20
NAMED = {"kind": "full", "variant": "default"}
RESULT: dict[str, Any] = {
    **NAMED,
    "rows_read": {"feed_data": 1200, "user_data": 40},
    "rows_rejected": {"future_time": 3},
    "lists_written": 120,
    "metrics": {"hitrate_at_5": 0.5, "test_sessions": 400.0},
}
SERVED: dict[str, Any] = {
    "generation": 7,
    "variant": "default",
    "as_of_s": 1_640_000_000,
    "promoted_s": 1_640_000_100,
    "list_left_s": 3_600,
    "store_used_mb": 5,
    "store_bound_mb": None,
}

Say = Callable[..., None]
Samples = dict[tuple[str, ...], float]


@pytest.fixture
def metrics() -> BatchMetrics:
    return BatchMetrics(Settings(stale_h=2, list_ttl_s=7200), memory_mb=1024)


@pytest.fixture
def say(metrics: BatchMetrics) -> Say:
    def say(event: str, at_s: float = 1_640_000_500.0, level: str = "INFO", **fields: Any) -> None:
        record = {"msg": event, "levelname": level, "levelno": logging.INFO, "created": at_s, **fields}
        metrics.handle(logging.makeLogRecord(record))

    return say


def samples(text: str) -> Samples:
    """Return (name, values of its labels) to value of every sample."""
    families = text_string_to_metric_families(text)
    return {
        (s.name.removeprefix("almanac_batch_"), *s.labels.values()): s.value
        for f in families
        for s in f.samples
    }


def seen(metrics: BatchMetrics) -> Samples:
    return samples(generate_latest(metrics.registry).decode())


def test_a_run_is_shown_while_it_goes_on_and_by_how_it_ended(metrics: BatchMetrics, say: Say) -> None:
    say("run.begun", 100.0, **NAMED)
    going = seen(metrics)
    say("run.failed", 160.0, level="ERROR", outcome="failed", why="no room", exit_code=2, **NAMED)
    say("run.begun", 200.0, **NAMED)
    say("run.done", 260.0, **RESULT)

    found = seen(metrics)
    assert (going["running", "full"], found["running", "full"]) == (1, 0)
    assert found["run_begun_timestamp_seconds", "full"] == 200
    assert found["run_ended_timestamp_seconds", "full", "failed"] == 160
    assert found["run_ended_timestamp_seconds", "full", "done"] == 260
    assert found["runs_total", "full", "failed"] == found["runs_total", "full", "done"] == 1
    assert (found["log_events_total", "INFO"], found["log_events_total", "ERROR"]) == (3, 1)


def test_rows_rejects_and_quality_with_its_interval_are_the_last_full_runs(
    metrics: BatchMetrics, say: Say
) -> None:
    say("run.done", **{**RESULT, "rows_rejected": {"missing_time": 9}})
    say("run.done", **RESULT)
    say("run.done", kind="refresh", variant="default", generation=8, lists_written=2)

    found = seen(metrics)
    assert found["rows_read", "feed_data"] == 1200
    assert found["rows_rejected", "future_time"] == 3
    assert ("rows_rejected", "missing_time") not in found
    assert found["lists",] == 120
    # Wilson's interval of 200 of 400, by hand: (0.5 + z²/800 ± z √(.25/400 + z²/640000)) / (1 + z²/400)
    assert found["quality", "value"] == 0.5
    assert (round(found["quality", "low"], 4), round(found["quality", "high"], 4)) == (0.4512, 0.5488)


def test_a_run_that_measured_nothing_shows_no_quality(metrics: BatchMetrics, say: Say) -> None:
    say("run.done", **RESULT)
    say("run.done", **{**RESULT, "metrics": {}})

    assert not [name for name in seen(metrics) if name[0] == "quality"]


def test_a_stage_is_shown_with_time_memory_and_rows(metrics: BatchMetrics, say: Say) -> None:
    say("stage.done", stage="read", seconds=72.5, cpu_s=61.0, peak_mb=900, rows=76_934_675)

    found = seen(metrics)
    figures = ("stage_seconds", "stage_cpu_seconds", "stage_peak_bytes", "stage_rows")
    assert [found[name, "read"] for name in figures] == [72.5, 61.0, 900 * MIB, 76_934_675]


def test_what_is_served_is_shown_by_times_that_do_not_age(metrics: BatchMetrics, say: Say) -> None:
    say("generation.watched", 1_640_000_500.0, **SERVED)

    found = seen(metrics)
    assert found["generation", "default"] == 7
    assert found["as_of_timestamp_seconds", "default"] == 1_640_000_000
    assert found["promoted_timestamp_seconds", "default"] == 1_640_000_100
    assert found["lists_expire_timestamp_seconds", "default"] == 1_640_004_100
    assert (found["store_up",], found["store_used_bytes",]) == (1, 5 * MIB)
    limits = ("stale_after_seconds", "lists_life_seconds", "memory_bound_bytes")
    assert [found[name,] for name in limits] == [7200, 7200, 1024 * MIB]


def test_a_promotion_is_shown_at_once(metrics: BatchMetrics, say: Say) -> None:
    say("generation.watched", **SERVED)
    say("generation.promoted", 1_640_009_000.0, generation=8, previous=7, variant="default")

    found = seen(metrics)
    assert found["generation", "default"] == 8
    assert found["promoted_timestamp_seconds", "default"] == 1_640_009_000


def test_the_gate_the_store_and_notices_are_shown(metrics: BatchMetrics, say: Say) -> None:
    before = seen(metrics)
    say("generation.judged", outcome="wait", mode="warn", generation=8, why="churn")
    say("store.lost", why="refused")
    say("notice.failed", address=1)
    doubted = seen(metrics)
    say("generation.judged", outcome="proceed", mode="warn", generation=9, why="every check holds")
    say("store.found")

    after = seen(metrics)
    assert (doubted["gate_doubts",], after["gate_doubts",]) == (1, 0)
    assert doubted["judged_total", "warn", "wait"] == 1
    assert (doubted["store_up",], after["store_up",]) == (0, 1)
    failed = ("notices_total", "failed")
    assert (before[failed], doubted[failed]) == (0, 1)


def test_an_event_that_lacks_what_it_should_tell_harms_nobody(
    metrics: BatchMetrics, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    say("generation.watched")
    say("generation.promoted", generation=8, variant="default")

    assert "KeyError" in capsys.readouterr().err
    assert seen(metrics)["generation", "default"] == 8


def test_metrics_are_scraped_over_http_and_the_port_is_free_afterwards(
    metrics: BatchMetrics, say: Say
) -> None:
    say("stage.done", stage="read", seconds=72.5)
    port = free_port()

    for _ in range(2):
        with (
            scraped(metrics, "127.0.0.1", port),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply,
        ):
            found = samples(reply.read().decode())
        assert found["stage_seconds", "read"] == 72.5
        assert found["process_resident_memory_bytes",] > 10 * MIB


def test_a_port_that_is_taken_is_named_with_the_remedy(metrics: BatchMetrics) -> None:
    port = free_port()

    with (
        scraped(metrics, "127.0.0.1", port),
        pytest.raises(
            ValueError, match=f"ALMANAC_METRICS_PORT={port} cannot be had: Address already in use; "
        ),
        scraped(metrics, "127.0.0.1", port),
    ):
        pass


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({"memory.max": "104857600\n"}, 100),
        ({"memory/memory.limit_in_bytes": "209715200\n"}, 200),
    ],
)
def test_the_bound_of_memory_is_the_containers(tmp_path: Path, files: dict[str, str], mib: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert read_memory_bound(tmp_path) == mib


@pytest.mark.parametrize("text", ["max\n", f"{2**63 - 4096}\n"])
def test_without_a_containers_bound_it_is_the_machines(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)

    assert read_memory_bound(tmp_path) == read_memory_bound(tmp_path / "none")
