"""Who waits for an answer hears of it: of a fault of ours, and of a generation that takes long to load."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from fastapi.testclient import TestClient

from api.contract.keys import Keys
from api.found import Generation, Lookup
from api.lifespan import connect_store
from api.main import create_app
from api.settings import Settings
from api.store.batcher import LookupBatcher
from api.store.cache import GenerationCache
from api.store.commands import LookupCommands
from api.store.connection import RespConnection
from api.store.errors import StoreUnavailable
from api.store.snapshot import Snapshot
from api.store.store import Store
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

pytestmark = pytest.mark.integration

NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S
HANGS_S = 20.0  # who waits for so long waits for ever


class Slip(Exception):
    """A fault of ours."""


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Store]:
    """Give a reader of the store that has answered once, and end what hangs."""
    async with asyncio.timeout(HANGS_S), connect_store(Settings(redis_url=url), url, {}) as reader:
        assert (await reader.look_up("2", NOON_S)).pointer.generation == 1
        yield reader


def test_a_round_trip_is_timed_by_a_clock_that_is_finer_than_the_loops(
    store: redis.Redis, valkey_url: str
) -> None:
    World().publish(store).promote(store)

    async def ask() -> float:
        async with reading(valkey_url) as reader:
            return reader.stats.took_s.total

    took_ms = 1000 * uvloop.run(ask())  # as it is served: on uvloop
    assert took_ms > 0
    assert abs(took_ms - round(took_ms)) > 1e-6


class Gate:
    """Holds up the loading of generation 2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be shut; make one inside the event loop."""
        self.open = asyncio.Event()
        load = GenerationCache._read

        async def read(loader: GenerationCache, number: int) -> Generation:
            if number == 2:
                await self.open.wait()
            return await load(loader, number)

        monkeypatch.setattr(GenerationCache, "_read", read)


def test_a_look_up_that_cannot_be_written_keeps_no_other_from_its_answer(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    World().publish(store).promote(store)
    write = LookupCommands.pack_own

    def slip(
        plan: LookupCommands, user_id: str, at_s: int, bucket_s: int, *, with_session: bool
    ) -> tuple[bytes, int]:
        if user_id == "5":
            raise Slip
        return write(plan, user_id, at_s, bucket_s, with_session=with_session)

    async def ask() -> list[Any]:
        async with reading(valkey_url) as reader:
            monkeypatch.setattr(LookupCommands, "pack_own", slip)
            return await asyncio.gather(
                *(reader.look_up(str(user), NOON_S) for user in range(1, 9)), return_exceptions=True
            )

    found = asyncio.run(ask())

    assert [type(one) for one in found] == [Slip if user == 5 else type(found[0]) for user in range(1, 9)]
    assert [list(one.own) for one in found if not isinstance(one, Slip)] == [
        World().own(user, NOON_S) for user in range(1, 9) if user != 5
    ]


def test_an_answer_that_cannot_be_read_keeps_no_other_from_its_own(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    World().publish(store).promote(store)
    read = Snapshot.read

    def slip(snapshot: Snapshot, user_id: str, *rest: Any) -> Lookup:
        if user_id == "1":
            raise Slip
        return read(snapshot, user_id, *rest)

    async def ask() -> list[Any]:
        async with reading(valkey_url) as reader:
            monkeypatch.setattr(Snapshot, "read", slip)
            return await asyncio.gather(
                *(reader.look_up(str(user), NOON_S) for user in (1, 2, 3)), return_exceptions=True
            )

    found = asyncio.run(ask())

    assert isinstance(found[0], Slip)
    assert [list(one.own) for one in found[1:]] == [World().own(user, NOON_S) for user in (2, 3)]


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (LookupBatcher, "_must_read_first"),
        (LookupBatcher, "_read_first"),
        (LookupBatcher, "_send"),
        (RespConnection, "send"),
    ],
)
def test_whatever_goes_wrong_in_a_flush_all_who_wait_hear_of_it_and_the_next_are_answered(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch, where: type, name: str
) -> None:
    World().publish(store).promote(store)

    def slip(*_: Any) -> None:
        raise Slip

    async def ask() -> list[Any]:
        async with reading(valkey_url) as reader:
            with monkeypatch.context() as broken:
                broken.setattr(where, name, slip)
                if name == "_read_first":
                    reader._own.current.mark_stale()
                failed = await asyncio.gather(
                    *(reader.look_up(str(user), NOON_S) for user in (1, 2)), return_exceptions=True
                )
            return [*failed, await reader.look_up("3", NOON_S)]

    *failed, answered = asyncio.run(ask())

    assert [type(one) for one in failed] == [Slip, Slip]
    assert list(answered.own) == World().own(3, NOON_S)


def test_a_fault_of_ours_on_a_hot_route_is_a_500_that_is_counted_and_logged(
    store: redis.Redis,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    World().publish(store).promote(store)

    def slip(*_: Any) -> None:
        raise Slip

    app = create_app(Settings(redis_url=valkey_url, state_dir=tmp_path))
    with TestClient(app, raise_server_exceptions=False) as client:
        with monkeypatch.context() as broken, caplog.at_level(logging.ERROR, "api"):
            broken.setattr(LookupCommands, "pack_own", slip)
            statuses = [
                client.get(path).status_code for path in ("/post/recommendations/?id=2", "/users/2/feed")
            ]
        counted = client.get("/metrics").text

    assert statuses == [500, 500]
    assert [record.message for record in caplog.records] == ["request.failed"] * 2
    for route in ("/post/recommendations/", "/users/{user_id}/feed"):
        assert f'almanac_requests_total{{route="{route}",rung="",status="500"}} 1.0' in counted


def test_while_a_generation_is_loaded_the_one_before_answers_without_what_is_taken_down(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    World().publish(store).promote(store)
    world = World().successor().publish(store)
    gone = World().own(2, NOON_S)[0]

    async def ask() -> None:
        async with reading(valkey_url) as reader:
            gate = Gate(monkeypatch)
            world.promote(store, PROMOTED_AT_S + 60)
            store.sadd(Keys().takedowns(), gone)

            found = await reader.look_up("2", NOON_S)
            assert (found.pointer.generation, found.degraded) == (1, "")
            assert gone not in found.generation.posts
            also = World().own(3, NOON_S)[0]
            store.sadd(Keys().takedowns(), also)
            found = await reader.look_up("3", NOON_S)
            assert (found.pointer.generation, found.degraded) == (1, "")
            assert not {gone, also} & found.generation.posts.keys()

            gate.open.set()
            while (found := await reader.look_up("2", NOON_S)).pointer.generation == 1:
                await asyncio.sleep(0.001)
            assert list(found.own) == world.own(2, NOON_S)

    asyncio.run(ask())


def test_who_asks_what_is_current_hears_of_the_one_before_while_the_next_is_loaded(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    World().publish(store).promote(store)
    settings = Settings(redis_url=valkey_url, read_timeout_s=0.2)

    async def ask() -> list[int]:
        async with asyncio.timeout(HANGS_S), connect_store(settings, valkey_url, {}) as reader:
            await reader.read_current()
            gate = Gate(monkeypatch)
            World().successor().publish(store).promote(store)
            meanwhile = await reader.read_current()
            waiting = asyncio.create_task(reader.read_current(patient=True))
            await asyncio.sleep(0)
            gate.open.set()
            after = await waiting
            return [meanwhile.manifest.generation, after.manifest.generation]

    assert asyncio.run(ask()) == [1, 2]


def test_while_the_first_generation_is_loaded_nobody_waits_without_end(
    store: redis.Redis, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    World(generation=2).publish(store).promote(store)
    settings = Settings(redis_url=valkey_url, read_timeout_s=0.2)

    async def ask() -> list[Any]:
        async with asyncio.timeout(HANGS_S), connect_store(settings, valkey_url, {}) as reader:
            gate = Gate(monkeypatch)
            refused = await asyncio.gather(
                reader.look_up("2", NOON_S),
                reader.read_current(),
                reader.look_up("3", NOON_S),
                return_exceptions=True,
            )
            gate.open.set()
            loaded = await reader.read_current(patient=True)
            assert loaded.manifest.generation == 2
            return list(refused)

    refused = asyncio.run(ask())

    assert [type(one) for one in refused] == [StoreUnavailable] * 3
    assert all("still being loaded" in str(one) for one in refused)
