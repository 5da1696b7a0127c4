"""API, `FCALL_RO feed` and the oracle answer alike, for random users, times, seen posts and takedowns."""

import random
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.contract.profile import signature
from api.main import create_app
from api.settings import Settings
from batch.publish.functions import load
from tests.oracle import expected
from tests.world import AS_OF_S, HOUR_S, World, events_of

pytestmark = pytest.mark.integration

PATH = "/post/recommendations/"


def called(
    store: redis.Redis, world: World, user: int, at_s: int, limit: int, profile: dict[str, str] | None = None
) -> list[str]:
    """Return what the function replies: rung, bucket, label, post ids."""
    keys, number = Keys(), world.generation
    seen = keys.likes(user) if world.seen_policy == "likes" else keys.seen(user)
    names = [
        keys.current("default"),
        keys.manifest(number),
        keys.list(user, number),
        seen,
        keys.takedowns(),
        keys.popular(number),
        keys.catalogue(number),
        keys.posts(number),
        *(keys.segment(number, name) for name in world.manifest.segments),
    ]
    if profile:
        told = signature(world.manifest.profile, profile)
        names += [keys.profile(number, told), keys.segment(number, f"parity={profile.get('parity')}")]
    reply = store.fcall_ro("feed", len(names), *names, str(at_s), str(limit))
    assert isinstance(reply, list)
    return [part.decode() for part in reply]


def drawn(rng: random.Random) -> dict[str, str]:
    """Draw what a user tells of himself: nothing, or any of an age, a parity and what is no column."""
    fields = {
        "age": str(rng.randrange(10, 60)),
        "parity": rng.choice(["even", "odd", "none"]),
        "planet": "Mars",
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.5}


@pytest.mark.parametrize("policy", ["views", "likes", "none"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_api_the_function_and_the_oracle_agree(
    store: redis.Redis, valkey_url: str, policy: str, seed: int
) -> None:
    rng = random.Random(seed)
    world = World(seen_policy=policy).publish(store).promote(store)  # type: ignore[arg-type]  # one of three
    assert load(store)
    key = Keys().likes if policy == "likes" else Keys().seen
    views = [] if policy == "likes" else list(world.views)
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for _ in range(150):
            user, at_s = rng.randrange(0, 12), AS_OF_S + rng.randrange(-2 * DAY_S, 4 * DAY_S)
            late = rng.randrange(AS_OF_S + 1, AS_OF_S + 2 * DAY_S)
            view = (rng.choice(world.users), rng.choice(world.posts), late)
            views.append(view)
            store.zadd(key(view[0]), {str(view[1]): view[2]}, lt=True)
            if rng.random() < 0.3:
                store.sadd(Keys().takedowns(), rng.choice(world.posts))
            if rng.random() < 0.3:
                store.srem(Keys().takedowns(), rng.choice(world.posts))
            limit, profile = rng.randrange(1, 60), drawn(rng)
            query: dict[str, Any] = {"id": user, "time": moment(at_s).isoformat(), "limit": limit}

            fields = [f"{name}={value}" for name, value in profile.items()]
            reply = client.get(PATH, params={**query, "profile": fields})
            rung, bucket, label, *posts = called(store, world, user, at_s, limit, profile)

            wanted = expected(store, events_of(views), user, at_s, limit, profile=profile)
            assert [post["id"] for post in reply.json()] == wanted, (user, at_s, limit, profile)
            assert list(map(int, posts)) == wanted, (user, at_s, limit, profile)
            assert (rung, label) == (reply.headers["x-almanac-rung"], reply.headers["x-almanac-time"])
            assert moment(int(bucket)).isoformat() == reply.headers["x-almanac-bucket"]


def test_the_function_leaves_out_what_is_not_wanted(store: redis.Redis) -> None:
    world = World().publish(store).promote(store)
    load(store)
    keys = Keys()
    names = [keys.current("default"), keys.manifest(1), keys.list(2, 1), keys.seen(2), keys.takedowns()]
    names += [keys.popular(1), keys.catalogue(1), keys.posts(1)]

    reply = store.fcall_ro("feed", len(names), *names, str(AS_OF_S), "2", "40", "36")

    assert [int(post) for post in reply[3:]] == [38, 34]
    assert world.own(2, AS_OF_S - AS_OF_S % HOUR_S)[:4] == [40, 38, 36, 34]


def test_the_function_refuses_a_generation_that_is_not_current(store: redis.Redis) -> None:
    World().publish(store)
    world = World().successor().publish(store).promote(store)
    load(store)

    assert called(store, world, 2, AS_OF_S, 1)[0] == "own"
    with pytest.raises(redis.ResponseError, match="generation 1 is not current"):
        called(store, World(), 2, AS_OF_S, 1)


def test_a_store_that_does_not_let_us_load_functions_is_no_fault(store: redis.Redis, valkey_url: str) -> None:
    store.acl_setuser(
        "modest", enabled=True, passwords=["+secret"], categories=["+@all"], commands=["-function"]
    )
    try:
        url = valkey_url.replace("redis://", "redis://modest:secret@")
        with redis.Redis.from_url(url) as client:
            assert not load(client)
    finally:
        store.acl_deluser("modest")
