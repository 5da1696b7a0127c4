"""The scheduler as it is deployed: Prometheus sees its night, and people hear of it."""

import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from api.contract.keys import Keys
from batch.__main__ import run_command
from batch.jobs.watch import Watch, look
from batch.settings import Settings
from batch.store.wait import wait_until
from tests.clients import OwnStore
from tests.conftest import free_port
from tests.forked import program
from tests.webhook import Webhook, webhook
from tests.world import PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

SECRET = "zqzq"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Give a webhook on this machine whose address is a secret."""
    with webhook() as hook:
        hook.url += SECRET
        yield hook


def test_the_schedulers_night_is_seen_by_prometheus_and_told_to_people(
    hook: Webhook,
    valkey_url: str,
    store: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "notices").write_text(
        f"# errors go elsewhere\nerror=json://127.0.0.1:1/{SECRET}\n{hook.url}\n"
    )
    port = free_port()
    monkeypatch.setenv("ALMANAC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    monkeypatch.setenv("ALMANAC_VARIANT", "popular")  # a night of seconds: it trains nothing
    monkeypatch.setenv("ALMANAC_N_BUCKETS", "2")
    monkeypatch.setenv("ALMANAC_NOTICES_FILE", str(tmp_path / "notices"))
    monkeypatch.setenv("ALMANAC_STALE_H", "0")
    monkeypatch.setenv("ALMANAC_METRICS_PORT", str(port))
    assert run_command(["simulate", "--users", "40", "--posts", "120"]) == 0
    scheduler = subprocess.Popen([*program(), "schedule"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    try:
        assert wait_until(lambda: bool(hook.of_runs()), 120)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
    finally:
        scheduler.send_signal(signal.SIGTERM)
        said, _ = scheduler.communicate(timeout=60)

    (told,) = hook.of_runs()
    assert told["title"] == "Almanac: full run finished"
    assert "Generation 1 of popular took" in told["message"]
    assert "Look further: almanac generations show 1" in told["message"]
    found = {
        (s.name.removeprefix("almanac_batch_"), *s.labels.values()): s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
    }
    assert found["runs_total", "full", "done"] == 1
    assert found["stage_seconds", "read"] > 0
    assert found["rows_read", "user_data"] == 40
    assert found["lists",] == 80
    assert found["generation", "popular"] == 1
    assert found["log_events_total", "INFO"] > 5
    assert SECRET not in said.decode()
    assert "notice.sent" in said.decode()


def test_a_run_that_fails_tells_people_why_and_keeps_its_exit_code(
    hook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ALMANAC_NOTICES", f"json://127.0.0.1:1/{SECRET} {hook.url}")
    monkeypatch.setenv("ALMANAC_REDIS_URL", "redis://ann:hush@127.0.0.1:1/0")
    monkeypatch.setattr("batch.notices.sender.TRIES_AFTER_S", (0.0,))
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "feed_data.csv").write_text("timestamp,user_id,post_id,action,target\n")

    code = run_command(["run", "--data", str(tmp_path / "facts")])

    (told,) = hook.heard
    assert code == 4
    assert (told["title"], told["type"]) == ("Almanac: full run failed", "failure")
    assert "the store at redis://ann:***@127.0.0.1:1/0 does not work for us" in told["message"]
    assert "(exit code 4)" in told["message"]
    said = "".join(capsys.readouterr())
    assert ('"event":"notice.failed"' in said, '"event":"notice.sent"' in said) == (True, True)
    assert SECRET not in said


def test_an_address_that_is_none_stops_the_start_by_its_place_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("apprise")
    monkeypatch.setenv("ALMANAC_NOTICES", f"json://127.0.0.1 nonsense://{SECRET}")

    assert run_command(["run", "--data", str(tmp_path)]) == 2

    said = capsys.readouterr().err
    assert "address 2 of ALMANAC_NOTICES is none that apprise knows" in said
    assert SECRET not in said


def test_a_look_tells_ages_the_life_of_lists_and_the_stores_memory(store: redis.Redis) -> None:
    World().publish(store).promote(store)
    keys, now_s = Keys("almanac"), PROMOTED_AT_S + 60
    store.set(keys.users(1), "2")

    endless = look(Settings(), store, now_s)
    store.expire(keys.list("2", 1), 5_000)
    living = look(Settings(), store, now_s)
    store.delete(keys.list("2", 1))
    gone = look(Settings(), store, now_s)

    assert (living.generation, living.variant, living.publication_age_s) == (1, "default", 60)
    assert living.fact_age_s == now_s - living.as_of_s == 960
    assert living.store_used_mb is not None
    assert living.list_left_s is not None
    assert 4_900 < living.list_left_s <= 5_000
    assert (endless.list_left_s, gone.list_left_s) == (None, 0)


def test_a_watch_says_what_is_new_at_once_and_the_rest_hourly(
    own_store: OwnStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="batch.jobs.watch")
    now_s = [float(PROMOTED_AT_S + 60)]
    own_store.start()
    watch = Watch(Settings(), own_store.url, lambda: now_s[0])

    def said_after(step_s: float) -> list[str]:
        caplog.clear()
        now_s[0] += step_s
        watch.step()
        return [record.getMessage() for record in caplog.records]

    assert said_after(60) == []
    with redis.Redis.from_url(own_store.url) as client:
        World().publish(client).promote(client)
    assert said_after(60) == ["generation.watched"]
    assert said_after(60) == []
    assert said_after(3600) == ["generation.watched"]
    own_store.kill()
    assert (said_after(60), said_after(60)) == (["store.lost"], [])
    own_store.start()
    assert said_after(60) == ["store.found"]
