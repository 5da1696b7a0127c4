"""The inspector's runs: the record, a run that is followed and cancelled, one that is asked for."""

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis

from api.contract.asked import MOST_WAITING, Ask
from batch.jobs.asked import ask_for, read_waiting
from batch.publish.folder import GenerationFolder
from batch.runs.record import Stage
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.turn import hold_turn
from batch.store.who import who_am_i
from tests.conftest import free_port
from tests.content import KEYS
from tests.inspecting import Inspected, inspecting
from tests.integration.test_inspector_generations import confirm, do
from tests.world import PROMOTED_AT_S, World

pytestmark = pytest.mark.integration
BY = f"{who_am_i()} asked for it in the inspector"

HOSTILE = '{"at":"now","event":"</pre><script>alert(1)</script>"}'


@pytest.fixture
def inspector(valkey_url: str, store: redis.Redis, tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector, signed in, of a store that serves the world."""
    World().publish(store).promote(store)
    with inspecting(valkey_url, tmp_path, refresh_schedule="30 * * * *") as opened:
        yield opened.enter()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give the record of the inspector's state folder."""
    return Runs(tmp_path)


def follow(inspector: Inspected, number: int) -> list[dict[str, object]]:
    """Return what is told of a run that is followed, until it has ended."""
    answered = inspector.client.get(f"/run/live?number={number}")
    assert answered.headers["content-type"].startswith("text/event-stream")
    return [orjson.loads(part.removeprefix("data: ")) for part in answered.text.split("\n\n") if part]


def test_runs_are_listed_with_what_comes_next_and_what_waits(
    inspector: Inspected, runs: Runs, store: redis.Redis
) -> None:
    number = runs.begin("full", "default")
    runs.end(number, "failed", "the facts were <b>refused</b>", 3)
    store.xadd(KEYS.events(), {"user": 1})

    found = inspector.read("/runs")

    assert [(run["number"], run["kind"], run["outcome"]) for run in found["runs"]] == [(1, "full", "failed")]
    assert found["next"] == {"full": "2021-12-21T03:00:00+00:00", "refresh": "2021-12-20T11:30:00+00:00"}
    assert (found["events"], found["exposures"], found["asked"]) == (1, 0, [])
    assert (found["served"]["generation"], found["is_stale"]) == (1, False)
    assert "<b>" not in inspector.text("/runs")
    inspector.clock.now_s = PROMOTED_AT_S + 40 * 3600
    inspector.enter()
    assert inspector.read("/runs")["is_stale"]
    assert "Stale: variant default" in inspector.text("/runs")


def test_health_tells_what_goes_on_anywhere_short_lists_and_where_the_dashboard_is(
    inspector: Inspected, store: redis.Redis, tmp_path: Path, valkey_url: str
) -> None:
    folder = GenerationFolder.of(tmp_path / "generations", 1)
    folder.path.mkdir(parents=True)
    folder.stats.write_bytes(orjson.dumps({"n_lists": 192, "n_short": 24, "n_users": 8, "n_empty": 1}))
    with hold_turn(store, KEYS.runs_now(), "refresh", 7):
        found = inspector.read("/runs")
        page = inspector.text("/runs")

    assert found["lists"] == {"lists": 192, "short": 24, "users": 8, "empty": 1}
    assert (found["going"]["kind"], found["going"]["run"]) == ("refresh", 7)
    assert f"refresh run 7 on {found['going']['host']} since" in page
    assert "24 of 192 have fewer posts than they could; 1 of 8 users have none" in page
    assert found["grafana"] is None
    assert inspector.read("/runs")["going"] is None
    with inspecting(valkey_url, tmp_path, grafana_url="https://grafana.example/g/") as linked:
        assert 'href="https://grafana.example/g/d/almanac"' in linked.enter().text("/runs")
    with pytest.raises(ValueError, match="ALMANAC_GRAFANA_URL"):
        Settings(grafana_url="javascript:alert(1)")


def test_runs_are_told_while_the_store_is_away(runs: Runs, tmp_path: Path) -> None:
    number = runs.begin("full", "default")
    with inspecting(f"redis://:secret@127.0.0.1:{free_port()}/0", tmp_path) as away:
        found = away.enter().read("/runs")
        page = away.text("/runs")

        assert [(run["number"], run["outcome"]) for run in found["runs"]] == [(number, "running")]
        assert "ALMANAC_REDIS_URL" in found["away"]
        assert "secret" not in page
        assert "The store does not answer" in page
        assert away.read("/run", number=number)["is_on"]
        values = confirm(away, act="cancel", run=number)
        assert away.post("/act", act="cancel", served=values["served"], run=number).status_code == 303
    assert runs.note(number, "read", 1, 2) == ("cancelled", BY)
    runs.end(number, "cancelled")


def test_a_run_shows_its_stages_and_its_last_log_lines(inspector: Inspected, runs: Runs) -> None:
    number = runs.begin("full", "default")
    runs.add_stage(number, Stage("read", "", 0.0, 1.5, 1.0, 300, 70, "done"))
    runs.end(number, "done")
    runs.log_of(number).write_text("".join(f"line {k}\n" for k in range(50)) + HOSTILE + "\n")

    shown = inspector.read("/run", number=number)

    assert [(stage["name"], stage["rows"]) for stage in shown["stages"]] == [("read", 70)]
    assert len(shown["tail"]) == 40
    assert shown["tail"][-2:] == ["line 49", HOSTILE]
    assert HOSTILE not in inspector.text("/run", number=number)
    assert "there is no run 9" in inspector.read("/run", 404, number=9)["error"]
    assert inspector.client.get("/run/live?number=9").status_code == 404


def test_a_run_is_followed_until_it_has_ended(inspector: Inspected, runs: Runs) -> None:
    number = runs.begin("full", "default")
    runs.note(number, "score", 3, 4)
    assert "data-live" in inspector.text("/run", number=number)

    ending = threading.Timer(0.3, runs.end, (number, "done"))
    ending.start()
    told = follow(inspector, number)
    ending.join()

    assert (told[0]["stage"], told[0]["share"], told[0]["is_on"]) == ("score", 0.75, True)
    assert (told[-1]["outcome"], told[-1]["is_on"]) == ("done", False)
    assert "data-live" not in inspector.text("/run", number=number)
    assert len(follow(inspector, number)) == 1
    inspector.client.cookies.clear()
    assert inspector.client.get(f"/run/live?number={number}").status_code == 401


def test_a_run_is_cancelled_once_it_was_confirmed(inspector: Inspected, runs: Runs) -> None:
    number = runs.begin("full", "default")
    assert "ends at its next checkpoint" in confirm(inspector, act="cancel", run=number)["says"][0]
    assert runs.note(number, "read", 1, 2) is None

    done = do(inspector, act="cancel", run=number)

    assert (done.status_code, done.headers["location"]) == (303, "/runs")
    assert runs.note(number, "read", 2, 2) == ("cancelled", BY)
    assert "asked to end" in inspector.text("/run", number=number)
    runs.end(number, "cancelled", BY)
    assert inspector.read("/run", number=number)["outcome"] == "cancelled"
    assert "has ended already" in inspector.read("/confirm", 422, act="cancel", run=number)["error"]


def test_a_run_is_put_in_the_queue_of_the_scheduler(inspector: Inspected, store: redis.Redis) -> None:
    assert do(inspector, act="start", pipeline="refresh").status_code == 303

    assert [ask for _, ask in read_waiting(store, KEYS)] == [Ask("refresh")]
    (waiting,) = inspector.read("/runs")["asked"]
    assert waiting["pipeline"] == "refresh"
    for _ in range(MOST_WAITING - 1):
        ask_for(store, KEYS, "full")
    refused = do(inspector, act="start", pipeline="full")
    assert refused.status_code == 422
    assert "16 runs wait already" in refused.text
    assert inspector.read("/confirm", 404, act="start", pipeline="everything")["title"] == "Not found"
