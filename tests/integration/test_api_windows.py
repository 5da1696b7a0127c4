"""Windows of posts over HTTP: they open and close while the clock runs, on every route, and fail closed."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.contract.window import Window
from api.main import create_app
from api.settings import Settings
from tests.world import AS_OF_S, PROMOTED_AT_S, Names, World

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"
ENDS_S = PROMOTED_AT_S + 600


class Clock:
    """A clock that is set by hand."""

    now_s = float(PROMOTED_AT_S)

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def world(store: redis.Redis, names: Names) -> World:
    """Publish the world and make it current; post 40 ends within a bucket, when post 38 begins."""
    windows = ((40, Window(None, ENDS_S)), (38, Window(ENDS_S, None)))
    return World(names=names, windows=windows).publish(store).promote(store)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at the promotion."""
    return Clock()


@pytest.fixture
def client(world: World, clock: Clock, valkey_url: str) -> Iterator[TestClient]:
    """Give a client of an app on the test's store."""
    with TestClient(create_app(Settings(redis_url=valkey_url), clock=clock)) as opened:
        yield opened


def asked(client: TestClient, world: World, path: str = PATH, **query: object) -> list[int]:
    """Return the places of the posts of an answer."""
    params: dict[str, Any] = {"limit": 40, **query}
    reply = client.get(path, params={"id": world.names.user(2), **params} if path == PATH else params)
    assert reply.status_code == 200, reply.text
    posts = reply.json() if path == PATH else reply.json()["posts"]
    return world.names.places([post["id"] for post in posts])


def path_of(kind: str, named: int | str, what: str) -> str:
    """Return a path; the test's client decodes it once more than a server does."""
    text = str(named).replace("%", "%25")
    return f"/{kind}/{quote(text, safe='')}/{what}"


def test_a_post_closes_and_another_opens_with_the_clock_without_any_run(
    client: TestClient, world: World, clock: Clock
) -> None:
    clock.now_s = ENDS_S - 0.1
    before = asked(client, world)
    clock.now_s = float(ENDS_S)
    after = asked(client, world)

    assert before[:2] == [40, 36]  # 38 is not in the list of the bucket, which began before it did
    assert 38 not in before
    assert after[:2] == [36, 34]
    assert 40 not in after
    assert 38 in after


def test_all_routes_leave_out_what_is_closed_at_the_time_asked_for(client: TestClient, world: World) -> None:
    feed, like = (
        path_of("users", world.names.user(2), "feed"),
        path_of("posts", world.names.post(24), "similar"),
    )
    for at_s, closed in ((ENDS_S - 1, 38), (ENDS_S, 40)):
        at = moment(at_s).isoformat()
        for found in (
            asked(client, world, time=at),
            asked(client, world, time=at, topic="even"),
            asked(client, world, feed, at=at),
            asked(client, world, like, at=at),
        ):
            assert closed not in found
            assert {38, 40} - {closed} <= {*found}


def test_times_outside_the_horizon_are_answered_by_the_window_too(client: TestClient, world: World) -> None:
    early, late = AS_OF_S - 86_400, AS_OF_S + 10 * 86_400

    assert 38 not in asked(client, world, time=moment(early).isoformat())
    assert 40 not in asked(client, world, time=moment(late).isoformat())


def test_a_pinned_post_is_pinned_within_its_window_only(
    store: redis.Redis, client: TestClient, world: World
) -> None:
    world.pin(store, 38)

    assert asked(client, world, time=moment(ENDS_S - 1).isoformat(), limit=1) == [40]
    assert asked(client, world, time=moment(ENDS_S).isoformat(), limit=1) == [38]


def test_an_answer_that_windows_leave_short_says_closed(
    store: redis.Redis, names: Names, valkey_url: str
) -> None:
    windows = tuple((post, Window(None, AS_OF_S)) for post in range(11, 41))
    World(names=names, windows=windows).publish(store).promote(store)
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        reply = client.get(
            PATH, params={"id": names.user(2), "time": moment(AS_OF_S).isoformat(), "limit": 20}
        )

    assert len(reply.json()) == 6  # of ten the user has seen four
    assert reply.headers["x-almanac-underfill"] == "closed"


@pytest.mark.parametrize(
    ("field", "why"), [(None, "windows of its posts are missing"), (b"soon,", "b'soon,' is no window")]
)
def test_a_generation_whose_windows_cannot_be_read_is_not_served(
    store: redis.Redis, world: World, valkey_url: str, field: bytes | None, why: str
) -> None:
    key = Keys().windows(1)
    if field is None:
        store.unlink(key)
    else:
        store.hset(key, "40", field)

    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        reply = client.get(PATH, params={"id": world.names.user(2)})

    assert reply.status_code == 503
    assert why in reply.json()["detail"]
