"""Our client against the API as it is deployed: pages, filters, events, tokens, a store that goes away."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from api.client import AsyncClient, Client, NewEvent, RequestFailed, Similar
from api.contract.keys import Keys
from tests.clients import OwnStore, first_token, running
from tests.world import AS_OF_S, HOUR_S, Names, World

pytestmark = pytest.mark.integration

NOON = datetime(2021, 12, 20, 12, tzinfo=UTC)
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S


def token_of(state_dir: Path) -> str:
    """Return the token of scope `write` of the first start."""
    return first_token(state_dir, "write")["Authorization"].removeprefix("Bearer ")


def test_a_feed_its_pages_and_events_both_ways(
    store: redis.Redis, valkey_url: str, names: Names, tmp_path: Path
) -> None:
    world = World(names=names).publish(store).promote(store)
    store.hset(Keys().states(), "1", "sealed")
    own, user = world.own(4, NOON_S), names.user(4)
    event = NewEvent(user_id=user, post_id=names.post(own[1]), action="view", time=NOON.timestamp() - 60)

    async def ask(base: str, token: str) -> tuple[list[int], list[int]]:
        async with AsyncClient(base, token) as client:
            first = await client.feed(user, at=NOON, limit=3)
            told = await client.events([event])
            assert told.counts == {"duplicate": 1}
            every = [post.id async for page in client.pages(user, at=NOON, limit=7) for post in page.posts]
            return names.places([post.id for post in first.posts]), names.places(every)

    with running(valkey_url, tmp_path) as base:
        token = token_of(tmp_path)
        with Client(base, token) as client:
            before = client.feed(user, at=NOON, limit=3)
            without = client.feed(user, at=NOON, limit=3, exclude=[names.post(own[0])])
            odd = client.feed(user, at=NOON, limit=3, topic="odd")
            told = client.events([event.model_copy(update={"id": "e1"})])
            pages = list(client.pages(user, at=NOON, limit=7))
            event.id = "e1"
            after, every = asyncio.run(ask(base, token))
            with pytest.raises(RequestFailed, match="limit='0' is not a number of posts") as failed:
                client.feed(user, limit=0)
        with Client(base) as nobody, pytest.raises(RequestFailed) as refused:
            nobody.events([event])

    assert names.places([post.id for post in before.posts]) == own[:3]
    assert names.places([post.id for post in without.posts]) == own[1:4]
    assert names.places([post.id for post in odd.posts]) == [p for p in world.posts if p % 2 and p > 4][:3]
    assert (told.results[0].status, told.counts) == ("accepted", {"accepted": 1})
    assert after == [own[0], *own[2:4]]
    assert every == names.places([post.id for page in pages for post in page.posts])
    assert sorted(every) == [post for post in world.posts if post > 4 and post != own[1]]
    assert (failed.value.status, refused.value.status) == (422, 401)


def test_posts_like_a_post_both_ways(
    store: redis.Redis, valkey_url: str, names: Names, tmp_path: Path
) -> None:
    World(names=names).publish(store).promote(store)
    post = names.post(10)

    async def ask(base: str) -> Similar:
        async with AsyncClient(base) as client:
            return await client.similar(post, user_id=names.user(4), at=NOON, limit=5)

    with running(valkey_url, tmp_path) as base, Client(base) as client:
        found = client.similar(post, user_id=names.user(4), at=NOON, limit=5)
        again = asyncio.run(ask(base))
        with pytest.raises(RequestFailed) as failed:
            client.similar("no such post")

    assert found == again
    assert (found.post_id, len(found.posts)) == (post, 5)
    assert not {10, 1, 2, 3, 4} & {*names.places([one.id for one in found.posts])}
    assert failed.value.status == 404


def test_events_are_told_again_until_the_store_is_back(own_store: OwnStore, tmp_path: Path) -> None:
    with own_store.start() as store:
        World().publish(store).promote(store)
    (tmp_path / "state").mkdir()
    with running(own_store.url, tmp_path / "state") as base:
        token = token_of(tmp_path / "state")
        event = NewEvent(user_id=4, post_id=40, action="view")
        own_store.kill()
        with Client(base, token, tries=1) as hasty, pytest.raises(RequestFailed) as failed:
            hasty.events([event])
        back = threading.Timer(1.5, lambda: own_store.start().close())
        back.start()
        began = time.monotonic()
        with Client(base, token, tries=30) as patient:
            told = patient.events([event])
        waited_s = time.monotonic() - began
        back.join()

    assert failed.value.status == 503
    assert told.counts == {"accepted": 1}
    assert waited_s >= 1  # it waited as it was told to
