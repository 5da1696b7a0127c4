"""Experiments as the API follows them: whose lists answer, what an answer says, what is recorded of it."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, Exposure, unpack
from api.contract.keys import Keys
from api.contract.manifest import FACETS
from api.main import create_app
from api.settings import Settings
from api.store.exposures import FLUSH_S
from batch.experiments.registry import create, start, stop
from tests.clients import OwnStore, run_process, running
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

KEYS = Keys()
CHECKER = "/post/recommendations/"
NOON_S, NOON = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S, "2021-12-20T12:00:00"
NOW_S = PROMOTED_AT_S + 60
USERS = range(1, 9)
OLD, NEW = World(), World(generation=2, turn=1, variant="text")
HALVES = (Arm("old", "default", 50), Arm("new", "text", 50))
AB = Experiment("buttons", "salt", HALVES)
Client = httpx2.Client


@pytest.fixture(autouse=True)
def published(store: redis.Redis) -> None:
    """Publish two variants."""
    OLD.publish(store).promote(store)
    NEW.publish(store).promote(store)


@contextmanager
def serving(url: str, **settings: Any) -> Iterator[Client]:
    """Give a client of an app, whose requests all go through the routes."""
    app = create_app(Settings(redis_url=url, **settings), clock=lambda: NOW_S + 0.25)
    with TestClient(app) as opened:
        yield opened


@pytest.fixture(scope="module")
def processes(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a process that the store tells of changes, and one that it does not; give their addresses."""
    folder = tmp_path_factory.mktemp("api")
    with running(valkey_url, folder) as told, running(f"{valkey_url}?protocol=2", folder) as untold:
        yield {"process": told, "untracked process": untold}


@pytest.fixture(params=["routes", "untracked routes", "process", "untracked process"])
def client(valkey_url: str, processes: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give a client of the routes or of a process."""
    way: str = request.param
    if way in processes:
        with Client(base_url=processes[way]) as opened:
            yield opened
        time.sleep(2 * FLUSH_S)  # what is recorded comes into the store of no other test
    else:
        with serving(valkey_url + "?protocol=2" * way.startswith("untracked")) as opened:
            yield opened


def begin(store: redis.Redis, one: Experiment = AB) -> Experiment:
    """Create and start an experiment, long ago."""
    create(store, KEYS, one, "ann@night", 1)
    return start(store, KEYS, one.name, "ann@night", 1)


def ask(client: Client, user: int | str, **query: object) -> Any:
    """Ask the checker's route."""
    reply = client.get(CHECKER, params={"id": user, "time": NOON, "limit": 4, **query})  # type: ignore[dict-item]
    assert reply.status_code == 200, reply.text
    return reply


def page(client: Client, user: int, **query: object) -> Any:
    """Ask for a page of our own shape."""
    reply = client.get(f"/users/{user}/feed", params={"at": NOON, "limit": 4, **query})  # type: ignore[dict-item]
    assert reply.status_code == 200, reply.text
    return reply


def ids(posts: list[dict[str, Any]]) -> list[Any]:
    return [post["id"] for post in posts]


def named(reply: Any) -> tuple[str | None, str | None]:
    """Return the experiment and the arm that an answer names."""
    return reply.headers.get("x-almanac-experiment"), reply.headers.get("x-almanac-arm")


def recorded(store: redis.Redis, n: int) -> list[Exposure]:
    """Return the records of the stream, once there are so many."""
    give_up = time.monotonic() + 10
    while True:
        entries: Any = store.xrange(KEYS.exposures())
        found = [one for _, fields in entries for one in unpack(fields[FIELD.encode()])]
        if len(found) >= n or time.monotonic() > give_up:
            return found
        time.sleep(0.02)


def test_from_a_start_to_a_stop_each_user_has_their_arm_at_the_next_request(
    store: redis.Redis, client: Client
) -> None:
    for user in USERS:
        assert ids(ask(client, user).json()) == OLD.own(user, NOON_S)[:4]
        assert named(ask(client, user)) == named(page(client, user)) == (None, None)

    begin(store)
    assert {AB.assign(user).name for user in USERS} == {"old", "new"}
    for user in USERS:
        arm = AB.assign(user)
        world = OLD if arm.variant == "default" else NEW
        for reply, posts in (
            (plain := ask(client, user), plain.json()),
            (own := page(client, user), own.json()["posts"]),
        ):
            assert ids(posts) == world.own(user, NOON_S)[:4]
            assert named(reply) == ("buttons", arm.name)
            assert reply.headers["x-almanac-generation"] == str(world.generation)

    stop(store, KEYS, AB.name, "ann@night", 2)
    for user in USERS:
        assert (
            ids(ask(client, user).json())
            == ids(page(client, user).json()["posts"])
            == OLD.own(user, NOON_S)[:4]
        )
        assert named(ask(client, user)) == (None, None)


def test_who_asks_for_a_variant_is_in_no_experiment(store: redis.Redis, client: Client) -> None:
    begin(store, replace(AB, response="ab"))

    for user in USERS:
        reply = ask(client, user, variant="text")
        assert (ids(reply.json()), named(reply)) == (NEW.own(user, NOON_S)[:4], (None, None))
    assert store.xlen(KEYS.exposures()) == 0


def test_ab_answers_stand_beside_the_users_group_and_pages_do_not(store: redis.Redis, client: Client) -> None:
    begin(store, replace(AB, response="ab"))

    for user in USERS:
        said, group = ask(client, user).json(), {"old": "control", "new": "test"}[AB.assign(user).name]
        assert list(said) == ["exp_group", "recommendations"]
        assert said["exp_group"] == group
        assert ids(said["recommendations"]) == (OLD if group == "control" else NEW).own(user, NOON_S)[:4]
        assert "exp_group" not in page(client, user).json()


def test_each_answer_is_recorded_once_as_it_was_and_one_that_nobody_sees_is_not(
    store: redis.Redis, client: Client
) -> None:
    begin(store)
    bare = client.head(CHECKER, params={"id": 1, "time": NOON})
    assert named(bare) == ("buttons", AB.assign(1).name)
    replies = [(user, ask(client, user)) for user in USERS]
    replies += [(user, page(client, user)) for user in (1, 2, 99)]

    found = {one.request_id: one for one in recorded(store, len(replies))}
    assert len(found) == len(replies) == len(recorded(store, 0))
    for user, reply in replies:
        one, said = found[reply.headers["x-request-id"]], reply.json()
        posts = said if isinstance(said, list) else said["posts"]
        assert one._replace(accepted_ms=0) == Exposure(
            experiment="buttons",
            user_id=str(user),
            arm=AB.assign(user).name,
            asked_s=NOON_S,
            accepted_ms=0,
            generation=int(reply.headers["x-almanac-generation"]),
            bucket_s=NOON_S,
            rung=reply.headers["x-almanac-rung"],
            request_id=reply.headers["x-request-id"],
            posts=tuple(ids(posts)),
        )
        assert one.accepted_ms > 1_639_990_000_000


def test_what_an_arm_draws_is_recorded_with_the_chance_that_it_had(
    store: redis.Redis, client: Client
) -> None:
    replace(NEW, generation=5, explore=4).publish(store).promote(store)
    begin(store)
    replies = {user: ask(client, user) for user in USERS}

    n_drawn = 0
    for one in recorded(store, len(replies)):
        reply = replies[int(one.user_id)]
        assert one.posts == tuple(ids(reply.json()))
        said = dict(
            pair.split(":") for pair in reply.headers.get("x-almanac-explored", "").split(",") if pair
        )
        chances = [float(said.get(str(post), 1)) for post in one.posts]
        assert list(one.propensities) == (pytest.approx(chances, rel=1e-5) if said else [])
        assert (len(said) == 1) == (one.arm == "new")
        n_drawn += len(said)
    assert n_drawn > 1


@pytest.fixture
def routes(valkey_url: str) -> Iterator[Client]:
    """Give a client of the routes alone."""
    with serving(valkey_url) as opened:
        yield opened


def test_only_the_users_of_the_sample_are_recorded(store: redis.Redis, routes: Client) -> None:
    one = begin(store, replace(AB, sample_percent=50))
    for user in USERS:
        ask(routes, user)
    ask(routes, expected := next(user for user in range(100, 200) if one.place(user).is_recorded))

    chosen = [str(user) for user in USERS if one.place(user).is_recorded]
    assert 0 < len(chosen) < len(USERS)
    assert [record.user_id for record in recorded(store, len(chosen) + 1)] == [*chosen, str(expected)]


def test_of_more_than_two_arms_an_answer_names_its_own_and_a_forced_user_has_theirs(
    store: redis.Redis, routes: Client
) -> None:
    arms = (Arm("a", "default", 34), Arm("b", "text", 33), Arm("c", "text", 33))
    free = replace(AB, arms=arms, response="ab")
    forced = {str(user): "c" for user in USERS if free.assign(user).name == "a"}
    one = begin(store, replace(free, forced=forced))

    assert forced
    for user in USERS:
        assert ask(routes, user).json()["exp_group"] == one.assign(user).name
        assert one.assign(user).name == forced.get(str(user), free.assign(user).name)


def test_an_experiment_holds_on_its_routes_and_in_its_time_by_the_clock(
    store: redis.Redis, routes: Client
) -> None:
    begin(store, replace(AB, name="over", routes=("checker",), end_s=NOW_S))
    begin(store, replace(AB, name="runs", routes=("feed",), start_s=NOW_S, end_s=NOW_S + 1))
    begin(store, replace(AB, name="comes", routes=("checker",), start_s=NOW_S + 1))

    assert named(ask(routes, 1)) == (None, None)
    assert named(page(routes, 1))[0] == "runs"


def test_a_page_keeps_its_generation_and_has_an_arm_only_where_that_is_the_arms(
    store: redis.Redis, routes: Client
) -> None:
    user = next(user for user in USERS if AB.assign(user).name == "new")
    before = page(routes, user).json()["next"]
    begin(store)
    first = page(routes, user)

    second = page(routes, user, cursor=first.json()["next"])
    assert ids(second.json()["posts"]) == NEW.own(user, NOON_S)[4:8]
    assert named(second) == ("buttons", "new")
    old = page(routes, user, cursor=before)
    assert ids(old.json()["posts"]) == OLD.own(user, NOON_S)[4:8]
    assert named(old) == (None, None)


def test_a_filter_that_an_arms_generation_does_not_know_is_answered_by_our_own(
    store: redis.Redis, client: Client
) -> None:
    bare = replace(NEW, generation=3).publish(store).promote(store)
    counts = {name: n for name, n in bare.manifest.counts.items() if not name.startswith(FACETS)}
    store.set(KEYS.manifest(3), replace(bare.manifest, counts=counts).to_json())
    begin(store)
    users = [next(user for user in USERS if AB.assign(user).name == name) for name in ("old", "new")]

    replies = [ask(client, user, topic="even" if user % 2 == 0 else "odd") for user in users]
    assert [ids(reply.json()) for reply in replies] == [OLD.own(user, NOON_S)[:4] for user in users]
    assert [named(reply) for reply in replies] == [("buttons", "old"), ("buttons", None)]


def test_where_an_arms_variant_is_gone_our_own_answers_without_an_arm(
    store: redis.Redis, client: Client
) -> None:
    def count() -> float:
        named = 'almanac_unanswered_total{experiment="buttons",variant="text"} '
        told = [line for line in client.get("/metrics").text.splitlines() if line.startswith(named)]
        return float(told[0].removeprefix(named)) if told else 0.0

    begin(store)
    store.delete(KEYS.current("text"))
    before = count()

    for user in USERS:
        reply = ask(client, user)
        arm = AB.assign(user).name
        assert ids(reply.json()) == OLD.own(user, NOON_S)[:4]
        assert named(reply) == ("buttons", arm if arm == "old" else None)
    n_new = sum(AB.assign(user).name == "new" for user in USERS)
    assert count() == before + n_new
    assert len(recorded(store, len(USERS) - n_new)) == len(USERS) - n_new


def test_an_arms_answers_are_counted_recorded_or_not(store: redis.Redis, client: Client) -> None:
    def count() -> Counter[str]:
        line = r'almanac_arm_answers_total{arm="(\w+)",experiment="buttons"} (\S+)'
        return Counter({arm: int(float(n)) for arm, n in re.findall(line, client.get("/metrics").text)})

    begin(store, replace(AB, sample_percent=1))
    before = count()

    for user in USERS:
        ask(client, user)
        page(client, user)

    assert count() - before == Counter(AB.assign(user).name for user in USERS for _ in range(2))
    assert len(recorded(store, 0)) < len(USERS)


def test_what_is_no_experiment_changes_nothing(store: redis.Redis, routes: Client) -> None:
    store.hset(KEYS.experiments(), "broken", b"{")
    assert ids(ask(routes, 1).json()) == OLD.own(1, NOON_S)[:4]

    store.delete(KEYS.experiments())
    store.set(KEYS.experiments(), "no hash")
    assert ids(ask(routes, 1).json()) == OLD.own(1, NOON_S)[:4]


def test_an_api_that_is_told_so_follows_no_experiment(store: redis.Redis, valkey_url: str) -> None:
    begin(store, replace(AB, response="ab"))

    with serving(valkey_url, experiments="off", variant="text") as client:
        for user in USERS:
            assert ids(ask(client, user).json()) == NEW.own(user, NOON_S)[:4]
            assert named(ask(client, user)) == (None, None)
    assert store.xlen(KEYS.exposures()) == 0


def test_records_are_dropped_where_the_stream_is_full_and_no_feed_is(
    store: redis.Redis, valkey_url: str
) -> None:
    begin(store)
    store.xadd(KEYS.exposures(), {"filler": b"x" * 2**21})

    def counted(client: Client) -> dict[str, float]:
        found = re.findall(r'almanac_exposures_total{status="(\w+)"} (\S+)', client.get("/metrics").text)
        return {status: float(n) for status, n in found}

    def ask_until(client: Client, status: str, n: int) -> dict[str, float]:
        """Ask for a feed until so many records came to such an end."""
        give_up = time.monotonic() + 10
        while counted(client).get(status, 0) < n:
            assert len(ask(client, 1).json()) == 4
            assert time.monotonic() < give_up, counted(client)
            time.sleep(0.01)
        return counted(client)

    with serving(valkey_url, exposures_waiting_mb=1) as client:
        full = ask_until(client, "dropped", 3)
        store.delete(KEYS.exposures())  # as a batch that drains
        assert ask_until(client, "accepted", int(full["accepted"]) + 1)["dropped"] >= full["dropped"]


def test_a_killed_api_and_a_killed_store_change_no_assignment_and_lose_nothing_that_was_taken(
    tmp_path: Path,
) -> None:
    own = OwnStore(tmp_path)
    store = own.start("--appendfsync", "always")
    try:
        OLD.publish(store).promote(store)
        NEW.publish(store).promote(store)
        begin(store)
        taken: list[str] = []
        for _ in range(2):
            with (
                run_process(own.url, tmp_path) as (port, _pid),
                Client(base_url=f"http://127.0.0.1:{port}") as client,
            ):
                before = [(user, named(ask(client, user))) for user in USERS]
                assert before == [(user, ("buttons", AB.assign(user).name)) for user in USERS]
                taken = [one.request_id for one in recorded(store, len(taken) + len(USERS))]
                own.kill()
                held = [ask(client, user) for user in USERS]
                assert [named(reply) for reply in held] == [arm for _, arm in before]
                assert {reply.headers["x-almanac-degraded"] for reply in held} == {"store"}
                store = own.start("--appendfsync", "always")
                n_written = len(taken) + len(USERS)  # what was held is written once the store is back
                ask(client, 1)
                found = [one.request_id for one in recorded(store, n_written + 1)]
                assert found[: len(taken)] == taken
                assert {reply.headers["x-request-id"] for reply in held} <= {*found}
                assert len({*found}) == len(found)
                taken = found
        assert len(recorded(store, 0)) == len(taken)
    finally:
        own.kill()
