"""The feed over HTTP against a real store: who gets what, and what each answer says of itself."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from tests.clients import NOW_S
from tests.oracle import expected
from tests.world import AS_OF_S, HOUR_S, TEXT, Names, World, events_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]

START_S = AS_OF_S - AS_OF_S % HOUR_S
PATH = "/post/recommendations/"
NOON = "2021-12-20 12:00:00"
NOON_S = START_S + 2 * HOUR_S


def ask(client: TestClient, world: World, user: int, **query: object) -> list[int]:
    """Return the posts that a user's query is answered with."""
    asked = {"id": world.names.user(user), **query}
    reply = client.get(PATH, params=asked)  # type: ignore[arg-type]  # as clients do: a datetime, too
    assert reply.status_code == 200, reply.text
    return world.names.places([post["id"] for post in reply.json()])


def test_even_users_get_even_posts_whole_and_in_rank_order(world: World, client: TestClient) -> None:
    reply = client.get(PATH, params={"id": world.names.user(2), "time": "2021-12-20T10:30:00", "limit": 3})

    assert reply.json() == [world.post(40), world.post(38), world.post(36)]
    assert reply.headers["content-type"] == "application/json"


def test_ten_posts_come_where_no_limit_is_given(world: World, client: TestClient) -> None:
    assert ask(client, world, 1, time=NOON) == world.own(1, NOON_S)


def test_a_post_without_text_is_answered_with_an_empty_one(world: World, client: TestClient) -> None:
    posts = client.get(PATH, params={"id": world.names.user(999), "time": NOON, "limit": 100}).json()

    assert world.post(7) in posts
    assert len(posts) == len(world.posts)


def test_every_answer_says_where_it_comes_from(world: World, client: TestClient) -> None:
    reply = client.get(PATH, params={"id": world.names.user(2), "time": NOON})

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

    assert ask(client, world, 2, limit=2) == [38, 36]


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
    assert ask(client, world, 3, time=time) == world.own(3, NOON_S)


def test_a_plus_that_was_not_escaped_is_understood(world: World, client: TestClient) -> None:
    user = quote(str(world.names.user(3)))
    reply = client.get(f"{PATH}?id={user}&time=2021-12-20T15:00:00+03:00&limit=5")

    assert world.names.places([post["id"] for post in reply.json()]) == world.own(3, NOON_S)[:5]


def test_the_trailing_slash_makes_no_difference(world: World, client: TestClient) -> None:
    query = {"id": world.names.user(1), "time": NOON}

    with_slash = client.get(PATH, params=query, follow_redirects=False)
    without = client.get(PATH.rstrip("/"), params=query, follow_redirects=False)

    assert (without.status_code, without.content) == (200, with_slash.content)


def test_a_post_is_filtered_from_the_second_it_is_seen(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    world.see(store, 2, 36, NOON_S)

    before, then = ask(client, world, 2, time=moment(NOON_S - 1)), ask(client, world, 2, time=NOON)

    assert 36 in before
    assert 36 not in then
    assert len(then) == 10


def test_a_seen_post_names_the_rung_that_replaced_it(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    world.see(store, 2, world.own(2, NOON_S)[0], NOON_S)

    rungs = [
        client.get(PATH, params={"id": world.names.user(user), "time": NOON, "limit": limit}).headers[
            "x-almanac-rung"
        ]
        for user, limit in [(4, 5), (2, 5), (2, 10), (2, 18), (99, 5), (99, 11)]
    ]

    assert rungs == ["own", "rest", "segment", "popular", "popular", "catalogue"]


def test_fallback_lists_hold_no_post_seen_before_as_of(world: World, client: TestClient) -> None:
    answered = ask(client, world, 2, time=NOON, limit=100)

    assert sorted(answered) == list(world.posts[4:])


def test_an_earlier_time_hides_only_what_was_seen_by_then(world: World, client: TestClient) -> None:
    early = AS_OF_S - 250  # posts 4 and 3 were seen, 2 and 1 not yet

    reply = client.get(
        PATH, params={"id": world.names.user(2), "time": moment(early).isoformat(), "limit": 100}
    )

    assert {3, 4}.isdisjoint(world.names.places([post["id"] for post in reply.json()]))
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
    reply = client.get(PATH, params={"id": world.names.user(1), "time": moment(at_s).isoformat()})

    assert reply.headers["x-almanac-time"] == label
    assert reply.headers["x-almanac-bucket"] == moment(bucket_s).isoformat()
    assert world.names.places([post["id"] for post in reply.json()]) == world.own(1, bucket_s)


def test_a_taken_down_post_vanishes_from_every_rung(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    world.take_down(store, 40, 20, 9)

    answered = [ask(client, world, user, time=NOON, limit=100) for user in (2, 1, 999)]

    assert all({40, 20, 9}.isdisjoint(posts) for posts in answered)
    assert [len(posts) for posts in answered] == [33, 33, 37]


def test_fewer_posts_come_only_when_the_catalogue_is_exhausted(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    for post in world.posts:
        if post != 17:
            world.see(store, 2, post, NOON_S)

    assert ask(client, world, 2, time=NOON) == [17]


def test_likes_hide_posts_where_the_policy_says_so(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(seen_policy="likes", names=names).publish(store).promote(store)
    store.zadd(Keys().likes(names.user_key(2)), {str(names.number(40)): NOON_S})

    answered = ask(client, world, 2, time=NOON, limit=100)

    assert 40 not in answered
    assert len(answered) == 39


def test_nothing_hides_posts_where_the_policy_is_none(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(seen_policy="none", names=names).publish(store).promote(store)
    world.see(store, 2, 40, NOON_S)

    assert len(ask(client, world, 2, time=NOON, limit=100)) == 40


@pytest.mark.own_rights
def test_another_variant_and_prefix_are_served_by_setting(store: redis.Redis, valkey_url: str) -> None:
    world = World(prefix="shop").publish(store)
    store.hset(Keys("shop").current("bold"), mapping={"generation": 1, "promoted_at": NOW_S})
    app = create_app(Settings(redis_url=valkey_url, prefix="shop", variant="bold"))

    with TestClient(app) as client:
        assert ask(client, world, 2, time=NOON, limit=1) == World().own(2, NOON_S)[:1]


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
    world.take_down(store, 5, 30)
    events = events_of(views, world.names)

    for _ in range(300):
        user, limit = rng.randrange(0, 12), rng.randrange(1, 60)
        at_s = AS_OF_S + rng.randrange(-2 * DAY_S, 4 * DAY_S)
        answered = ask(client, world, user, time=moment(at_s), limit=limit)
        wanted = expected(store, events, world.names.user(user), at_s, limit)
        assert answered == world.names.places(wanted), (user, at_s, limit)


def test_an_event_of_a_post_that_had_no_number_yet_hides_it_as_soon_as_it_has(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(names=names).publish(store).promote(store)
    own = world.own(2, NOON_S)
    world.see_live(store, 2, own[0], AS_OF_S - 5)
    world.see_live(store, 2, own[1], NOON_S)

    then, before = (ask(client, world, 2, time=moment(at_s)) for at_s in (NOON_S, NOON_S - 1))

    hides = names.kind == "text"  # a number stands in the other set from the beginning
    assert (own[0] in then, own[1] in then) == (False, not hides)
    assert (own[0] in before, own[1] in before) == (False, True)
    if hides:
        shown = ask(client, world, 2, time=NOON, limit=100)
        assert len(shown) == 34


@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_a_uuid_is_a_user_whatever_its_case(
    store: redis.Redis, client: TestClient, spelled: Callable[[str], str]
) -> None:
    world = World(names=TEXT).publish(store).promote(store)
    user = spelled(str(TEXT.user(1)))
    wanted = [post for post in world.own(1, NOON_S) if post % 8 != 1]
    for post in {*world.own(1, NOON_S)} - {*wanted}:  # whose ids are UUIDs
        store.sadd(Keys().takedowns(), spelled(str(TEXT.post(post))))  # by a person

    shown = client.get(PATH, params={"id": user, "time": NOON, "limit": len(wanted)})
    native = client.get(f"/users/{user}/feed", params={"at": NOON, "limit": 2})

    assert shown.headers["x-almanac-rung"] == "rest"
    assert TEXT.places([post["id"] for post in shown.json()]) == wanted
    assert native.json()["user_id"] == user


@pytest.mark.parametrize(
    "user",
    ["me", "１", " 1", "+", "-", "1.0", "9" * 20, "9" * 5000, "%", "a/b", "/", "{2}", "\n\0", "🦊", "..a"],
)
def test_whom_no_facts_know_is_an_unknown_user_whatever_they_are_called(
    world: World, client: TestClient, user: str
) -> None:
    quoted = quote(user, safe="")
    shown = client.get(PATH, params={"id": user, "time": NOON})
    native = client.get(f"/users/{quoted}/feed", params={"at": NOON, "limit": 5})
    other = client.get(f"/users/{quoted}/feed", params={"cursor": native.json()["next"]})

    assert (shown.status_code, shown.headers["x-almanac-rung"]) == (200, "popular")
    assert native.json()["user_id"] == user
    assert world.names.places([post["id"] for post in shown.json()]) == world.popular(NOON_S)
    assert (other.status_code, other.json()["user_id"]) == (200, user)


@pytest.mark.parametrize("spelled", ["2", "+2", "002"])
def test_a_number_is_a_user_however_it_is_written(
    store: redis.Redis, client: TestClient, spelled: str
) -> None:
    world = World().publish(store).promote(store)

    native = client.get(f"/users/{spelled}/feed", params={"at": NOON})

    assert (native.json()["user_id"], native.json()["rung"]) == (2, "own")
    assert [post["id"] for post in native.json()["posts"]] == world.own(2, NOON_S)
