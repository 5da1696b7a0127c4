"""The API over a cluster: the answers of a single store, whatever the nodes do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis

from api.contract.keys import Keys
from api.feed import Answer
from api.lifespan import connect_store
from api.settings import Settings
from api.store.slots import slot_of_key
from api.store.store import Store
from tests.clusters import Cluster
from tests.world import AS_OF_S, HOUR_S, World

pytestmark = pytest.mark.integration

NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
USERS = [str(user) for user in range(1, 9)]
KEYS = Keys(in_cluster=True)

Told = tuple[int, str, str, tuple[int, ...]]  # generation, what degraded it, rung, posts


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Store]:
    """Give a reader of a store, and end what hangs."""
    async with asyncio.timeout(30), connect_store(Settings(redis_url=url), url, {}) as reader:
        yield reader


async def ask_all(reader: Store, at_s: int = NOON_S) -> list[Told]:
    """Return what all users, and one who is unknown, are answered."""
    given = await asyncio.gather(*(reader.answer(user, at_s, 8) for user in [*USERS, "999"]))
    return list(map(told, given))


def told(given: Answer) -> Told:
    """Return what an answer says."""
    return given.found.pointer.generation, given.found.degraded, given.rung, tuple(given.posts)


@pytest.mark.usefixtures("layout")
def test_a_cluster_answers_what_a_single_store_does(
    cluster: Cluster, store: redis.Redis, valkey_url: str
) -> None:
    cluster.spread(KEYS.states(), *map(KEYS.seen, USERS))
    World().publish(store).promote(store)
    World(in_cluster=True).publish(cluster.client()).promote(cluster.client())

    async def ask(url: str) -> list[list[Told]]:
        async with reading(url) as reader:
            return [await ask_all(reader, at_s) for at_s in (NOON_S, AS_OF_S - 500, AS_OF_S + 40 * HOUR_S)]

    answers = asyncio.run(ask(cluster.url))
    assert answers == asyncio.run(ask(valkey_url))
    assert {posts for _, _, _, posts in answers[0]}


def test_a_flip_and_a_takedown_count_from_the_next_request_on(cluster: Cluster) -> None:
    client, world = cluster.client(), World(in_cluster=True)
    world.publish(client).promote(client)
    worlds = [world.successor(), world]
    worlds[0].publish(client)

    async def ask() -> None:
        async with reading(cluster.url) as reader:
            await ask_all(reader)
            for turn in range(40):
                await asyncio.to_thread(worlds[turn % 2].promote, client)
                assert {generation for generation, *_ in await ask_all(reader)} == {2 - turn % 2}
                post = world.own(2, NOON_S)[turn % 5]
                await asyncio.to_thread(world.take_down, client, post)
                assert all(post not in posts for *_, posts in await ask_all(reader))
                await asyncio.to_thread(world.put_back, client, post)

    asyncio.run(ask())


def test_no_answer_is_given_before_home_has_told_of_changes(cluster: Cluster) -> None:
    """Home's words are late; all other nodes answer at once."""
    cluster.spread(KEYS.states(), *map(KEYS.seen, USERS))
    client, world = cluster.client(), World(in_cluster=True)
    world.publish(client).promote(client)
    world.successor().publish(client)

    async def ask() -> None:
        async with reading(cluster.url) as reader:
            await ask_all(reader)
            home = await reader._lifeline.connect()
            assert home._transport is not None
            home._transport.pause_reading()
            world.successor().promote(client)
            asyncio.get_running_loop().call_later(0.1, home._transport.resume_reading)
            assert {generation for generation, *_ in await ask_all(reader)} == {2}

    asyncio.run(ask())


def test_nobody_is_answered_from_two_generations_while_slots_move(cluster: Cluster) -> None:
    """Flip as fast as can be while slots of users and of the pointer move to and fro."""
    client, first = cluster.client(), World(in_cluster=True)
    worlds = [first, first.successor()]
    for world in worlds:
        world.publish(client)
    first.promote(client)
    own = {one.generation: {user: tuple(one.own(int(user), NOON_S)[:8]) for user in USERS} for one in worlds}
    moving = sorted({slot_of_key(KEYS.seen(user)) for user in USERS[:3]} | {slot_of_key(KEYS.states())})
    done = asyncio.Event()

    def change() -> None:
        for turn in range(6):
            for slot in moving:
                cluster.move(range(slot, slot + 1), cluster.primaries[turn % 3])
                worlds[turn % 2].promote(client)

    async def watch() -> int:
        n = 0
        async with reading(cluster.url) as reader:
            changing = asyncio.create_task(asyncio.to_thread(change))
            changing.add_done_callback(lambda _: done.set())
            while not done.is_set():
                given = await asyncio.gather(*(reader.answer(user, NOON_S, 8) for user in USERS))
                for user, one in zip(USERS, given, strict=True):
                    assert not one.found.degraded
                    assert one.rung == "own"
                    assert tuple(one.posts) == own[one.found.pointer.generation][user]
                n += 1
            await changing
            await asyncio.to_thread(worlds[1].promote, client)
            assert {generation for generation, *_ in await ask_all(reader)} == {2}
        return n

    assert asyncio.run(watch()) > 3
