"""Runs over HTTP as the API has them: what it asks for waits in a queue that holds only so much."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from fastapi.testclient import TestClient
from redis.asyncio import Redis

from api.contract.asked import MOST_WAITING, PIPELINES, SILENT_S, TOLD_S, WAITS_S, Ask, Told
from api.contract.keys import Keys
from api.routes.marketplace import HANDLES
from api.store.asked import Desk
from tests.clients import NOW_S, first_token, serving

pytestmark = pytest.mark.integration

KEYS = Keys()
GOING = {"token": "5f", "host": "night-1", "pid": 7, "since_s": NOW_S, "kind": "full", "run": 42}


@pytest.fixture
def client(store: redis.Redis, valkey_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """Give a client that may administer; the store is empty."""
    assert store.dbsize() == 0
    with serving(valkey_url, tmp_path) as opened:
        opened.headers.update(first_token(tmp_path, "admin"))
        yield opened


def waiting(store: redis.Redis) -> list[Ask]:
    """Return what stands in the queue."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", store.xrange(KEYS.runs_asked()))
    return [Ask.from_fields(fields) for _, fields in entries]


def tell(store: redis.Redis, told: Told) -> None:
    """Say of a run what the batch would."""
    store.set(KEYS.runs_status(told.id), told.to_json(), ex=TOLD_S)


def ask(client: TestClient, name: str = "full", status: int = 202) -> dict[str, Any]:
    """Ask for a run."""
    reply = client.post(f"/pipelines/{name}/runs")
    assert reply.status_code == status, reply.text
    return dict(reply.json())


@pytest.mark.parametrize("name", PIPELINES)
def test_what_is_asked_for_waits_in_the_queue_which_ends_by_itself(
    client: TestClient, store: redis.Redis, name: str
) -> None:
    run = ask(client, name)

    assert (run["pipeline"], run["state"], run["run"]) == (name, "waiting", None)
    assert [one.pipeline for one in waiting(store)] == [name]
    assert 0 < store.ttl(KEYS.runs_asked()) <= WAITS_S
    assert client.get(f"/pipelines/runs/{run['id']}").json() == run


@pytest.mark.parametrize("handle", HANDLES)
def test_a_marketplaces_handle_asks_for_the_part_of_a_run_that_holds_it(
    client: TestClient, store: redis.Redis, handle: str
) -> None:
    """Its client names files of its own; one of its paths ends without a slash."""
    theirs = {"data_path": "./data/", "models_path": "./models/", "candidates_data_path": "./candidates/"}

    replies = [client.post(f"/wbtech_proj/{handle}{end}", params=theirs) for end in ("/", "")]

    assert [reply.status_code for reply in replies] == [202, 202]
    assert {reply.json()["pipeline"] for reply in replies} == {HANDLES[handle]}
    assert [one.pipeline for one in waiting(store)] == [HANDLES[handle]] * 2
    assert client.get(f"/pipelines/runs/{replies[0].json()['id']}").json() == replies[0].json()


def test_what_is_no_handle_asks_for_nothing(client: TestClient, store: redis.Redis) -> None:
    replies = [
        client.post(f"/wbtech_proj/{path}") for path in ("pipelines/train/", "pipelines//train/ranker/", "")
    ]

    assert {reply.status_code for reply in replies} == {422}
    assert waiting(store) == []


def test_a_seventeenth_run_does_not_wait(client: TestClient, store: redis.Redis) -> None:
    ids = [ask(client)["id"] for _ in range(MOST_WAITING)]

    said = ask(client, status=409)

    assert len(set(ids)) == 16
    assert said["detail"].startswith("16 wait already: is `almanac schedule` up?")
    assert len(waiting(store)) == 16
    assert client.delete(f"/pipelines/runs/{ids[0]}").status_code == 202  # to end one is still possible
    assert waiting(store)[-1] == Ask(cancel=ids[0])


def test_nothing_can_be_asked_for_while_a_run_goes_on(client: TestClient, store: redis.Redis) -> None:
    store.set(KEYS.runs_now(), json.dumps(GOING), px=6000)

    said = ask(client, status=409)

    assert "run 42 (full) goes on since 2021-12-20" in said["detail"]
    assert "on night-1" in said["detail"]
    assert waiting(store) == []


def test_a_run_is_told_as_the_batch_tells_it(client: TestClient, store: redis.Redis) -> None:
    store.set(KEYS.runs_now(), json.dumps(GOING), px=6000)
    told = Told("17-0", "train", "running", NOW_S, 42, "estimate", 3, 7, begun_s=NOW_S + 0.5)
    told = replace(told, log=('{"event":"run.begun"}',))
    tell(store, told)

    going = client.get("/pipelines/runs/17-0").json()
    tell(store, replace(told, state="failed", why="facts.db is empty", ended_s=NOW_S + 9.5))
    ended = client.get("/pipelines/runs/17-0").json()

    assert (going["state"], going["stage"], going["done"], going["total"]) == ("running", "estimate", 3, 7)
    assert going["log"] == ['{"event":"run.begun"}']
    assert (ended["state"], ended["why"]) == ("failed", "facts.db is empty")
    assert ended["ended_at"] > ended["began_at"]


@pytest.mark.parametrize(
    ("silent_s", "going", "state"),
    [
        (SILENT_S + 1, None, "lost"),
        (SILENT_S + 1, {**GOING, "run": 43}, "lost"),
        (SILENT_S + 1, GOING, "running"),  # a store that was away
        (SILENT_S - 1, None, "running"),
    ],
)
def test_a_run_of_which_nothing_is_heard_is_lost_unless_it_goes_on(
    client: TestClient, store: redis.Redis, silent_s: int, going: dict[str, object] | None, state: str
) -> None:
    tell(store, Told("17-0", "full", "running", NOW_S - silent_s, run=42))
    if going is not None:
        store.set(KEYS.runs_now(), json.dumps(going), px=6000)

    assert client.get("/pipelines/runs/17-0").json()["state"] == state


def test_the_end_of_a_run_that_goes_on_is_asked_for_and_not_of_one_that_has_ended(
    client: TestClient, store: redis.Redis
) -> None:
    tell(store, Told("17-0", "full", "running", NOW_S, run=42))
    tell(store, Told("43", "refresh", "done", NOW_S, run=43))

    assert client.delete("/pipelines/runs/17-0").status_code == 202
    said = client.delete("/pipelines/runs/43")

    assert waiting(store) == [Ask(cancel="17-0")]
    assert said.status_code == 409
    assert said.json()["detail"] == "run 43 has ended already (done): nothing is left to cancel"


class Handing(Redis):
    """A client after whose first command the batch takes what waits and tells that it runs."""

    def __init__(self, **options: Any) -> None:
        """Take the options of a client, and what the batch does."""
        self.hand_over: Callable[[], None] | None = None
        super().__init__(**options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, and let the batch act."""
        reply = await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        then, self.hand_over = self.hand_over, None
        if then is not None:
            then()
        return reply


def test_a_run_that_begins_while_it_is_looked_at_is_known(store: redis.Redis, valkey_url: str) -> None:
    entry = cast("bytes", store.xadd(KEYS.runs_asked(), cast("Any", Ask(pipeline="full").to_fields())))
    run_id = entry.decode()

    def take() -> None:
        with store.pipeline() as pipe:
            pipe.set(KEYS.runs_status(run_id), Told(run_id, "full", "running", NOW_S).to_json(), ex=TOLD_S)
            pipe.xdel(KEYS.runs_asked(), run_id)
            pipe.execute()

    async def look() -> Told:
        async with cast("Handing", Handing.from_url(valkey_url)) as client:
            client.hand_over = take
            return await Desk(client, KEYS).look(run_id, NOW_S)

    assert asyncio.run(look()).state in ("waiting", "running")


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_run_that_nobody_knows_is_a_404(client: TestClient, method: str) -> None:
    for unknown in ("1764468000123-0", "7"):
        assert getattr(client, method)(f"/pipelines/runs/{unknown}").status_code == 404


@pytest.mark.parametrize("path", ["/pipelines/night/runs", "/pipelines/Full/runs"])
def test_a_pipeline_that_there_is_none_of_is_a_422(client: TestClient, path: str) -> None:
    assert client.post(path).status_code == 422


@pytest.mark.parametrize("run_id", ["x", "1-", "-1", "99999999999999999", "1-0-0", "１"])
def test_what_cannot_be_a_runs_id_is_a_422(client: TestClient, run_id: str) -> None:
    assert client.get(f"/pipelines/runs/{run_id}").status_code == 422


@pytest.mark.parametrize("scope", ["read", "write", None])
def test_runs_need_a_token_of_scope_admin(client: TestClient, tmp_path: Path, scope: Any) -> None:
    del client.headers["authorization"]
    if scope == "write":
        client.headers.update(first_token(tmp_path, "write"))
    elif scope == "read":
        client.headers["authorization"] = "Bearer wrong"
    wanted = 403 if scope == "write" else 401

    assert client.post("/pipelines/full/runs").status_code == wanted
    assert client.post("/wbtech_proj/pipelines/train/ranker/").status_code == wanted
    assert client.get("/pipelines/runs/17-0").status_code == wanted
    assert client.delete("/pipelines/runs/17-0").status_code == wanted


def test_a_store_that_forgot_the_script_is_told_it_again(client: TestClient, store: redis.Redis) -> None:
    ask(client)
    store.script_flush()

    ask(client)

    assert len(waiting(store)) == 2
