"""Exposures from the stream to the table, each once, for so many days, and none of who is forgotten."""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from api.contract.exposure import FIELD, Exposure, pack
from api.contract.keys import Keys
from batch.data.forgotten import unite_forgotten
from batch.data.live import exposures as live
from batch.data.live.delete import delete_live
from batch.data.live.exposures import day_of, drain_exposures
from batch.data.live.layout import EXPOSURES
from tests.clients import NOW_S

pytestmark = pytest.mark.integration

KEYS = Keys()
TODAY = day_of(NOW_S * 1000)


def exposure(number: int) -> Exposure:
    """Return an answer with a request id of its own."""
    return Exposure(
        experiment="ab",
        user_id=str(1 + number % 7),
        arm="ab"[number % 2],
        asked_s=NOW_S - 60,
        accepted_ms=NOW_S * 1000 + number,
        generation=2,
        bucket_s=NOW_S - NOW_S % 3600,
        rung="own",
        request_id=f"r{number}",
        posts=(17, number, 2**31 - 1),
        propensities=(0.25,) if number % 2 else (),
    )


def record(store: redis.Redis, *some: Exposure, of_entry: int = 3) -> None:
    """Put exposures into the stream as the API does, several in an entry."""
    for low in range(0, len(some), of_entry):
        store.xadd(KEYS.exposures(), {FIELD: pack(some[low : low + of_entry])})


def drain(store: redis.Redis, url: str, days: int = 0, today: date = TODAY) -> Sequence[int]:
    """Drain as the schedule does."""
    return drain_exposures(store, KEYS, url, days, today)


def rows(url: str, what: str = "request_id") -> list[Any]:
    """Return a column of the table, in order."""
    return ask(url, sa.select(EXPOSURES.c[what]).order_by(EXPOSURES.c[what]))


def ask(url: str, statement: sa.sql.Executable) -> list[Any]:
    """Return the first column of what is asked."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = list(connection.scalars(statement))
    engine.dispose()
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return str(request.getfixturevalue("postgres_url"))


def test_what_is_drained_leaves_the_stream_and_is_there_once_however_often_it_is_read(
    store: redis.Redis, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHUNK", 2)
    record(store, *map(exposure, range(20)))
    left = store.dump(KEYS.exposures()) or b""

    first = drain(store, url)
    n_left = store.xlen(KEYS.exposures())
    store.restore(
        KEYS.exposures(), 0, left, replace=True
    )  # as it was, had the drain been killed before it removed them
    second = drain(store, url)

    assert (first, n_left, second) == ((7, 20, 0), 0, (7, 0, 0))
    assert rows(url) == sorted(f"r{number}" for number in range(20))


def test_a_row_says_all_that_the_record_does_with_ids_for_numbers(store: redis.Redis, url: str) -> None:
    store.hset(KEYS.ids(), "17", "sku-17")
    record(store, exposure(4), exposure(5))

    drain(store, url)

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = [row._asdict() for row in connection.execute(sa.select(EXPOSURES).order_by("place"))]
    engine.dispose()
    entry_id = found[0].pop("entry_id")
    assert found[1].pop("entry_id") == entry_id
    same = {
        "day": TODAY,
        "experiment": "ab",
        "asked_for_s": NOW_S - 60,
        "generation": 2,
        "bucket_s": NOW_S - NOW_S % 3600,
        "rung": "own",
    }
    of_4 = {"place": 0, "arm": "a", "user_id": "5", "accepted_at_ms": NOW_S * 1000 + 4, "request_id": "r4"}
    of_5 = {"place": 1, "arm": "b", "user_id": "6", "accepted_at_ms": NOW_S * 1000 + 5, "request_id": "r5"}
    posts = [["sku-17", name, str(2**31 - 1)] for name in "45"]
    assert found == [
        {**same, **of_4, "post_ids": posts[0], "propensities": []},
        {**same, **of_5, "post_ids": posts[1], "propensities": [0.25]},
    ]


def test_what_cannot_be_read_is_kept_apart_and_keeps_nothing_else_back(store: redis.Redis, url: str) -> None:
    bad = exposure(2)._replace(request_id="a\0b")
    late = exposure(3)._replace(accepted_ms=2**62)
    store.xadd(KEYS.exposures(), {"colour": b"\xff"})
    store.xadd(KEYS.exposures(), {FIELD: pack([exposure(1)])[:-1]})
    store.xadd(KEYS.exposures(), {FIELD: pack([exposure(1), bad, late])})

    assert drain(store, url) == (3, 1, 4)

    assert rows(url) == ["r1"]
    kept = ask(url, sa.text("SELECT fields FROM live_unreadable ORDER BY entry_id"))
    assert len(kept) == 4
    assert '{"colour":"\\\\xff"}' in kept


def test_a_day_too_old_goes_and_the_others_stay(store: redis.Redis, url: str) -> None:
    days_ago = [exposure(n)._replace(accepted_ms=(NOW_S - n * 86_400) * 1000) for n in range(5)]
    record(store, *days_ago)

    drain(store, url, days=2)
    kept = rows(url)
    drain(store, url, days=1, today=TODAY + timedelta(days=1))

    assert kept == ["r0", "r1", "r2"]
    assert rows(url) == ["r0"]


def test_partitions_are_there_a_day_ahead_and_go_as_a_whole(store: redis.Redis, postgres_url: str) -> None:
    record(store, exposure(0), exposure(1)._replace(accepted_ms=(NOW_S - 7 * 86_400) * 1000))
    names = sa.text("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhparent "
                    "WHERE relname = 'exposures' ORDER BY 1")  # fmt: skip

    drain(store, postgres_url)
    before = ask(postgres_url, names)
    drain(store, postgres_url, days=3)

    wanted = [f"exposures_{TODAY + timedelta(days=n):%Y%m%d}" for n in (-7, 0, 1)]
    assert before == wanted
    assert ask(postgres_url, names) == wanted[1:]


def test_who_reads_the_table_holds_up_no_new_day_and_no_drain(store: redis.Redis, postgres_url: str) -> None:
    record(store, exposure(0)._replace(accepted_ms=(NOW_S - 7 * 86_400) * 1000))
    drain(store, postgres_url)
    engine = sa.create_engine(postgres_url)
    with engine.connect() as reader:
        reader.execute(sa.select(EXPOSURES)).all()
        record(store, exposure(1))

        assert drain(store, postgres_url, days=3) == (1, 1, 0)

    engine.dispose()
    assert rows(postgres_url) == ["r0", "r1"]
    drain(store, postgres_url, days=3)
    assert rows(postgres_url) == ["r1"]


def test_nothing_of_a_forgotten_user_is_drained_or_stays(
    store: redis.Redis, url: str, tmp_path: Path
) -> None:
    ann, bob = (exposure(n)._replace(user_id=user) for n, user in ((1, "Ann-4711"), (2, "bob")))
    record(store, ann, bob)
    store.xadd(KEYS.exposures(), {FIELD: b"\x09ann-4711"})
    drain(store, url)

    gone = delete_live(url, lambda text: text.lower() == "ann-4711")

    assert gone == ([], 1)
    assert rows(url) == ["r2"]
    assert ask(url, sa.text("SELECT count(*) FROM live_unreadable")) == [0]
    unite_forgotten(store, KEYS, tmp_path / "state", ["Ann-4711"])
    record(store, ann._replace(request_id="r3"), bob._replace(request_id="r4"))
    assert drain(store, url) == (1, 1, 0)
    assert rows(url) == ["r2", "r4"]


def _drain_slowly(store_url: str, url: str) -> None:
    live.CHUNK = 1
    with redis.Redis.from_url(store_url) as client:
        drain(client, url)


def test_drains_that_are_killed_anywhere_neither_lose_nor_double(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    drain(store, url)
    record(store, *map(exposure, range(2000)), of_entry=10)
    fork = multiprocessing.get_context("fork")

    n_killed = 0
    for turn in range(15):
        process = fork.Process(target=_drain_slowly, args=(valkey_url, url))
        process.start()
        assert process.pid is not None
        time.sleep(0.01 + 0.006 * turn)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            n_killed += 1
        process.join()
    drain(store, url)

    assert n_killed
    assert rows(url) == sorted(f"r{number}" for number in range(2000))
