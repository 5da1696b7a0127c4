"""Runs that are asked for over HTTP, from the queue to what is told of them, against a real store."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.asked import TOLD_S, Ask, Going, Pipeline, Told
from api.contract.keys import Keys
from batch.data.write import write
from batch.jobs.asked import AskedRuns
from batch.jobs.drain import Drain
from batch.progress import Progress
from batch.runs.record import Asked
from batch.runs.recorded import recorded
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.store.turn import TTL_S, RunGoesOn, hold_turn
from tests.clients import first_token, serving
from tests.forked import program

pytestmark = pytest.mark.integration

KEYS = Keys()
MARKETPLACE = (
    "raw_data/preprocess",
    "train/ranker",
    "train/cold_recbs",
    "inference/ranker",
    "inference/cold_recbs",
)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Give a record of runs."""
    return Runs(tmp_path)


class Desk:
    """A scheduler's side of the queue whose runs are made by a test."""

    def __init__(self, store: redis.Redis, runs: Runs) -> None:
        """Let runs end at once and well."""
        self.body: Callable[[Progress], object] = lambda _progress: None
        self.begun: list[str] = []
        self.store, self.runs = store, runs
        self.stopped = threading.Event()
        self.queue = AskedRuns(store, KEYS, runs, self._run, self.stopped)
        self.queue.begin = lambda: None

    def ask(self, ask: Ask) -> str:
        """Ask as the API does."""
        return cast("bytes", self.store.xadd(KEYS.runs_asked(), cast("Any", ask.to_fields()))).decode()

    def told(self, run_id: str) -> Told:
        """Return what the API is told."""
        assert 0 < self.store.ttl(KEYS.runs_status(run_id)) <= TOLD_S
        return Told.from_json(cast("bytes", self.store.get(KEYS.runs_status(run_id))))

    def _run(self, pipeline: Pipeline) -> None:
        self.begun.append(pipeline)
        progress = Progress()
        with recorded(self.runs, progress, "full", "default", Asked("http")) as record:
            record.tell(generation=7)
            self.body(progress)


@pytest.fixture
def desk(store: redis.Redis, runs: Runs) -> Desk:
    """Give a scheduler's side of an empty queue."""
    return Desk(store, runs)


def test_what_waits_is_run_in_its_order_and_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    first, second = desk.ask(Ask(pipeline="refresh")), desk.ask(Ask(pipeline="full"))

    with caplog.at_level("INFO"):
        desk.queue.look()
        desk.queue.work()

    assert desk.begun == ["refresh", "full"]
    assert desk.store.xlen(KEYS.runs_asked()) == 0
    for run_id, number in ((first, 1), (second, 2)):
        told = desk.told(run_id)
        assert (told.state, told.run, told.generation) == ("done", number, 7)
        assert json.loads(told.log[0])["event"] == "run.begun"


def test_a_run_that_fails_says_why_and_the_next_one_is_run(desk: Desk) -> None:
    first, second = desk.ask(Ask(pipeline="full")), desk.ask(Ask(pipeline="full"))

    def fail_once(_progress: Progress) -> None:
        if len(desk.begun) == 1:
            raise ValueError("the facts hold no like")

    desk.body = fail_once
    desk.queue.work()

    assert (desk.told(first).state, desk.told(first).why) == ("failed", "the facts hold no like")
    assert desk.told(second).state == "done"


def test_a_run_that_goes_on_is_told_and_can_be_cancelled(desk: Desk) -> None:
    run_id, seen = desk.ask(Ask(pipeline="full")), list[Told]()

    def go_on(progress: Progress) -> None:
        for done in range(1000):
            with progress.phases("read") as show:
                show("read", done, 1000)
            desk.queue.look()
            seen.append(desk.told(run_id))
            if done == 2:
                desk.ask(Ask(cancel=run_id))
            time.sleep(0.02)

    desk.body = go_on
    desk.queue.work()

    assert (seen[0].state, seen[0].pipeline, seen[0].stage, seen[0].run) == ("running", "full", "read", 1)
    assert desk.told(run_id).state == "cancelled"
    assert "asked for over HTTP" in desk.told(run_id).why
    assert len(seen) < 1000
    assert desk.store.xlen(KEYS.runs_asked()) == 0


def test_what_is_cancelled_while_it_waits_does_not_begin(desk: Desk) -> None:
    first, second = desk.ask(Ask(pipeline="full")), desk.ask(Ask(pipeline="refresh"))
    desk.ask(Ask(cancel=first))

    desk.queue.look()
    desk.queue.work()

    assert desk.begun == ["refresh"]
    assert (desk.told(first).state, desk.told(second).state) == ("cancelled", "done")


def test_a_scheduled_run_is_told_by_its_number_and_its_end_too(desk: Desk, runs: Runs) -> None:
    number = runs.begin("full", "default", Asked("schedule", 1_764_468_000))
    desk.queue.look()
    going = desk.told(str(number))
    runs.end(number, "failed", "the store is full", 4)

    desk.queue.look()

    assert (going.state, going.pipeline) == ("running", "full")
    assert (desk.told(str(number)).state, desk.told(str(number)).why) == ("failed", "the store is full")


def test_an_entry_that_asks_for_nothing_we_know_is_dropped(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for fields in ({"pipeline": "retrain"}, {"cancel": "all"}, {"x": "\x00"}):
        desk.store.xadd(KEYS.runs_asked(), cast("Any", fields))
    run_id = desk.ask(Ask(pipeline="full"))

    desk.queue.look()
    desk.queue.work()

    assert desk.begun == ["full"]
    assert desk.told(run_id).state == "done"
    assert [record.getMessage() for record in caplog.records].count("ask.refused") == 3


def test_while_a_run_is_begun_no_other_is(desk: Desk) -> None:
    begun: list[int] = []
    desk.queue.begin = lambda: begun.append(1)
    desk.ask(Ask(pipeline="full"))

    for _ in range(3):
        desk.queue.look()
    desk.queue.work()
    desk.ask(Ask(pipeline="full"))
    desk.queue.look()

    assert len(begun) == 2


def test_once_it_is_stopped_nothing_more_begins_and_what_waits_stays(desk: Desk) -> None:
    desk.body = lambda _progress: desk.stopped.set()
    first, second = desk.ask(Ask(pipeline="full")), desk.ask(Ask(pipeline="full"))

    desk.queue.work()

    assert desk.begun == ["full"]
    assert desk.told(first).state == "done"
    assert [entry.decode() for entry, _ in cast("Any", desk.store.xrange(KEYS.runs_asked()))] == [second]


def test_how_a_run_ended_while_the_store_was_away_is_told_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = desk.ask(Ask(pipeline="full"))

    def away(*_: object, **__: object) -> None:
        raise redis.ConnectionError("it is away")

    with monkeypatch.context() as patch:
        desk.body = lambda _progress: patch.setattr(desk.queue._store, "set", away)
        desk.queue.work()
    assert desk.told(run_id).state == "running"

    desk.queue.look()

    assert desk.told(run_id).state == "done"


def test_a_store_that_is_away_is_said_once_and_looked_into_again(
    runs: Runs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.jobs.asked.LOOK_S", 0.01)
    stopped = threading.Event()
    with redis.Redis.from_url("redis://127.0.0.1:1/0") as away:
        queue = AskedRuns(away, KEYS, runs, lambda _pipeline: None, stopped)
        watching = threading.Thread(target=queue.watch, args=(stopped,))
        watching.start()
        time.sleep(0.2)
        stopped.set()
        watching.join()

    assert [record.getMessage() for record in caplog.records] == ["queue.lost"]


def test_one_run_at_a_time_holds_the_turn(store: redis.Redis) -> None:
    with hold_turn(store, KEYS.runs_now(), "full", 42):
        going = Going.from_json(cast("bytes", store.get(KEYS.runs_now())))
        ours = (socket.gethostname(), os.getpid())
        assert (going.run, going.kind, going.host, going.pid) == (42, "full", *ours)
        with pytest.raises(RunGoesOn, match=r"run 42, full, process \d+ on .*: wait until it has ended"):
            take(store)

    assert store.get(KEYS.runs_now()) is None
    take(store)


def take(store: redis.Redis) -> None:
    """Take the turn and give it back."""
    with hold_turn(store, KEYS.runs_now(), "refresh", None):
        pass


def test_the_turn_of_a_process_of_this_host_that_is_gone_is_not_waited_for(store: redis.Redis) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    going = {
        "token": "5f",
        "host": socket.gethostname(),
        "pid": gone.pid,
        "since_s": 1,
        "kind": "full",
        "run": 1,
    }
    store.set(KEYS.runs_now(), json.dumps(going), px=600_000)

    take(store)

    assert store.get(KEYS.runs_now()) is None


def test_a_turn_that_lapsed_is_taken_again_unless_another_run_has_it(
    store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.store.turn.TTL_S", 0.4)
    with hold_turn(store, KEYS.runs_now(), "full", 42):
        own = store.get(KEYS.runs_now())
        store.delete(KEYS.runs_now())  # as a store that was away for longer has it
        deadline = time.monotonic() + 5
        while store.get(KEYS.runs_now()) != own:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        store.set(KEYS.runs_now(), b"another")
        time.sleep(0.5)
        assert store.get(KEYS.runs_now()) == b"another"

    assert store.get(KEYS.runs_now()) == b"another"
    assert TTL_S > 1


def test_a_drain_that_fails_says_so_once_and_once_that_it_goes_on(
    store: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.xadd(KEYS.events(), {"id": "a1"})
    settings = Settings(state_dir=tmp_path, events_url="sqlite:////dev/null/events.db")
    broken = Drain(settings, store)

    with caplog.at_level("INFO"):
        broken()
        broken()
        broken._settings = Settings(state_dir=tmp_path)
        broken()
        broken()

    said = [record.getMessage() for record in caplog.records]
    assert said == ["drain.failed", "drain.resumed"]
    assert store.xlen(KEYS.events()) == 0


@pytest.fixture
def scheduler(valkey_url: str, store: redis.Redis, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a scheduler that waits to be asked, over facts of a small world."""
    assert store.dbsize() == 0
    write(str(tmp_path / "facts"), tables(WorldConfig(60, 300, 1)))
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")},
        "ALMANAC_REDIS_URL": valkey_url.replace("api:" + "a" * 24, "batch:" + "b" * 24),
        "ALMANAC_STATE_DIR": str(tmp_path / "state"),
        "ALMANAC_DATABASE_URL": str(tmp_path / "facts"),
        "ALMANAC_N_BUCKETS": "2",
        "ALMANAC_N_TREES": "5",
        "ALMANAC_SCHEDULE": "0 0 1 1 *",
    }
    command = [*program(), "schedule", "--no-at-start", "--json"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_runs_are_asked_for_over_http_and_made_by_the_scheduler_whole_and_in_parts(
    scheduler: "subprocess.Popen[str]", valkey_url: str, store: redis.Redis, tmp_path: Path
) -> None:
    with serving(valkey_url, tmp_path / "api", int(time.time())) as client:
        client.headers.update(first_token(tmp_path / "api", "admin"))
        asked = client.post("/pipelines/full/runs").json()
        done = await_state(client, asked["id"], "done")
        whole = root_of(store, 1)
        parts = [
            await_state(client, client.post(f"/wbtech_proj/pipelines/{handle}/").json()["id"], "done")
            for handle in MARKETPLACE
        ]
        feed = client.get("/ready")
        scheduler.send_signal(signal.SIGTERM)
        said, _ = scheduler.communicate(timeout=30)

    events = [json.loads(line).get("event") for line in said.splitlines() if line.startswith("{")]
    assert (done["run"], done["generation"]) == (1, 1)
    assert any('"run.done"' in line for line in done["log"])
    told = [(part["run"], part["pipeline"], part["generation"]) for part in parts]
    assert told == [
        (2, "preprocess", None),
        (3, "train", None),
        (4, "train", None),
        (5, "infer", 2),
        (6, "infer", 3),
    ]
    assert feed.json()["generation"] == 3
    assert [root_of(store, n) for n in (2, 3)] == [whole, whole]
    assert scheduler.returncode == 0
    assert [event for event in events if event and event.startswith(("run.", "schedule."))] == [
        "schedule.started",
        *(["run.begun", "run.done"] * 2),
        *["run.begun", "run.resumed", "run.done"] * 4,
        "schedule.stopped",
    ]
    recent = Runs(tmp_path / "state").recent()
    assert [run.kind for run in recent] == ["full", "full", "train", "train", "preprocess", "full"]
    assert {(run.outcome, run.asked_by) for run in recent} == {("done", "http")}
    assert store.get(KEYS.runs_now()) is None


def root_of(store: redis.Redis, generation: int) -> str:
    """Return the checksum of a generation."""
    return str(json.loads(cast("bytes", store.get(KEYS.manifest(generation))))["root"])


def await_state(client: TestClient, run_id: str, state: str) -> dict[str, Any]:
    """Wait until a run is in a state, and return it."""
    give_up = time.monotonic() + 300  # the first run of a checkout compiles
    while True:
        run = dict(client.get(f"/pipelines/runs/{run_id}").json())
        if run["state"] == state:
            return run
        assert run["state"] in ("waiting", "running"), run
        assert time.monotonic() < give_up, run
        time.sleep(0.2)
