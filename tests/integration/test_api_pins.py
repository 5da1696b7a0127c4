"""Pins as people set them, from the command to the next answer, and back."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx2
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.keys import Keys
from api.contract.pin import MOST, Pin
from api.main import create_app
from api.settings import Settings
from batch.__main__ import run_command
from batch.publish.pins import TooManyPins, list_pins, remove_pin, set_pin
from batch.publish.replay.history import read_history
from batch.publish.replay.kept import Kept, from_store
from batch.publish.replay.replay import Replayer
from batch.store.who import who_am_i
from tests.clients import running
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, Names, World

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
NOON = "2021-12-20T12:00:00"


@pytest.fixture
def world(store: redis.Redis, names: Names) -> World:
    """Publish the world and make it current."""
    world = World(names=names).publish(store).promote(store)
    store.hset(Keys().states(), "1", "sealed")
    return world


@pytest.fixture(params=["", "?protocol=2"])
def client(valkey_url: str, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """Give a client of an app on the test's store, which tells it of changes, or does not."""
    settings = Settings(redis_url=valkey_url + request.param)
    with TestClient(create_app(settings, clock=lambda: PROMOTED_AT_S + 60)) as opened:
        yield opened


def put(store: redis.Redis, world: World, post: int, pin: Pin, now_s: float = PROMOTED_AT_S) -> None:
    """Pin a post of the world."""
    set_pin(store, Keys(), "default", str(world.names.post(post)), pin, now_s)


def asked(client: TestClient, world: World, user: int = 2, **query: object) -> tuple[list[int], list[int]]:
    """Return the posts of an answer, and those that its header names as pinned."""
    params: dict[str, Any] = {"id": world.names.user(user), "time": NOON, "limit": 4, **query}
    reply = client.get(PATH, params=params)
    assert reply.status_code == 200, reply.text
    named = [one for one in reply.headers.get("x-almanac-pinned", "").split(",") if one]
    pinned = [place for place in world.posts if quote(str(world.names.post(place)), safe="") in named]
    return world.names.places([post["id"] for post in reply.json()]), pinned


def paged(client: TestClient, world: World, user: int = 2, **query: object) -> dict[str, Any]:
    """Return a page."""
    path = f"/users/{quote(str(world.names.user(user)), safe='')}/feed"
    params: dict[str, Any] = {"at": NOON, "limit": 4, **query}
    reply = client.get(path, params=params)
    shown: dict[str, Any] = reply.json()
    return shown


def test_a_change_of_pins_holds_at_the_next_request(
    store: redis.Redis, client: TestClient, world: World
) -> None:
    own = world.own(2, NOON_S)
    before = asked(client, world)

    put(store, world, 7, Pin(1))
    pinned = asked(client, world)
    put(store, world, 7, Pin(3))
    moved = asked(client, world)
    remove_pin(store, Keys(), "default", str(world.names.post(7)), PROMOTED_AT_S)

    assert before == (own[:4], [])
    assert pinned == ([7, *own[:3]], [7])
    assert moved == ([*own[:2], 7, own[2]], [7])
    assert asked(client, world) == before


def test_what_was_seen_long_ago_or_is_taken_down_or_unknown_is_skipped(
    store: redis.Redis, client: TestClient, world: World
) -> None:
    own = world.own(2, NOON_S)
    for post in (3, 7, 4000):  # the third was seen before the lists were made
        put(store, world, post, Pin(1))
    assert asked(client, world) == ([7, *own[:3]], [7])

    world.take_down(store, 7)

    assert asked(client, world) == (own[:4], [])
    assert asked(client, world, user=99)[1] == [3]


def test_a_pin_of_a_segment_is_for_its_users(store: redis.Redis, client: TestClient, world: World) -> None:
    put(store, world, 7, Pin(1, segment="parity=odd"))

    assert asked(client, world, user=1)[1] == [7]
    assert asked(client, world, user=2) == (world.own(2, NOON_S)[:4], [])
    assert asked(client, world, user=99)[1] == []
    assert asked(client, world, user=99, profile=["parity=odd"])[1] == [7]


def test_the_server_answers_by_itself_as_the_routes_do(
    store: redis.Redis, valkey_url: str, world: World, tmp_path: Path
) -> None:
    rng = random.Random(14)
    with running(valkey_url, tmp_path) as base, httpx2.Client(base_url=base) as client:
        n_pinned = 0
        for turn in range(80):
            if turn % 4 == 0:
                segment = rng.choice([None, "parity=even", "parity=odd"])
                begin_s = rng.choice([None, NOON_S + 20])
                put(store, world, rng.choice(world.posts), Pin(rng.randrange(1, 6), begin_s, segment=segment))
                world.unpin(store, rng.choice(world.posts), rng.choice(world.posts))
                who, post = rng.choice(world.users), rng.choice(world.posts)
                world.see(store, who, post, NOON_S + rng.randrange(-HOUR_S, 40))
                world.see_live(store, who, post, NOON_S + rng.randrange(-HOUR_S, 40))
            user, at = world.names.user(rng.choice(world.users)), f"2021-12-20T12:00:{rng.randrange(40):02d}"
            query: dict[str, Any] = {"limit": rng.randrange(1, 12)}
            path = f"/users/{quote(str(user), safe='')}/feed"
            asked_as = [(PATH, {"id": user, "time": at, **query}), (path, {"at": at, **query})]
            for target, params in asked_as:
                one = client.get(target, params=params)
                other = client.get(target, params={**params, "variant": "default"})  # not as plain

                assert (one.status_code, one.content) == (200, other.content)
                said = [
                    {name: reply.headers.get(f"x-almanac-{name}") for name in ("rung", "pinned", "bucket")}
                    for reply in (one, other)
                ]
                assert said[0] == said[1]
                n_pinned += said[0]["pinned"] is not None
    assert n_pinned > 40


def test_pages_have_the_pins_of_the_first_one_once(
    store: redis.Redis, client: TestClient, world: World
) -> None:
    put(store, world, 7, Pin(2))
    first = paged(client, world)
    remove_pin(store, Keys(), "default", str(world.names.post(7)), PROMOTED_AT_S)
    put(store, world, 8, Pin(1))
    pages = [first]
    while pages[-1]["next"]:
        pages.append(paged(client, world, cursor=pages[-1]["next"]))

    assert first["pinned"] == [world.names.post(7)]
    assert all("pinned" not in page for page in pages[1:])
    shown = world.names.places([post["id"] for page in pages for post in page["posts"]])
    assert shown[1] == 7
    assert sorted(shown) == list(world.posts[4:])


def test_a_hash_that_anyone_wrote_to_harms_no_answer(
    store: redis.Redis, client: TestClient, world: World
) -> None:
    store.hset(Keys().pins(), mapping={b"\xff": "no pin", str(world.names.post(8)): "[]"})
    world.pin(store, 7)

    assert asked(client, world)[1] == [7]
    with pytest.raises(ValueError, match="is no pin"):
        list_pins(store, Keys(), "default")


def test_a_replay_pins_what_was_pinned_at_the_time(store: redis.Redis, world: World) -> None:
    put(store, world, 7, Pin(1), NOON_S)
    put(store, world, 7, Pin(2), NOON_S + 10.5)
    put(store, world, 8, Pin(1), NOON_S + 20)
    remove_pin(store, Keys(), "default", str(world.names.post(7)), NOON_S + 20)
    world.pin(store, 9, 4)  # without a note: it was always there

    def load(_: object) -> Kept:
        return from_store(store, Keys(), 1)

    replayer = Replayer(store, Keys(), read_history(store, Keys(), "default"), load)
    shown = [
        replayer.replay(world.names.user(2), NOON_S + after_s, 4) for after_s in (-1, 0, 9, 10, 19, 20, 30)
    ]

    pinned = [world.names.places(one.pinned) for one in shown]
    assert pinned == [[9], [7, 9], [7, 9], [7, 9], [7, 9], [8, 9], [8, 9]]
    assert [world.names.places(one.post_ids).index(7) for one in shown[1:5]] == [0, 0, 1, 1]


def test_no_more_posts_are_pinned_than_may_be_however_many_try_at_once(
    store: redis.Redis, world: World
) -> None:
    def try_to(post: int) -> bool:
        try:
            put(store, world, post, Pin(1))
        except TooManyPins:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        tried = list(pool.map(try_to, world.posts[: MOST + 10]))

    assert sum(tried) == store.hlen(Keys().pins()) == store.zcard(Keys().pin_log()) == MOST
    put(store, world, tried.index(True) + 1, Pin(2))  # one that is pinned may be moved


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """Run a command; return its exit code, its JSON and what it said of an error."""
    code = run_command([*words, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out.splitlines()[-1]), said.err


def test_the_commands_set_list_and_remove_pins(
    store: redis.Redis,
    valkey_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)
    World().publish(store).promote(store)
    told = ["--place", "2", "--from", "2021-12-25", "--to", "2021-12-26T12:00:00"]
    row = {
        "post_id": 17,
        "place": 2,
        "from": "2021-12-25T00:00:00+00:00",
        "to": "2021-12-26T12:00:00+00:00",
        "topic": "even",
        "segment": "parity=odd",
    }
    whose = ["--topic", "even", "--segment", "parity=odd"]

    first = command(capsys, "pins", "set", "017", *told, *whose)
    again = command(capsys, "pins", "set", "17", *told, *whose)
    command(capsys, "pins", "set", "16")
    listed = command(capsys, "pins", "list")
    removed = command(capsys, "pins", "remove", "17")

    assert first == (0, {**row, "changed": True}, "")
    assert again == (0, {**row, "changed": False}, "")
    assert [one["post_id"] for one in listed[1]["pins"]] == [16, 17]
    assert listed[1]["pins"][1] == row
    assert removed[:2] == (0, {"removed": "17"})
    assert run_command(["pins", "list"]) == 0
    assert "16" in capsys.readouterr().out
    assert store.hkeys(Keys().pins()) == [b"16"]
    log = cast("list[bytes]", store.zrange(Keys().pin_log(), -2, -1))
    who = who_am_i().encode()
    assert [member.split(b" ", 1)[1] for member in log] == [
        b'16 %s {"place":1}' % who,
        b"17 %s removed" % who,
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["set", "17", "--place", "0"], "place 0 is none of a page"),
        (["set", "17", "--from", "2021-12-25", "--to", "2021-12-25"], "end after it begins"),
        (["set", "17", "--topic", ""], "empty topic"),
        (["set", "a\nb"], "is not an id"),
        (["remove", "17"], "almanac pins list"),
    ],
)
def test_a_bad_pin_is_one_sentence(
    store: redis.Redis,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)

    code, wrong, err = command(capsys, "pins", *words)

    assert code == 2
    assert says in wrong["error"]
    assert err.count("\n") == 1
    assert store.exists(Keys().pins(), Keys().pin_log()) == 0


def test_while_a_generation_is_loaded_pins_change_all_the_same(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World().publish(store).promote(store)
    with TestClient(create_app(Settings(redis_url=valkey_url), clock=lambda: PROMOTED_AT_S + 60)) as client:
        assert asked(client, world)[1] == []
        replace(world, generation=9).promote(store)  # it is not there
        put(store, world, 7, Pin(1))

        assert asked(client, world, user=99)[1] == [7]
