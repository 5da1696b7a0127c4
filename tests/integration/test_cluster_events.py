"""Events, exposures, takedowns, drain and forgetting on a cluster: a user's keys lie apart from the rest."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from api.contract.event import Event
from api.contract.experiment import Arm, Experiment
from api.contract.exposure import FIELD, unpack
from api.contract.keys import Keys
from api.lifespan import connect_store
from api.settings import Settings
from api.store.errors import StoreUnavailable
from api.store.exposures import FLUSH_S
from api.store.slots import slot_of_key
from api.store.store import Store
from batch.data.forgotten import unite_forgotten
from batch.data.live.events import drain, read_live
from batch.publish.forget.store import forget_notes, forget_sets, renew_streams
from batch.publish.store import GenerationStore
from tests.clusters import Cluster
from tests.world import AS_OF_S, HOUR_S, World

pytestmark = pytest.mark.integration

NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
KEYS = Keys(in_cluster=True)
USERS = range(1, 9)
HALVES = (Arm("old", "default", 50), Arm("same", "default", 50))
EXPERIMENT = Experiment("buttons", "salt", HALVES, state="running")


@pytest.fixture
def client(cluster: Cluster) -> Iterator[redis.Redis]:
    """Give a client of a cluster that serves a world."""
    with cluster.client() as client:
        World(in_cluster=True).publish(client).promote(client)
        yield client


@asynccontextmanager
async def opened(url: str, n_copies: int = 0) -> AsyncIterator[Store]:
    """Give the API's store, and end what hangs."""
    chosen = Settings(redis_url=SecretStr(url), events_wait=n_copies)
    async with asyncio.timeout(30), connect_store(chosen, url, {}) as store:
        yield store


def view(user: int, post: int) -> Event:
    """Return that a user saw a post, an hour before noon."""
    seen_s = NOON_S - HOUR_S
    return Event(f"{user}-{post}", str(user), str(post), "view", seen_s, seen_s)


async def first_of(store: Store, user: int) -> int:
    """Return the first post that a user is answered at noon."""
    return int((await store.answer(str(user), NOON_S, 3)).posts[0])


def test_an_accepted_event_is_hidden_from_the_next_request_and_drained_once(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    async def tell() -> None:
        async with opened(cluster.url) as store:
            served = await store.read_current()
            for user in USERS:
                for _ in range(3):
                    post = await first_of(store, user)
                    assert await store.journal.accept([view(user, post)], served) == [True]
                    assert await store.journal.accept([view(user, post)], served) == [False]
                    assert await first_of(store, user) != post
            many = [view(user, 100 + user) for user in USERS]  # posts that nothing knows of
            assert await store.journal.accept(many, served) == [True] * len(many)

    asyncio.run(tell())
    n_events = 4 * len(USERS)
    url = f"sqlite:///{tmp_path / 'events.db'}"
    assert drain(client, KEYS, url).n_entries == n_events
    assert drain(client, KEYS, url).n_entries == 0
    assert len(read_live(url).time) == n_events


def test_an_event_that_was_recorded_and_not_hidden_is_hidden_when_it_is_sent_again(
    cluster: Cluster, client: redis.Redis
) -> None:
    async def tell() -> None:
        async with opened(cluster.url) as store:
            served = await store.read_current()
            post = await first_of(store, 2)
            await store.journal.accept([view(2, post)], served)
            client.unlink(KEYS.seen_live("2"))
            client.zrem(KEYS.seen("2"), str(post))  # as if we had been killed in between
            assert await first_of(store, 2) == post
            assert await store.journal.accept([view(2, post)], served) == [False]
            assert await first_of(store, 2) != post

    asyncio.run(tell())
    assert client.xlen(KEYS.events()) == 1


def test_nothing_is_written_of_who_is_forgotten_even_if_it_was_recorded_before(
    cluster: Cluster, client: redis.Redis, tmp_path: Path
) -> None:
    kept = GenerationStore(client, KEYS)

    async def tell() -> None:
        async with opened(cluster.url) as store:
            served = await store.read_current()
            events = [view(2, 30), view(3, 31)]
            journal = store.journal
            hide = journal._run  # type: ignore[attr-defined]

            async def forget_between(part: str, *rest: object) -> object:
                if part == "hide":
                    unite_forgotten(client, KEYS, tmp_path, ["2"])
                    drain(client, KEYS, f"sqlite:///{tmp_path / 'events.db'}")
                    forget_sets(kept, ["2"])
                return await hide(part, *rest)

            journal._run = forget_between  # type: ignore[attr-defined]
            assert await journal.accept(events, served) == [None, True]
            del journal._run  # type: ignore[attr-defined]
            assert await journal.accept([view(2, 33), view(3, 33)], served) == [None, True]

    asyncio.run(tell())
    renew_streams(kept)
    assert forget_notes(kept, ["2-30"]) == 1
    left = {
        key for port in cluster.ports for key in cluster.node(port).scan_iter(count=1000) if b"{2}" in key
    }
    assert left == {KEYS.gone("2").encode(), KEYS.list("2", 1).encode()}
    assert 0 < client.ttl(KEYS.gone("2")) <= 600


def test_a_takedown_counts_at_once_and_is_noted(cluster: Cluster, client: redis.Redis) -> None:
    async def tell() -> None:
        async with opened(cluster.url, 1) as store:
            await store.read_current()
            for user in USERS:
                post = await first_of(store, user)
                assert await store.journal.take_down(str(post), NOON_S + user, "shop")
                assert await first_of(store, user) != post
                assert await store.journal.put_back(str(post), NOON_S + user)
                assert await first_of(store, user) == post

    asyncio.run(tell())
    assert client.zcard(KEYS.takedown_log()) == 16


def test_an_event_is_acknowledged_only_when_a_replica_has_it(cluster: Cluster, client: redis.Redis) -> None:
    async def tell(copies: int) -> None:
        async with opened(cluster.url, copies) as store:
            served = await store.read_current()
            await store.journal.accept([view(2, 12)], served)

    asyncio.run(tell(1))
    with pytest.raises(StoreUnavailable, match="1 replicas have what was written, of 2 that must"):
        asyncio.run(tell(2))


def test_events_are_kept_while_their_slots_move(cluster: Cluster, client: redis.Redis) -> None:
    moving = sorted({slot_of_key(KEYS.seen(user)) for user in USERS} | {slot_of_key(KEYS.states())})
    acknowledged: list[tuple[int, int]] = []

    async def tell() -> None:
        async with opened(cluster.url) as store:
            served = await store.read_current()

            def change() -> None:
                for turn in range(2):
                    for slot in moving:
                        cluster.move(range(slot, slot + 1), cluster.primaries[turn % 3])

            changing = asyncio.create_task(asyncio.to_thread(change))
            turn = 0
            while not changing.done():
                user, post = 1 + turn % 8, 5 + turn // 8 % 36
                try:
                    await store.journal.accept([view(user, post)], served)
                except StoreUnavailable:
                    continue  # it may be sent again
                acknowledged.append((user, post))
                given = await store.answer(str(user), NOON_S, 40)
                assert not given.found.degraded
                assert post not in given.posts
                turn += 1
            await changing

    asyncio.run(tell())
    assert len(acknowledged) > 8
    for user, post in acknowledged:
        assert client.zscore(KEYS.seen_live(user), str(post)) == NOON_S - HOUR_S
    assert client.xlen(KEYS.events()) == len(set(acknowledged))


async def note(store: Store, name: str) -> None:
    """Answer a user in an experiment, and note that under a request's name."""
    given = await store.answer("2", NOON_S, 3)
    given.placed = EXPERIMENT.place("2")
    store.exposures.note(given, name.encode(), lambda: NOON_S)


def noted(client: redis.Redis) -> list[str]:
    """Return the requests of the stream's records."""
    entries: Any = client.xrange(KEYS.exposures())
    return [one.request_id for _, fields in entries for one in unpack(fields[FIELD.encode()])]


def test_a_record_of_an_answer_follows_its_stream_to_another_primary(
    cluster: Cluster, client: redis.Redis
) -> None:
    home = slot_of_key(KEYS.states())

    async def tell() -> None:
        async with opened(cluster.url) as store:
            await note(store, "while it moves")
            end = cluster.begin_move(home, cluster.another_than(home))
            await asyncio.sleep(3 * FLUSH_S)
            assert store.exposures.counts == {}
            end()
            await asyncio.sleep(3 * FLUSH_S)

            await note(store, "after")
            cluster.move(range(home, home + 1), cluster.another_than(home))
            await asyncio.sleep(3 * FLUSH_S)

            await note(store, "at the end")
            cluster.move(range(home, home + 1), cluster.another_than(home))
        assert store.exposures.counts == {"accepted": 3}

    asyncio.run(tell())
    assert noted(client) == ["while it moves", "after", "at the end"]
