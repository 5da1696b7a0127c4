"""Events from the stream to the database, exactly once, whoever is killed on the way."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
import sqlalchemy as sa
from redis.asyncio import Redis

from api.contract.event import Event
from api.contract.keys import Keys
from api.store.errors import StoreUnavailable
from api.store.events import Journal
from batch.data.columns import LIKE, VIEW
from batch.data.live import events as live
from batch.data.live.delete import delete_live
from batch.data.live.drain import remove
from batch.data.live.events import drain, read_live
from batch.data.tables.location import SourceError
from tests.clients import NOW_S, OwnStore

pytestmark = pytest.mark.integration

KEYS = Keys()


def event(number: int) -> Event:
    """Return an event with an id of its own; every fourth is a like."""
    kind = "view" if number % 4 else "like"
    user, post, at_s = str(1 + number % 7), str(1 + number % 40), NOW_S + number
    return Event(f"e{number}", user, post, kind, at_s, at_s + 1)


def record(store: redis.Redis, *events: Event) -> None:
    """Put events into the stream as the API does."""
    for one in events:
        store.xadd(KEYS.events(), one.to_fields())  # type: ignore[arg-type]  # a dict of texts is one


def kept(url: str) -> list[str]:
    """Return the ids in a database, each as often as it is there."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        ids = [str(row[0]) for row in connection.execute(sa.text("SELECT event_id FROM live_events"))]
    engine.dispose()
    return sorted(ids)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return str(request.getfixturevalue("postgres_url"))


def test_what_is_drained_leaves_the_stream_and_is_there_once(
    store: redis.Redis, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHUNK", 7)
    record(store, *map(event, range(50)), *map(event, range(10)))

    first, second = drain(store, KEYS, url), drain(store, KEYS, url)

    assert (first, second) == ((60, 50, 0), (0, 0, 0))
    assert store.xlen(KEYS.events()) == 0
    assert kept(url) == sorted(f"e{number}" for number in range(50))


def test_what_is_read_back_is_what_was_accepted(store: redis.Redis, url: str) -> None:
    record(store, *map(event, range(5)))

    drain(store, KEYS, url)

    found = read_live(url)
    assert found.user.to_pylist() == ["1", "2", "3", "4", "5"]
    assert found.post.to_pylist() == ["1", "2", "3", "4", "5"]
    assert found.time.tolist() == [NOW_S + number for number in range(5)]
    assert found.action.tolist() == [LIKE, VIEW, VIEW, VIEW, LIKE]


def test_events_are_read_in_order_of_acceptance_then_of_id_in_narrow_columns(
    store: redis.Redis, url: str
) -> None:
    late, tied = event(9), [replace(event(number), accepted_at_s=NOW_S) for number in (12, 110, 3)]
    record(store, late, *tied)

    drain(store, KEYS, url)

    found = read_live(url)
    assert found.time.tolist() == [NOW_S + number for number in (110, 12, 3, 9)]
    assert found.accepted.tolist() == [NOW_S, NOW_S, NOW_S, NOW_S + 10]
    columns = (found.time, found.action, found.accepted)
    assert [column.dtype for column in columns] == [np.int64, np.int8, np.int64]


def test_a_database_without_events_is_empty(url: str) -> None:
    found = read_live(url)

    assert len(found.user) == 0
    assert [str(column.dtype) for column in (found.time, found.action)] == ["int64", "int8"]


IDS = ["7", "007", "1e3", "18446744073709551615", "a {b}%", "Ж"]


def test_ids_come_back_letter_by_letter(store: redis.Redis, url: str) -> None:
    record(store, *(replace(event(n), user_id=id_, post_id=id_[::-1]) for n, id_ in enumerate(IDS)))

    drain(store, KEYS, url)

    found = read_live(url)
    assert found.user.to_pylist() == IDS
    assert found.post.to_pylist() == [id_[::-1] for id_ in IDS]


def test_a_table_of_numbers_becomes_one_of_texts_and_loses_nothing(store: redis.Redis, url: str) -> None:
    columns = "action VARCHAR(16), kind VARCHAR(16), transaction_id VARCHAR(128)"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE live_events (event_id VARCHAR(128) PRIMARY KEY, user_id BIGINT NOT NULL, "
            f"post_id BIGINT NOT NULL, {columns}, occurred_at_s BIGINT, accepted_at_s BIGINT)"
        )
        connection.exec_driver_sql(
            f"INSERT INTO live_events VALUES ('old', 7, {2**63 - 1}, 'view', 'view', '', 5, {NOW_S - 9})"
        )
    engine.dispose()
    record(store, replace(event(1), user_id="007", post_id="x"), replace(event(2), event_id="old"))

    assert drain(store, KEYS, url) == (2, 1, 0)

    found = read_live(url)
    assert found.user.to_pylist() == ["7", "007"]
    assert found.post.to_pylist() == [str(2**63 - 1), "x"]
    assert found.time.tolist() == [5, NOW_S + 1]


def test_an_entry_that_is_no_event_is_kept_apart(store: redis.Redis, url: str) -> None:
    store.xadd(KEYS.events(), {"colour": b"\xff"})
    record(store, event(1))

    assert drain(store, KEYS, url) == (2, 1, 1)
    assert kept(url) == ["e1"]


def test_events_that_come_meanwhile_wait_for_the_next_drain(store: redis.Redis, url: str) -> None:
    record(store, *map(event, range(3)))
    entries = store.xrange(KEYS.events())
    record(store, event(3))

    remove(store, KEYS.events(), entries)  # type: ignore[arg-type]

    assert store.xlen(KEYS.events()) == 1


@pytest.mark.parametrize("bad", ["mysql://u:secret@h/d", "nonsense", "sqlite:////nowhere/at/all/events.db"])
def test_a_database_that_cannot_be_used_is_named_without_its_password(store: redis.Redis, bad: str) -> None:
    record(store, event(1))

    with pytest.raises(SourceError) as caught:
        drain(store, KEYS, bad)

    assert "secret" not in str(caught.value)
    assert store.xlen(KEYS.events()) == 1


def _drain_slowly(store_url: str, url: str) -> None:
    live.CHUNK = 5
    with redis.Redis.from_url(store_url) as client:
        drain(client, KEYS, url)


def test_drains_that_are_killed_anywhere_neither_lose_nor_double(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    drain(store, KEYS, url)
    record(store, *map(event, range(2000)))
    spawn = multiprocessing.get_context("fork")

    n_killed = 0
    for turn in range(40):
        process = spawn.Process(target=_drain_slowly, args=(valkey_url, url))
        process.start()
        assert process.pid is not None
        time.sleep(0.01 + 0.004 * turn)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            n_killed += 1
        process.join()
    drain(store, KEYS, url)

    assert n_killed
    assert kept(url) == sorted(f"e{number}" for number in range(2000))


def test_no_acknowledged_event_is_lost_when_the_store_is_killed(own_store: OwnStore, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    acknowledged: set[str] = set()

    async def accept_until_killed(first: int) -> int:
        async with Redis.from_url(own_store.url, socket_timeout=1) as client:
            journal = Journal(client, KEYS)
            for number in range(first, first + 100_000):
                try:
                    await journal.accept([event(number)])
                except StoreUnavailable:
                    return number + 1
                acknowledged.add(f"e{number}")
        raise AssertionError("nobody killed the store")

    number = 0
    for turn in range(4):
        client = own_store.start()
        killer = threading.Timer(0.4 + 0.35 * turn, own_store.kill)
        killer.start()
        number = asyncio.run(accept_until_killed(number))
        killer.join()
        client.close()
    client = own_store.start()
    drain(client, KEYS, url)

    ids = kept(url)
    assert len(acknowledged) > 100
    assert len(ids) == len(set(ids))
    assert acknowledged <= set(ids)
    client.close()


def test_a_users_events_are_deleted_and_nobody_elses(store: redis.Redis, url: str, tmp_path: Path) -> None:
    ann, bob = (replace(event(k), user_id=user) for k, user in ((1, "Ann-4711"), (2, "bob")))
    record(store, ann, replace(ann, event_id="e9", user_id="ann-4711"), bob)
    store.xadd(KEYS.events(), {"user": "ann-4711", "of": "a newer API"})
    store.xadd(KEYS.events(), {"user": "bob", "of": "a newer API"})
    drain(store, KEYS, url)

    gone = delete_live(url, lambda text: text.lower() == "ann-4711")

    assert (sorted(gone.event_ids), gone.n_exposures) == (["e1", "e9"], 0)
    assert kept(url) == ["e2"]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM live_unreadable")) == 1
    engine.dispose()
    if url.startswith("sqlite"):
        assert b"nn-4711" not in (tmp_path / "events.db").read_bytes()
    assert delete_live(url, lambda text: text.lower() == "ann-4711") == ([], 0)
