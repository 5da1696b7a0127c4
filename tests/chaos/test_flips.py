"""Readers that hammer the API while generations flip: every answer is whole and of one generation.

`ALMANAC_CHAOS=1` runs the full number of flips and kills.
"""

import os
import threading
import time
from collections import Counter

import pytest
import redis
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from batch.publish.ledger.promotion import promote, rollback
from tests.content import KEYS, generations
from tests.world import AS_OF_S, HOUR_S, PROMOTED_AT_S, World

pytestmark = pytest.mark.integration
FULL = bool(os.environ.get("ALMANAC_CHAOS"))
N_FLIPS, N_READERS = (1000, 4) if FULL else (60, 2)
PATH = "/post/recommendations/"
NOON_S = AS_OF_S - AS_OF_S % HOUR_S + 2 * HOUR_S


def test_no_reader_sees_a_flip(store: redis.Redis, valkey_url: str) -> None:
    worlds = {"1": World().publish(store), "2": World().successor().publish(store)}
    for number in (1, 2):
        store.hset(KEYS.states(), str(number), "sealed")
        promote(generations(store), number, PROMOTED_AT_S, force=True)
    wanted = {number: world.own(2, NOON_S) for number, world in worlds.items()}
    done, seen = threading.Event(), Counter[tuple[int, str, tuple[int, ...]]]()
    settings = Settings(redis_url=valkey_url)
    query = {"id": "2", "time": "2021-12-20 12:00:00"}

    def read(client: TestClient) -> None:
        while not done.is_set():
            reply = client.get(PATH, params=query)
            number = reply.headers.get("x-almanac-generation", "none")
            seen[reply.status_code, number, tuple(post["id"] for post in reply.json())] += 1

    def read_on() -> None:
        """Let the readers go on: a flip takes less than an answer."""
        said = seen.total()
        while seen.total() < said + N_READERS and any(reader.is_alive() for reader in readers):
            time.sleep(0.0005)

    with TestClient(create_app(settings, clock=lambda: PROMOTED_AT_S + 10)) as client:
        readers = [threading.Thread(target=read, args=(client,)) for _ in range(N_READERS)]
        for reader in readers:
            reader.start()
        try:
            for turn in range(N_FLIPS // 2):
                assert rollback(generations(store), "default", PROMOTED_AT_S + turn).generation == 1
                read_on()
                assert promote(generations(store), 2, PROMOTED_AT_S + turn).generation == 2
                read_on()
        finally:
            done.set()
            for reader in readers:
                reader.join()

    assert {(code, ids) for code, number, ids in seen if list(ids) != wanted.get(number)} == set()
    assert {code for code, _, _ in seen} == {200}
    assert {number for _, number, _ in seen} == {"1", "2"}
    assert generations(store).read_served("default") == (2, 1)
    assert len(generations(store).promotions("default")) == N_FLIPS // 2 * 2 + 2
