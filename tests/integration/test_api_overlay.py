"""The overlay against a real store: what an event says moves the very next feed, of now alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import orjson
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.main import create_app
from api.session import HALF_LIFE_S, KEPT_S, weigh
from api.settings import Settings
from tests.clients import NOW_S, first_token, running
from tests.own_lists import write_own
from tests.world import World

pytestmark = pytest.mark.integration

KEYS = Keys()
OWN = [40, 38, 36, 34, 32, 39, 37, 35, 33, 31]  # of topics even and odd
USER = 2


@pytest.fixture(autouse=True)
def own(world: World, store: redis.Redis) -> None:
    """Give the user a list of two topics."""
    ranked = list(map(world.names.number, OWN))
    for start in world.manifest.horizon.starts:
        write_own(store, world.generation, world.names.user_key(USER), start, ranked)


@contextmanager
def serving(url: str, folder: Path, now_s: int = NOW_S, overlay: str = "on") -> Iterator[TestClient]:
    """Give a client of an app, whose requests all go through the routes; it may tell events."""
    settings = Settings(redis_url=url, state_dir=folder, overlay=overlay)
    with TestClient(create_app(settings, clock=lambda: now_s)) as opened:
        opened.headers.update(first_token(folder, "write"))
        yield opened


def tell(client: TestClient, world: World, **posts: list[int]) -> None:
    """Let the user like and view posts."""
    told = [
        {"user_id": world.names.user(USER), "post_id": world.names.post(post), "action": action}
        for action, some in posts.items()
        for post in some
    ]
    assert set(client.post("/events", json=told).json()["counts"]) == {"accepted"}


def ask(client: httpx2.Client, world: World, limit: int = 4, **more: str) -> tuple[list[int], str]:
    """Return the posts that the user is answered, and what moved."""
    params = {"id": world.names.user(USER), "limit": limit, **more}
    reply = client.get("/post/recommendations/", params=params)
    places = world.names.places([post["id"] for post in reply.json()])
    return places, reply.headers.get("x-almanac-overlay", "")


def weights_at(at_s: int) -> bytes:
    """Return what the store's script writes of a session in which odd posts were liked and even ones not."""
    return orjson.dumps((at_s, {"odd": 1, "even": -1}))


def test_a_topic_that_was_just_liked_comes_further_up_now_and_at_no_other_time(
    valkey_url: str, world: World, tmp_path: Path
) -> None:
    with serving(valkey_url, tmp_path) as client:
        assert ask(client, world) == ([40, 38, 36, 34], "")

        tell(client, world, view=[40, 38, 36], like=[39])

        posts, moved = ask(client, world)
        assert posts[0] == 37
        assert moved.startswith(str(world.names.post(37)) + ":+2" if world.names.kind == "numbers" else "")
        assert ask(client, world, time=moment(NOW_S).isoformat()) == ([34, 32, 37, 35], "")
        native = client.get(f"/users/{world.names.user(4)}/feed")
        assert "x-almanac-overlay" not in native.headers


def test_what_is_counted_is_one_small_hash_that_ends_by_itself(
    valkey_url: str, world: World, store: redis.Redis, tmp_path: Path
) -> None:
    key = KEYS.session(world.names.user_key(USER))
    with serving(valkey_url, tmp_path) as client:
        tell(client, world, view=[40, 38], like=[38, 39])
        tell(client, world, view=[39])
    weights = weigh({"even": (1, 2), "odd": (1, 1)})
    stored = store.hgetall(key)
    assert stored.pop(b"") == b'[%d,{"even":%.3f,"odd":%.3f}]' % (NOW_S, weights["even"], weights["odd"])
    assert stored == {b"even": b"1 2 %d" % NOW_S, b"odd": b"1 1 %d" % NOW_S}
    assert store.ttl(key) in (KEPT_S, KEPT_S - 1)

    with serving(valkey_url, tmp_path, NOW_S + HALF_LIFE_S) as client:
        tell(client, world, view=[36])
    assert store.hget(key, "even") == b"0.5 2 %d" % (NOW_S + HALF_LIFE_S)
    faded = weigh({"even": (0.5, 2), "odd": (0.5, 0.5)})
    at_s, read = orjson.loads(store.hget(key, "") or b"")
    assert (at_s, read) == (NOW_S + HALF_LIFE_S, {name: round(weight, 3) for name, weight in faded.items()})


def test_an_event_of_another_hosts_clock_ahead_does_not_count_yet(
    valkey_url: str, world: World, tmp_path: Path
) -> None:
    with serving(valkey_url, tmp_path, NOW_S + 5) as ahead:
        tell(ahead, world, like=[39])
    with serving(valkey_url, tmp_path) as client:
        assert ask(client, world) == ([40, 38, 36, 34], "")


def test_off_nothing_is_counted_and_what_was_is_not_read(
    valkey_url: str, world: World, store: redis.Redis, tmp_path: Path
) -> None:
    key = KEYS.session(world.names.user_key(USER))
    with serving(valkey_url, tmp_path, overlay="off") as client:
        tell(client, world, view=[40], like=[39])
        assert not store.exists(key)
        store.hset(key, "", weights_at(NOW_S))
        assert ask(client, world) == ([38, 36, 34, 32], "")


def test_the_next_page_has_what_the_first_one_left_out(
    valkey_url: str, world: World, store: redis.Redis, tmp_path: Path
) -> None:
    key = KEYS.session(world.names.user_key(USER))
    store.hset(key, "", weights_at(NOW_S))
    shown: list[object] = []
    cursor: dict[str, str] = {}
    with serving(valkey_url, tmp_path) as client:
        for turn in range(3):
            params = {"limit": 3 if turn else 4, **cursor}
            page = client.get(f"/users/{world.names.user_key(USER).replace('/', '%2F')}/feed", params=params)
            assert ("x-almanac-overlay" in page.headers) == (turn == 0)
            cursor = {"cursor": page.json()["next"]}
            shown += [post["id"] for post in page.json()["posts"]]
    assert sorted(world.names.places(shown)) == sorted(OWN)


@pytest.mark.parametrize("protocol", ["", "?protocol=2"])
def test_the_hot_path_and_a_foreign_value(
    valkey_url: str, world: World, store: redis.Redis, tmp_path: Path, protocol: str
) -> None:
    """A process that answers plain requests itself, whether the server tells of changes or not."""
    key = KEYS.session(world.names.user_key(USER))
    store.hset(key, "", weights_at(NOW_S))
    on = {"ALMANAC_OVERLAY": "on", "ALMANAC_OVERLAY_PLACES": "20"}
    with (
        running(valkey_url + protocol, tmp_path, **on) as address,
        httpx2.Client(base_url=address) as client,
    ):
        assert ask(client, world)[1] == ""  # by the wall's clock all has faded
        now = int(store.time()[0])
        store.hset(key, "", weights_at(now))
        assert ask(client, world)[0] == [39, 37, 35, 33]
        store.delete(key)
        store.set(key, "foreign")
        assert ask(client, world) == ([40, 38, 36, 34], "")


def test_drawn_posts_keep_their_places_and_the_others_move(
    valkey_url: str, store: redis.Redis, tmp_path: Path
) -> None:
    new = World(2, explore=4).publish(store).promote(store)
    for start in new.manifest.horizon.starts:
        write_own(store, 2, USER, start, OWN)
    with serving(valkey_url, tmp_path) as client:
        off = client.get("/post/recommendations/", params={"id": USER, "limit": 4})
        store.hset(KEYS.session(USER), "", weights_at(NOW_S))
        on = client.get("/post/recommendations/", params={"id": USER, "limit": 4})

    before, after = ([post["id"] for post in reply.json()] for reply in (off, on))
    drawn = int(on.headers["x-almanac-explored"].partition(":")[0])
    own = [post for post in OWN if post != drawn][:8]
    moved = sorted(own, key=lambda post: own.index(post) - (2.5 if post % 2 else -2.5))[:3]
    place = after.index(drawn)
    assert on.headers["x-almanac-explored"] == off.headers["x-almanac-explored"]
    assert before == [*own[:place], drawn, *own[place:3]]
    assert after == [*moved[:place], drawn, *moved[place:]]
    raised = [(post, own.index(post) - at) for at, post in enumerate(moved) if own.index(post) > at]
    assert on.headers["x-almanac-overlay"] == ",".join(f"{post}:+{n}" for post, n in raised)
