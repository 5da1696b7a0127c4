"""Our own shape of the feed: pages that neither repeat a post nor leave one out, whatever happens between."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from batch.store.wait import wait_until
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, Names, World

pytestmark = pytest.mark.integration

NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
NOON = "2021-12-20T12:00:00"


@pytest.fixture
def world(store: redis.Redis, names: Names) -> World:
    """Publish the world and make it current."""
    world = World(names=names).publish(store).promote(store)
    store.hset(Keys().states(), "1", "sealed")
    return world


@pytest.fixture
def client(valkey_url: str) -> Iterator[TestClient]:
    """Give a client of an app that serves the test's store."""
    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S + 60)) as opened:
        yield opened


def page(client: TestClient, world: World, user: int = 2, **query: object) -> dict[str, object]:
    """Return one page."""
    name = quote(str(world.names.user(user)), safe="")
    reply = client.get(f"/users/{name}/feed", params=query)  # type: ignore[arg-type]  # as clients do
    assert reply.status_code == 200, reply.text
    shown: dict[str, object] = reply.json()
    return shown


def posts(world: World, shown: dict[str, object]) -> list[int]:
    """Return a page's posts."""
    found = shown["posts"]
    assert isinstance(found, list)
    return world.names.places([post["id"] for post in found])


def test_a_page_says_where_it_comes_from(world: World, client: TestClient) -> None:
    shown = page(client, world, at=NOON, limit=2)

    assert shown == {
        "user_id": world.names.user(2),
        "at": "2021-12-20T12:00:00+00:00",
        "variant": "default",
        "generation": 1,
        "bucket": "2021-12-20T12:00:00+00:00",
        "time": "exact",
        "rung": "own",
        "degraded": "",
        "underfill": None,
        "posts": [world.post(post) for post in world.own(2, NOON_S)[:2]],
        "next": f"1.{PROMOTED_AT_S - 60}.{'2' if world.names.kind == 'numbers' else '002'}.{NOON_S}.2",
    }


def test_both_shapes_answer_the_same_posts(world: World, client: TestClient) -> None:
    for user, limit in [(2, 5), (2, 15), (99, 7), (3, 100)]:
        asked = {"id": world.names.user(user), "time": NOON, "limit": limit}
        reply = client.get("/post/recommendations/", params=asked)
        assert page(client, world, user, at=NOON, limit=limit)["posts"] == reply.json()


@pytest.mark.parametrize("user", [2, 99])
@pytest.mark.parametrize("limit", [1, 7, 36])
def test_pages_hold_every_post_once_and_in_order(
    world: World, client: TestClient, user: int, limit: int
) -> None:
    whole = posts(world, page(client, world, user, at=NOON, limit=100))

    shown = page(client, world, user, at=NOON, limit=limit)
    gathered = posts(world, shown)
    while shown["next"]:
        shown = page(client, world, user, cursor=shown["next"], limit=limit)
        gathered += posts(world, shown)

    assert gathered == whole


def test_pages_go_on_in_their_generation_when_another_becomes_current(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    whole = posts(world, page(client, world, at=NOON, limit=100))
    first = page(client, world, at=NOON, limit=8)
    world.successor().publish(store).promote(store, PROMOTED_AT_S + 30)

    second = page(client, world, cursor=first["next"], limit=100)

    assert posts(world, first) + posts(world, second) == whole
    assert second["generation"] == 1
    assert wait_until(
        lambda: page(client, world, at=NOON)["generation"] == 2, 10
    )  # while it loads, 1 answers


def test_another_process_finds_the_generation_of_a_cursor(
    world: World, store: redis.Redis, client: TestClient, valkey_url: str
) -> None:
    first = page(client, world, at=NOON, limit=8)
    world.successor().publish(store).promote(store, PROMOTED_AT_S + 30)

    with TestClient(create_app(Settings(redis_url=valkey_url))) as other:
        second = page(other, world, cursor=first["next"], limit=3)

    assert posts(world, second) == posts_after(client, world, first, 3)


def posts_after(client: TestClient, world: World, before: dict[str, object], limit: int) -> list[int]:
    """Return the posts of the page after one."""
    return posts(world, page(client, world, cursor=before["next"], limit=limit))


def test_what_is_taken_down_between_two_pages_shifts_nothing(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    first = page(client, world, at=NOON, limit=4)
    rest = posts_after(client, world, first, 100)
    world.take_down(store, posts(world, first)[0], rest[1])

    assert posts_after(client, world, first, 100) == [rest[0], *rest[2:]]


def test_what_is_seen_after_the_time_of_the_first_page_stays_on_the_later_ones(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    first = page(client, world, at=NOON, limit=4)
    rest = posts_after(client, world, first, 100)
    for post in posts(world, first):
        world.see(store, 2, post, NOON_S + 1)

    assert posts_after(client, world, first, 100) == rest


def excluding(world: World, *out: int) -> str:
    """Return what is asked for so as not to get some posts."""
    return ",".join(str(world.names.post(post)).replace(",", ",,") for post in out)


def test_excluded_posts_are_left_out_and_replaced(world: World, client: TestClient) -> None:
    own = world.own(2, NOON_S)

    shown = page(client, world, at=NOON, limit=3, exclude=excluding(world, own[0], own[2], 4000))

    assert posts(world, shown) == [own[1], own[3], own[4]]
    assert shown["rung"] == "rest"


def test_an_answer_that_is_not_full_says_why(world: World, store: redis.Redis, client: TestClient) -> None:
    few = excluding(world, *range(1, 39))
    asked = [(40, ""), (41, ""), (3, few)]
    reasons = [
        page(client, world, 99, at=NOON, limit=limit, exclude=out)["underfill"] for limit, out in asked
    ]
    world.take_down(store, *range(1, 39))
    reasons.append(page(client, world, 99, at=NOON, limit=3)["underfill"])
    reply = client.get("/post/recommendations/", params={"id": "nobody", "time": NOON, "limit": 3})

    assert reasons == [None, "catalogue", "excluded", "taken_down"]
    assert reply.headers["x-almanac-underfill"] == "taken_down"


def test_a_variant_is_asked_for_by_name(world: World, store: redis.Redis, client: TestClient) -> None:
    bold = world.successor().publish(store)
    store.hset(Keys().current("bold"), mapping={"generation": 2, "promoted_at": PROMOTED_AT_S})

    shown = page(client, world, at=NOON, variant="bold")

    assert posts(world, shown) == bold.own(2, NOON_S)
    assert posts(world, page(client, world, at=NOON, variant="default")) == world.own(2, NOON_S)
    missing = client.get("/users/2/feed", params={"variant": "timid"})
    assert (missing.status_code, "'timid'" in missing.text) == (404, True)


def test_a_cursor_of_a_retired_generation_is_410(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    cursor = page(client, world, at=NOON, limit=2)["next"]
    store.hset(Keys().states(), "1", "retired")
    store.delete(Keys().list(world.names.user_key(2), 1))

    reply = client.get(f"/users/{world.names.user(2)}/feed", params={"cursor": str(cursor)})

    assert reply.status_code == 410
    assert "generation 1, to which this cursor belongs, is no longer kept" in reply.json()["detail"]


@pytest.mark.parametrize("cursor", ["7.1.2.3.4", f"1.1.2.{NOON_S}.2"])
def test_a_cursor_of_a_generation_that_never_was_is_410(
    world: World, client: TestClient, cursor: str
) -> None:
    assert client.get("/users/2/feed", params={"cursor": cursor}).status_code == 410


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"cursor": "next"}, "cursor"),
        ({"cursor": "1.2.3.4.5"}, "cursor"),
        ({"exclude": "1,two\n"}, "exclude"),
        ({"exclude": ",".join(["1"] * 1001)}, "exclude"),
        ({"variant": "a b"}, "variant"),
        ({"at": "now"}, "at"),
        ({"limit": "0"}, "limit"),
    ],
)
def test_what_cannot_be_read_is_422_and_named(
    world: World, client: TestClient, query: dict[str, str], name: str
) -> None:
    reply = client.get("/users/2/feed", params=query)

    (error,) = reply.json()["detail"]
    assert (reply.status_code, error["loc"]) == (422, ["query", name])
    assert f"{name}=" in error["msg"]


def test_a_late_event_hides_its_post_though_the_list_was_made_without_it(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    first = world.own(2, NOON_S)[0]
    early = AS_OF_S - 60  # accepted now, but it happened before the newest fact of the generation
    world.see(store, 2, first, early)
    world.see_live(store, 2, first, early)

    answered = posts(world, page(client, world, at=NOON, limit=3))

    assert answered == world.own(2, NOON_S)[1:4]
