"""The feed over HTTP against a real store: who gets what, and what each answer says of itself."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.oracle import expected
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World, events_of

pytestmark = pytest.mark.integration

NOW_S = PROMOTED_AT_S + 600
START_S = AS_OF_S - AS_OF_S % HOUR_S
PATH = "/post/recommendations/"
NOON = "2021-12-20 12:00:00"
NOON_S = START_S + 2 * HOUR_S


@pytest.fixture
def world(store: redis.Redis) -> World:
    """Publish the world and make it current."""
    return World().publish(store).promote(store)


@pytest.fixture
def client(valkey_url: str) -> Iterator[TestClient]:
    """Give a client of an app that serves the test's store; its clock stands still."""
    app = create_app(Settings(redis_url=valkey_url), clock=lambda: NOW_S + 0.9)
    with TestClient(app) as opened:
        yield opened


def ids(client: TestClient, **query: object) -> list[int]:
    """Return the ids that a query is answered with."""
    reply = client.get(PATH, params=query)  # type: ignore[arg-type]  # as clients do: a datetime, too
    assert reply.status_code == 200, reply.text
    return [post["id"] for post in reply.json()]


def test_even_users_get_even_posts_whole_and_in_rank_order(world: World, client: TestClient) -> None:
    reply = client.get(PATH, params={"id": 2, "time": "2021-12-20T10:30:00", "limit": 3})

    assert reply.json() == [world.post(40), world.post(38), world.post(36)]
    assert reply.headers["content-type"] == "application/json"


def test_ten_posts_come_where_no_limit_is_given(world: World, client: TestClient) -> None:
    assert ids(client, id=1, time=NOON) == world.own(1, NOON_S)


def test_a_post_without_text_is_answered_with_an_empty_one(world: World, client: TestClient) -> None:
    posts = client.get(PATH, params={"id": 999, "time": NOON, "limit": 100}).json()

    assert world.post(7) in posts
    assert len(posts) == len(world.posts)


def test_every_answer_says_where_it_comes_from(world: World, client: TestClient) -> None:
    reply = client.get(PATH, params={"id": 2, "time": NOON})

    assert {key: reply.headers[key] for key in reply.headers if key.startswith("x-almanac")} == {
        "x-almanac-generation": "1",
        "x-almanac-bucket": "2021-12-20T12:00:00+00:00",
        "x-almanac-rung": "own",
        "x-almanac-time": "exact",
        "x-almanac-age": "600",
        "x-almanac-fact-age": str(NOON_S - AS_OF_S),
    }


def test_no_time_means_now(world: World, store: redis.Redis, client: TestClient) -> None:
    world.see(store, 2, 40, NOW_S)
    world.see(store, 2, 38, NOW_S + 1)

    assert ids(client, id=2, limit=2) == [38, 36]


@pytest.mark.parametrize(
    "time",
    [
        "2021-12-20T12:00",
        "2021-12-20T12:00:00Z",
        "2021-12-20T15:00:00 03:00",
        "2021-12-20T15:00:00+03:00",
        datetime(2021, 12, 20, 12, tzinfo=UTC),
        datetime(2021, 12, 20, 12, tzinfo=UTC).replace(tzinfo=None),
        datetime(2021, 12, 20, 7, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_every_form_of_the_time_gets_the_same_feed(world: World, client: TestClient, time: object) -> None:
    assert ids(client, id=3, time=time) == world.own(3, NOON_S)


def test_a_plus_that_was_not_escaped_is_understood(world: World, client: TestClient) -> None:
    reply = client.get(f"{PATH}?id=3&time=2021-12-20T15:00:00+03:00&limit=5")

    assert [post["id"] for post in reply.json()] == world.own(3, NOON_S)[:5]


def test_the_trailing_slash_makes_no_difference(world: World, client: TestClient) -> None:
    query = {"id": "1", "time": NOON}

    with_slash = client.get(PATH, params=query, follow_redirects=False)
    without = client.get(PATH.rstrip("/"), params=query, follow_redirects=False)

    assert (without.status_code, without.content) == (200, with_slash.content)


def test_a_post_is_filtered_from_the_second_it_is_seen(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    world.see(store, 2, 36, NOON_S)

    before, then = ids(client, id=2, time=moment(NOON_S - 1)), ids(client, id=2, time=NOON)

    assert 36 in before
    assert 36 not in then
    assert len(then) == 10


def test_a_seen_post_names_the_rung_that_replaced_it(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    world.see(store, 2, world.own(2, NOON_S)[0], NOON_S)

    rungs = [
        client.get(PATH, params={"id": user, "time": NOON, "limit": limit}).headers["x-almanac-rung"]
        for user, limit in [(4, 5), (2, 5), (2, 10), (2, 18), (99, 5), (99, 11)]
    ]

    assert rungs == ["own", "rest", "segment", "popular", "popular", "catalogue"]


def test_fallback_lists_hold_no_post_seen_before_as_of(world: World, client: TestClient) -> None:
    answered = ids(client, id=2, time=NOON, limit=100)

    assert sorted(answered) == list(world.posts[4:])


def test_an_earlier_time_hides_only_what_was_seen_by_then(world: World, client: TestClient) -> None:
    early = AS_OF_S - 250  # posts 4 and 3 were seen, 2 and 1 not yet

    reply = client.get(PATH, params={"id": 2, "time": moment(early).isoformat(), "limit": 100})

    assert {3, 4}.isdisjoint(post["id"] for post in reply.json())
    assert len(reply.json()) == 38
    assert (reply.headers["x-almanac-time"], reply.headers["x-almanac-fact-age"]) == ("leaky", "0")


@pytest.mark.parametrize(
    ("at_s", "label", "bucket_s"),
    [
        (AS_OF_S - 1, "leaky", START_S),
        (AS_OF_S, "exact", START_S),
        (START_S + DAY_S - 1, "exact", START_S + 23 * HOUR_S),
        (START_S + DAY_S, "nearest", START_S),
        (NOON_S + 30 * DAY_S, "nearest", NOON_S),
        (NOON_S - 30 * DAY_S, "leaky", NOON_S),
    ],
)
def test_a_time_outside_the_horizon_gets_the_same_hour_and_a_label(
    world: World, client: TestClient, at_s: int, label: str, bucket_s: int
) -> None:
    reply = client.get(PATH, params={"id": 1, "time": moment(at_s).isoformat()})

    assert reply.headers["x-almanac-time"] == label
    assert reply.headers["x-almanac-bucket"] == moment(bucket_s).isoformat()
    assert [post["id"] for post in reply.json()] == world.own(1, bucket_s)


def test_a_taken_down_post_vanishes_from_every_rung(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    store.sadd(Keys().takedowns(), 40, 20, 9)

    answered = [ids(client, id=user, time=NOON, limit=100) for user in (2, 1, 999)]

    assert all({40, 20, 9}.isdisjoint(posts) for posts in answered)
    assert [len(posts) for posts in answered] == [33, 33, 37]


def test_fewer_posts_come_only_when_the_catalogue_is_exhausted(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    for post in world.posts:
        if post != 17:
            world.see(store, 2, post, NOON_S)

    assert ids(client, id=2, time=NOON) == [17]


def test_likes_hide_posts_where_the_policy_says_so(store: redis.Redis, client: TestClient) -> None:
    World(seen_policy="likes").publish(store).promote(store)
    store.zadd(Keys().likes(2), {"40": NOON_S})

    answered = ids(client, id=2, time=NOON, limit=100)

    assert 40 not in answered
    assert len(answered) == 39


def test_nothing_hides_posts_where_the_policy_is_none(store: redis.Redis, client: TestClient) -> None:
    world = World(seen_policy="none").publish(store).promote(store)
    world.see(store, 2, 40, NOON_S)

    assert len(ids(client, id=2, time=NOON, limit=100)) == 40


@pytest.mark.own_rights
def test_another_variant_and_prefix_are_served_by_setting(store: redis.Redis, valkey_url: str) -> None:
    World(prefix="shop").publish(store)
    store.hset(Keys("shop").current("bold"), mapping={"generation": 1, "promoted_at": NOW_S})
    app = create_app(Settings(redis_url=valkey_url, prefix="shop", variant="bold"))

    with TestClient(app) as client:
        assert ids(client, id=2, time=NOON, limit=1) == World().own(2, NOON_S)[:1]


def test_answers_equal_the_oracle_for_random_users_times_and_events(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    rng = random.Random(7)
    views = list(world.views)
    for _ in range(120):
        view = (rng.choice(world.users), rng.choice(world.posts), AS_OF_S + rng.randrange(-HOUR_S, 2 * DAY_S))
        if view[2] > AS_OF_S or view[1] % 2 != view[0] % 2:  # else the batch would have known of it
            views.append(view)
            world.see(store, *view)
    store.sadd(Keys().takedowns(), 5, 30)
    events = events_of(views)

    for _ in range(300):
        user, limit = rng.randrange(0, 12), rng.randrange(1, 60)
        at_s = AS_OF_S + rng.randrange(-2 * DAY_S, 4 * DAY_S)
        answered = ids(client, id=user, time=moment(at_s), limit=limit)
        assert answered == expected(store, events, user, at_s, limit), (user, at_s, limit)
