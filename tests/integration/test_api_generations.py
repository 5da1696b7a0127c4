"""Generations change under the API's feet: every answer is of one generation, whole."""

import asyncio
import threading
from collections.abc import Iterator

import orjson
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.keys import Keys
from api.contract.manifest import Layout
from api.lifespan import connect_store
from api.main import create_app
from api.settings import Settings
from api.store import cache
from api.store.cache import GENERATIONS_HELD, Shelf
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, TEXT, World

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
QUERY = {"id": "2", "time": "2021-12-20 12:00:00"}


@pytest.fixture
def client(store: redis.Redis, valkey_url: str) -> Iterator[TestClient]:
    """Give a client of an app that serves generation 1 and has answered once."""
    World().publish(store).promote(store)
    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S + 100)) as opened:
        assert opened.get(PATH, params=QUERY).headers["x-almanac-generation"] == "1"
        yield opened


def test_the_next_request_after_a_flip_is_of_the_new_generation(
    store: redis.Redis, client: TestClient
) -> None:
    world = World().successor().publish(store).promote(store, PROMOTED_AT_S + 60)

    reply = client.get(PATH, params=QUERY)

    assert [post["id"] for post in reply.json()] == world.own(2, NOON_S)
    assert (reply.headers["x-almanac-generation"], reply.headers["x-almanac-age"]) == ("2", "40")


def test_a_rollback_is_served_by_the_next_request(store: redis.Redis, client: TestClient) -> None:
    World().successor().publish(store).promote(store)
    client.get(PATH, params=QUERY)
    world = World().promote(store, PROMOTED_AT_S + 90)

    reply = client.get(PATH, params=QUERY)

    assert [post["id"] for post in reply.json()] == world.own(2, NOON_S)
    assert (reply.headers["x-almanac-generation"], reply.headers["x-almanac-age"]) == ("1", "10")


def test_a_flip_to_what_is_not_there_is_answered_from_memory_until_rolled_back(
    store: redis.Redis, client: TestClient
) -> None:
    World(generation=9).promote(store)
    broken = client.get(PATH, params=QUERY)
    World().promote(store)

    mended = client.get(PATH, params=QUERY)

    assert [reply.status_code for reply in (broken, mended)] == [200, 200]
    assert [reply.headers.get("x-almanac-degraded") for reply in (broken, mended)] == ["generation", None]
    assert [post["id"] for post in broken.json()] == World().popular(NOON_S)
    assert [post["id"] for post in mended.json()] == World().own(2, NOON_S)


def test_a_store_that_began_anew_is_not_answered_from_memory(store: redis.Redis, client: TestClient) -> None:
    store.flushall()
    world = World(turn=3).publish(store).promote(store, PROMOTED_AT_S + 1)  # generation 1 once more

    reply = client.get(PATH, params={"id": "999", "time": QUERY["time"]})

    assert [post["id"] for post in reply.json()] == world.popular(NOON_S)


def test_no_answer_mixes_generations_while_they_flip(store: redis.Redis, client: TestClient) -> None:
    worlds = {"1": World(), "2": World().successor().publish(store)}
    wanted = {number: world.own(2, NOON_S) for number, world in worlds.items()}
    done = threading.Event()

    def flip() -> None:
        turn = 0
        while not done.wait(0.003):
            turn += 1
            worlds["1" if turn % 2 else "2"].promote(store, PROMOTED_AT_S + turn)

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        replies = [client.get(PATH, params=QUERY) for _ in range(400)]
    finally:
        done.set()
        flipping.join()

    assert {reply.status_code for reply in replies} == {200}
    assert {reply.headers["x-almanac-generation"] for reply in replies} == {"1", "2"}
    for reply in replies:
        assert [post["id"] for post in reply.json()] == wanted[reply.headers["x-almanac-generation"]]


def test_a_generation_that_only_the_last_request_knew_is_not_asked_for_again(
    store: redis.Redis, client: TestClient
) -> None:
    # Only /ready saw the later ones, and generation 1 was pushed out of memory and out of the store.
    for number in range(2, GENERATIONS_HELD + 3):
        World(generation=number).publish(store).promote(store, PROMOTED_AT_S + number)
        client.get("/ready")
    store.delete(Keys().manifest(1))

    assert client.get(PATH, params=QUERY).status_code == 200


def test_many_who_come_at_once_load_a_generation_once(store: redis.Redis, valkey_url: str) -> None:
    World().publish(store).promote(store)
    store.config_resetstat()

    async def ask() -> set[int]:
        async with connect_store(Settings(redis_url=valkey_url), valkey_url, {}) as reader:
            found = await asyncio.gather(*(reader.look_up(str(user), NOON_S) for user in range(50)))
            return {id(look_up.generation) for look_up in found}

    assert len(asyncio.run(ask())) == 1
    assert store.info("commandstats")["cmdstat_hscan"]["calls"] == 2  # its posts, and its facets


def test_a_flip_from_numbers_to_text_is_answered_by_the_next_request(
    store: redis.Redis, client: TestClient
) -> None:
    world = World(2, names=TEXT).publish(store).promote(store, PROMOTED_AT_S + 60)

    reply = client.get(PATH, params={**QUERY, "id": "002"})
    unknown = client.get(PATH, params=QUERY)

    assert [post["id"] for post in reply.json()] == list(map(TEXT.post, world.own(2, NOON_S)))
    assert unknown.headers["x-almanac-rung"] == "popular"


def test_the_dictionary_is_read_in_parts_and_held_once(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "IDS_A_READ", 7)
    worlds = [World(number, names=TEXT).publish(store) for number in (1, 2)]
    shelf: Shelf = {}

    async def load() -> None:
        async with connect_store(Settings(redis_url=valkey_url), valkey_url, shelf) as reader:
            for world in worlds:
                world.promote(store, PROMOTED_AT_S + world.generation)
                await reader.read_current()

    asyncio.run(load())

    first, second = shelf.values()
    assert first.numbers == {TEXT.post_key(post): TEXT.number(post) for post in World().posts}
    assert first.numbers is second.numbers


def test_no_more_generations_than_needed_stay_in_memory(store: redis.Redis, valkey_url: str) -> None:
    shelf: Shelf = {}

    async def ask() -> None:
        async with connect_store(Settings(redis_url=valkey_url), valkey_url, shelf) as reader:
            for number in range(1, GENERATIONS_HELD + 3):
                World(generation=number).publish(store).promote(store, PROMOTED_AT_S + number)
                found = await reader.look_up("2", NOON_S)
                assert found.pointer.generation == number

    asyncio.run(ask())

    assert [pointer.generation for pointer in shelf] == list(range(3, GENERATIONS_HELD + 3))


def test_a_request_to_an_own_list_is_one_round_trip(
    layout: Layout, store: redis.Redis, client: TestClient
) -> None:
    store.config_resetstat()

    client.get(PATH, params=QUERY)

    calls = {name: stats["calls"] for name, stats in store.info("commandstats").items()}
    calls.pop("cmdstat_config|resetstat", None)
    own = "get" if layout == "packed" else "hget"
    assert calls == {f"cmdstat_{own}": 1, "cmdstat_zrange": 2}


def described(store: redis.Redis, number: int, **fields: object) -> None:
    """Write fields of a manifest as another version may."""
    key = Keys().manifest(number)
    raw = orjson.loads(store.get(key) or b"")
    store.set(key, orjson.dumps({name: value for name, value in {**raw, **fields}.items() if value != GONE}))


GONE = "gone"


def test_a_manifest_of_a_newer_or_an_older_version_is_served(store: redis.Redis, client: TestClient) -> None:
    world = World().successor().publish(store)
    described(store, 2, hats=["bowler"], metrics=GONE, profile=GONE, gate=GONE)

    world.promote(store, PROMOTED_AT_S + 60)

    reply = client.get(PATH, params=QUERY)
    assert (reply.headers["x-almanac-generation"], reply.headers["x-almanac-rung"]) == ("2", "own")
    assert [post["id"] for post in reply.json()] == world.own(2, NOON_S)


def test_a_generation_that_needs_more_than_we_know_leaves_the_previous_one_served(
    store: redis.Redis, client: TestClient, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    new = World().successor().publish(store)
    described(store, 2, needs=["hats", "arms"])
    new.promote(store, PROMOTED_AT_S + 60)
    store.hset(Keys().current("default"), "previous", 1)
    why = "generation 2 needs arms, hats, which this version of Almanac does not know"

    held = [client.get(PATH, params={**QUERY, "limit": "5"}) for _ in range(2)]
    store.sadd(Keys().takedowns(), held[0].json()[0]["id"])
    without = client.get(PATH, params={**QUERY, "limit": "5"})
    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S + 100)) as anew:
        started = anew.get(PATH, params={**QUERY, "limit": "5"})
        assert anew.get("/ready").json()["generation"] == 1

    for reply in (*held, without, started):
        assert reply.headers["x-almanac-generation"] == "1"
        assert reply.headers["x-almanac-rung"] in ("own", "rest")
        assert "x-almanac-degraded" not in reply.headers
    assert [post["id"] for post in held[0].json()] == World().own(2, NOON_S)[:5]
    assert held[0].json()[0] not in without.json() + started.json()
    refused = [record for record in caplog.records if record.msg == "generation.refused"]
    assert len(refused) == 2
    assert all(why in str(vars(record)["why"]) for record in refused)


def test_without_a_previous_one_a_generation_that_needs_more_is_a_503_with_the_sentence(
    store: redis.Redis, valkey_url: str
) -> None:
    World().publish(store).promote(store)
    described(store, 1, needs=["hats"])

    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S)) as client:
        reply = client.get(PATH, params=QUERY)
        described(store, 1, needs=GONE)
        World().promote(store, PROMOTED_AT_S + 1)
        served = client.get(PATH, params=QUERY)

    assert reply.status_code == 503
    assert "generation 1 needs hats, which this version of Almanac does not know" in reply.json()["detail"]
    assert served.headers["x-almanac-generation"] == "1"
