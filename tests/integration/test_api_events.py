"""Live events and takedowns against a real store: what is told now is left out of the next answer."""

import asyncio
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import redis
from fastapi.testclient import TestClient
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.contract.buckets import moment
from api.contract.event import Event
from api.contract.keys import Keys
from api.lifespan import connect_store
from api.settings import Settings
from api.store.errors import StoreUnavailable
from api.store.events import LIVE_S, REMEMBERED_S, Journal
from batch.data.live.drain import Entry
from batch.data.live.events import drain
from tests.clients import NOW_S, first_token
from tests.conftest import free_port
from tests.world import AS_OF_S, HOUR_S, TEXT, Names, World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]

KEYS = Keys()
FEED = "/post/recommendations/"
LATER_S = NOW_S + HOUR_S


@pytest.fixture
def client(client: TestClient, tmp_path: Path) -> TestClient:
    """Let the client write and administer."""
    client.headers.update(first_token(tmp_path, "admin"))
    return client


def shown(
    client: TestClient, world: World, user: int, at_s: int | None = None, limit: int = 100
) -> list[int]:
    """Return the posts that a user is answered."""
    time = {} if at_s is None else {"time": moment(at_s).isoformat()}
    reply = client.get(FEED, params={"id": world.names.user(user), "limit": limit, **time})
    assert reply.status_code == 200, reply.text
    return world.names.places([post["id"] for post in reply.json()])


def event(world: World, user: int, post: int, action: str = "view", **more: object) -> dict[str, Any]:
    """Return an event as clients send it."""
    return {"user_id": world.names.user(user), "post_id": world.names.post(post), "action": action, **more}


def takedown(world: World, post: int) -> str:
    """Return the path of a post's takedown."""
    return f"/posts/{quote(str(world.names.post(post)), safe='')}/takedown"


def tell(client: TestClient, *events: dict[str, Any]) -> list[str]:
    """Send events and return what became of each."""
    reply = client.post("/events", json=list(events))
    assert reply.status_code == 200, reply.text
    return [result["status"] for result in reply.json()["results"]]


@pytest.mark.parametrize("limit", [3, 100])
def test_the_next_answer_leaves_out_what_was_told_now(world: World, client: TestClient, limit: int) -> None:
    first = shown(client, world, 2, limit=limit)[0]

    told = tell(client, event(world, 2, first))

    assert told == ["accepted"]
    assert first not in shown(client, world, 2, limit=limit)
    assert first in shown(client, world, 4, limit=limit)


def test_an_event_filters_from_its_own_second_on(world: World, client: TestClient) -> None:
    tell(client, event(world, 2, 40, "view", time=moment(NOW_S - 60).isoformat()))

    assert 40 in shown(client, world, 2, NOW_S - 61)
    assert 40 not in shown(client, world, 2, NOW_S - 60)


def test_an_event_from_before_as_of_is_late_and_filtered(world: World, client: TestClient) -> None:
    told = tell(client, event(world, 2, 40, "view", time=AS_OF_S - 5))

    assert told == ["late"]
    assert 40 not in shown(client, world, 2)
    assert 40 not in shown(client, world, 2, AS_OF_S - 5)
    assert 40 in shown(client, world, 2, AS_OF_S - 6)


def test_the_same_event_changes_nothing_the_second_time(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    first = event(world, 2, 40, id="a1")

    told = [*tell(client, first, first), *tell(client, first), *tell(client, event(world, 2, 38, id="a1"))]

    assert told == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert store.xlen(KEYS.events()) == 1
    assert 38 in shown(client, world, 2)


def test_each_event_is_told_what_became_of_it(world: World, client: TestClient) -> None:
    good = event(world, 2, 40)

    bad = {**good, "action": "share"}

    reply = client.post("/events", json=[good, event(world, 2, 4000), bad, 7])

    results = reply.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "unknown", "malformed", "malformed"]
    assert results[0]["occurred_at"] == results[0]["accepted_at"] == moment(NOW_S).isoformat()
    assert results[2]["why"].startswith("action='share' is not an action")
    assert reply.json()["counts"] == {"accepted": 1, "unknown": 1, "malformed": 2}


def test_a_request_without_any_good_event_is_422_and_names_each_field(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    reply = client.post("/events", json=[{"user_id": ""}, event(world, 1, 2, "share")])

    assert reply.status_code == 422
    assert [error["loc"] for error in reply.json()["detail"]] == [
        ["body", 0, "user_id"],
        ["body", 1, "action"],
    ]
    assert not store.exists(KEYS.events())


@pytest.mark.parametrize("body", [b"", b"{", b"7", b"[]"])
def test_what_holds_no_events_is_422(world: World, client: TestClient, body: bytes) -> None:
    assert client.post("/events", content=body).status_code == 422


def test_a_body_that_is_too_large_is_413(world: World, client: TestClient) -> None:
    reply = client.post("/events", content=b" " * (1 << 20) + b"[]")

    assert (reply.status_code, "larger than 1048576" in reply.text) == (413, True)


def test_a_shop_tells_its_events_in_its_own_words(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    names = world.names
    visitor = {"visitorid": names.user(2)}

    told = tell(
        client,
        {**visitor, "itemid": names.post(40), "event": "view", "timestamp": NOW_S * 1000 - 500},
        {**visitor, "itemid": names.post(38), "event": "addtocart"},
        {**visitor, "itemid": names.post(36), "event": "transaction", "transactionid": 4000},
    )

    assert told == ["accepted"] * 3
    assert {40, 38, 36}.isdisjoint(shown(client, world, 2))
    user, numbers = names.user_key(2), {str(names.number(post)).encode() for post in (36, 38)}
    assert set(store.zrange(KEYS.likes(user), 0, -1)) == numbers
    assert set(store.zrange(KEYS.likes_live(user), 0, -1)) == {
        names.post_key(post).encode() for post in (36, 38)
    }


def test_a_like_hides_a_post_where_the_policy_says_so_and_a_view_does_not(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(seen_policy="likes", names=names).publish(store).promote(store)

    tell(
        client,
        event(world, 2, 40, "like"),
        event(world, 2, 38, "like", time=AS_OF_S - 5),
        event(world, 2, 36),
    )

    assert {40, 38, 36} & set(shown(client, world, 2, limit=5)) == {36}


def test_events_are_taken_before_anything_is_published(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(names=names)

    assert tell(client, event(world, 2, 40)) == ["accepted"]

    world.publish(store).promote(store)

    assert 40 not in shown(client, world, 2)


def test_an_event_outlives_a_flip_that_did_not_know_it(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    tell(client, event(world, 2, 40, "view", time=AS_OF_S))

    world.successor().publish(store).promote(store)

    assert 40 not in shown(client, world, 2, NOW_S)
    assert 40 not in shown(client, world, 2, LATER_S, limit=3)


def test_what_is_written_ends_by_itself_but_for_the_facts(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    tell(client, event(world, 2, 40, "like", id="a1"))

    user = world.names.user_key(2)
    lives = {key: store.ttl(key) for key in (KEYS.seen_live(user), KEYS.likes_live(user), KEYS.event("a1"))}
    assert set(lives.values()) <= {LIVE_S, LIVE_S - 1, REMEMBERED_S, REMEMBERED_S - 1}
    assert {store.ttl(key) for key in (KEYS.seen(user), KEYS.likes(user), KEYS.events())} == {-1}


def test_a_drained_event_keeps_both_of_its_times(
    world: World, store: redis.Redis, client: TestClient, tmp_path: Path
) -> None:
    tell(client, event(world, 2, 40, "like", id="a1", time=AS_OF_S - 5))

    user, post = str(world.names.user(2)), str(world.names.post(40))
    ((_, fields),) = cast("list[Entry]", store.xrange(KEYS.events()))
    assert Event.from_fields(fields) == Event("a1", user, post, "like", AS_OF_S - 5, NOW_S)
    assert drain(store, KEYS, f"sqlite:///{tmp_path}/events.db").n_new == 1


def test_an_event_whose_sets_are_foreign_is_not_recorded_at_all(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    live = KEYS.likes_live(world.names.user_key(2))
    store.set(live, "foreign")
    liked = event(world, 2, 40, "like", id="a1")

    refused = client.post("/events", json=liked)
    store.delete(live)

    assert refused.status_code == 503
    assert tell(client, liked) == ["accepted"]
    assert store.xlen(KEYS.events()) == 1


def test_a_store_without_the_script_gets_it_again(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    tell(client, event(world, 2, 40))
    store.script_flush()

    assert tell(client, event(world, 2, 38)) == ["accepted"]


def test_a_full_store_refuses_events_and_goes_on_answering(
    world: World, store: redis.Redis, client: TestClient
) -> None:
    before = shown(client, world, 2)
    store.config_set("maxmemory", 1)
    try:
        refused = client.post("/events", json=event(world, 2, 40))
        after = shown(client, world, 2)
    finally:
        store.config_set("maxmemory", 0)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert after == before


def test_one_attempt_that_is_tried_twice_is_no_duplicate(store: redis.Redis, valkey_url: str) -> None:
    event = Event("a1", "2", "40", "view", NOW_S, NOW_S)

    async def twice() -> list[list[Any]]:
        async with Redis.from_url(valkey_url) as client:
            journal = Journal(client, KEYS)
            return [await journal._record("attempt", [event], None) for _ in range(2)]

    assert asyncio.run(twice()) == [[1], [1]]
    assert store.xlen(KEYS.events()) == 1


def test_a_store_that_is_away_refuses_events(tmp_path: Path) -> None:
    async def accept() -> None:
        async with Redis(port=free_port(), retry=Retry(NoBackoff(), 0)) as client:
            await Journal(client, KEYS).accept([Event("a1", "2", "40", "view", NOW_S, NOW_S)])

    with pytest.raises(StoreUnavailable):
        asyncio.run(accept())


def test_a_post_that_is_taken_down_is_in_no_answer_until_it_is_put_back(
    world: World, client: TestClient
) -> None:
    post = world.names.post(40)
    down = client.put(takedown(world, 40))
    without = [40 in shown(client, world, user) for user in (2, 1, 999)]
    again = client.put(takedown(world, 40))
    back = client.delete(takedown(world, 40))

    assert down.json() == {"post_id": post, "taken_down": True, "changed": True}
    assert without == [False] * 3
    assert again.json()["changed"] is False
    assert back.json() == {"post_id": post, "taken_down": False, "changed": True}
    assert 40 in shown(client, world, 2)


def test_an_event_of_a_post_that_is_taken_down_is_not_unknown(world: World, client: TestClient) -> None:
    client.put(takedown(world, 40))

    assert tell(client, event(world, 2, 40)) == ["accepted"]


def test_a_post_may_be_taken_down_before_it_is_published(
    store: redis.Redis, client: TestClient, names: Names
) -> None:
    world = World(names=names)

    client.put(takedown(world, 40))

    world.publish(store).promote(store)

    assert 40 not in shown(client, world, 2)


def test_a_takedown_by_anyone_is_honoured_by_who_asks_while_it_is_being_read(
    world: World, store: redis.Redis, valkey_url: str
) -> None:
    async def answered() -> list[bool]:
        async with connect_store(Settings(redis_url=valkey_url), valkey_url, {}) as reader:
            user = str(world.names.user(2))
            await reader.look_up(user, NOW_S)
            known = []
            for post in world.posts:
                world.take_down(store, post)
                first = asyncio.create_task(reader.look_up(user, NOW_S))  # finds out what is current
                for _ in range(2 + post % 4):
                    await asyncio.sleep(0)
                second = asyncio.create_task(reader.look_up(user, NOW_S))  # comes while that is under way
                known += [
                    world.names.number(post) in (await found).generation.posts for found in (first, second)
                ]
            return known

    assert not any(asyncio.run(answered()))


def test_an_event_of_a_post_without_a_number_hides_it_in_the_generation_that_gives_it_one(
    store: redis.Redis, client: TestClient
) -> None:
    early = World(names=TEXT, posts=range(1, 31)).publish(store).promote(store)
    late = World(names=TEXT, generation=2, as_of_s=AS_OF_S + 60)

    told = tell(client, event(early, 2, 40), event(early, 2, 30))
    late.publish(store).promote(store)

    user = TEXT.user_key(2)
    assert told == ["unknown", "accepted"]
    assert {40, 30}.isdisjoint(shown(client, late, 2, limit=8))
    assert {40, 30}.isdisjoint(shown(client, late, 2))
    assert {40, 30} <= set(shown(client, late, 2, NOW_S - 1))
    assert store.zscore(KEYS.seen(user), str(TEXT.number(40))) is None
    assert store.zscore(KEYS.seen(user), str(TEXT.number(30))) == NOW_S


def test_who_takes_a_post_down_may_spell_its_uuid_in_capitals(store: redis.Redis, client: TestClient) -> None:
    world = World(names=TEXT).publish(store).promote(store)
    post = str(TEXT.post(33))

    down = client.put(f"/posts/{post.upper()}/takedown")

    ((noted, _),) = cast(
        "list[tuple[bytes, float]]", store.zrange(KEYS.takedown_log(), 0, -1, withscores=True)
    )
    assert down.json() == {"post_id": post.upper(), "taken_down": True, "changed": True}
    assert store.smembers(KEYS.takedowns()) == {post.lower().encode()}
    assert noted.split()[1:] == [post.lower().encode(), b"down", b"first"]
    assert 33 not in shown(client, world, 3)
    assert client.delete(f"/posts/{post.lower()}/takedown").json()["changed"] is True


def test_a_takedown_is_noted_in_four_words_whatever_the_post_is_called(
    store: redis.Redis, client: TestClient
) -> None:
    client.put(f"/posts/{quote('a b/{c}', safe='')}/takedown")

    ((noted, _),) = cast(
        "list[tuple[bytes, float]]", store.zrange(KEYS.takedown_log(), 0, -1, withscores=True)
    )
    assert noted.split()[1:] == [b"a%20b/%7Bc%7D", b"down", b"first"]
    assert store.smembers(KEYS.takedowns()) == {b"a b/{c}"}


@pytest.mark.parametrize("post", ["x" * 257, "a%00b", "a%0Ab"])
def test_what_can_be_no_post_cannot_be_taken_down(store: redis.Redis, client: TestClient, post: str) -> None:
    refused = client.put(f"/posts/{post}/takedown")

    assert (refused.status_code, store.exists(KEYS.takedowns())) == (422, 0)
    assert "is not an id: 1 to 256 bytes without control characters" in refused.text
