"""Generations for a past period: no later fact leaves a trace, and each time has its own answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings as ApiSettings
from batch.data.facts import Facts
from batch.data.ids import as_texts
from batch.data.live.events import LiveEvents
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.validation.rejects import Limits
from batch.data.write import write
from batch.jobs import backfill
from batch.jobs.full import run
from batch.progress import Progress, silent
from batch.publish.backfilled import Backfilled, list_backfilled
from batch.publish.ledger.entries import retire_one
from batch.publish.ledger.ledger import NothingServed
from batch.publish.proof.verify import verify
from batch.publish.replay.replay import open_replayer
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.store.connection import facts_location
from batch.store.server import StoreUnfit
from tests.clients import serving
from tests.content import KEYS, generations
from tests.integration.test_publish import generations_with_keys
from tests.nights import WORLD

pytestmark = pytest.mark.integration
PATH = "/post/recommendations/"
FIRST_S = 1_639_612_800  # 2021-12-16
NONE = np.empty(0, np.int64)
NOBODY = LiveEvents(as_texts([]), as_texts([]), NONE, NONE.astype(np.int8), NONE)


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    """Give settings of a small world of its own, whose facts lie in the state folder."""
    state, facts = tmp_path / "state", tmp_path / "facts"
    small = WorldConfig(80, 200, 3, "gaussian", 1.0, WORLD.start, WORLD.end)
    write(str(facts), tables(small), replace=True)
    return Settings(
        state_dir=state,
        database_url=str(facts),
        redis_url=valkey_url,
        n_trees=8,
        depth=10,
        train_days=10,
        threads=2,
        topic_depth=4,
    )


def facts_of(settings: Settings) -> Facts:
    """Read the world."""
    rejects = settings.state_dir.parent / "rejects.jsonl"
    mapping = Mapping.load("")
    return read(
        facts_location(settings), mapping=mapping, rejects=rejects, limits=Limits(0, 0, 0, 0), now_s=2**33
    )


def contents(made: Backfilled) -> dict[str, bytes]:
    """Return every file of a generation on disk."""
    files = [path for path in sorted(made.folder.path.rglob("*")) if path.is_file()]
    return {str(path.relative_to(made.folder.path)): path.read_bytes() for path in files}


def test_no_later_fact_leaves_a_trace(settings: Settings, tmp_path: Path) -> None:
    facts = facts_of(settings)
    whole = contents(backfill.make(settings, facts, NOBODY, FIRST_S, 0))
    later = facts.time > FIRST_S
    changed = replace(
        facts,
        post=np.where(later, facts.post[::-1], facts.post).astype(np.int32),
        user=np.where(later, 0, facts.user).astype(np.int32),
        target=np.where(later, 0, facts.target).astype(np.int8),
    )
    told = LiveEvents(
        as_texts([str(facts.user_ids[0])]),
        as_texts([str(facts.post_ids[0])]),
        np.array([FIRST_S - 60]),
        np.zeros(1, np.int8),
        np.array([FIRST_S + 1]),
    )
    elsewhere = [settings.replace(state_dir=tmp_path / name) for name in ("changed", "cut")]

    assert contents(backfill.make(elsewhere[0], changed, told, FIRST_S, 0)) == whole
    assert contents(backfill.make(elsewhere[1], facts.until(FIRST_S), NOBODY, FIRST_S, 0)) == whole
    assert {"inputs/model.txt", "lists-0000000-0000079.parquet", "manifest.json"} < whole.keys()


def test_a_time_of_the_period_is_answered_by_its_own_generation(
    settings: Settings, store: redis.Redis, valkey_url: str
) -> None:
    progress = Progress(None)
    period = backfill.Period(FIRST_S, FIRST_S + 2 * DAY_S, DAY_S)
    made = backfill.backfill(settings, facts_location(settings), period, progress)
    assert [one.manifest.generation for one in made] == [1, 2, 3]
    with pytest.raises(NothingServed):
        backfill.load(settings, store, [1], progress)
    current = run(settings, store, facts_location(settings), progress, evaluated=False).generation

    loaded = backfill.load(settings, store, [1, 3], progress)

    assert backfill.load(settings, store, [1], progress) == {1: loaded[1]}
    facts, rng = facts_of(settings), np.random.default_rng(5)
    past = open_replayer(Keys(), store, "default", settings.state_dir)
    with serving(valkey_url, settings.state_dir) as client:
        for _ in range(60):
            at_s = FIRST_S + int(rng.integers(-DAY_S, 4 * DAY_S))
            user_id = int(rng.choice(facts.user_ids))
            reply = client.get(PATH, params={"id": user_id, "time": moment(at_s).isoformat(), "limit": 7})
            ids = [post["id"] for post in reply.json()]
            seen = facts.post_ids[facts.post[(facts.user_ids[facts.user] == user_id) & (facts.time <= at_s)]]

            before = at_s < FIRST_S
            wanted = current if before else loaded[1] if at_s < FIRST_S + 2 * DAY_S else loaded[3]
            assert int(reply.headers["x-almanac-generation"]) == wanted
            assert (reply.headers["x-almanac-time"] == "leaky") == before
            assert not set(ids) & set(seen.tolist())
            replayed = None if before else past.replay(user_id, at_s, 7)
            if replayed is not None and replayed.generation == wanted:  # on disk the second day has its own
                assert list(replayed.post_ids) == ids
                assert replayed.rung == reply.headers["x-almanac-rung"]
            assert before or (replayed is not None and not replayed.was_served)


def refused_without_room(settings: Settings, store: redis.Redis) -> None:
    """Make sure that a store without room for the next run beside what is loaded is left alone."""
    n_keys = store.dbsize()
    store.config_set("maxmemory", int(store.info("memory")["used_memory"]) + 500_000)
    try:
        with pytest.raises(StoreUnfit, match="maxmemory"):
            backfill.load(settings, store, [1], Progress(None))
    finally:
        store.config_set("maxmemory", 0)
    assert store.dbsize() == n_keys
    with pytest.raises(LookupError, match=r"--load 9 names no backfilled generation: there are \[1\]"):
        backfill.load(settings, store, [9], Progress(None))


def test_what_is_loaded_stays_until_it_is_retired(
    settings: Settings, store: redis.Redis, valkey_url: str
) -> None:
    progress = Progress(None)
    period = backfill.Period(FIRST_S, FIRST_S, DAY_S)
    run(settings, store, facts_location(settings), progress, evaluated=False)
    backfill.backfill(settings, facts_location(settings), period, progress)
    refused_without_room(settings, store)
    number = backfill.load(settings, store, [1], progress)[1]
    run(settings, store, facts_location(settings), progress, evaluated=False)  # two are kept beside it

    assert store.hget(KEYS.states(), str(number)) == b"sealed"
    assert store.hget(KEYS.current("default"), "past") == str(FIRST_S).encode()
    folder, rng = settings.state_dir / "generations", np.random.default_rng(1)
    verdict = verify(generations(store), number, folder, sample=5, rng=rng, progress=silent)
    assert verdict.ok
    assert verdict.n_lists == 5 * settings.n_buckets

    retire_one(generations(store), folder, number, 0, silent)

    assert number not in generations_with_keys(store)
    assert store.hget(KEYS.current("default"), "past") == b""
    assert [
        made.manifest.generation for made in list_backfilled(backfill.folder_of(settings), "default")
    ] == [1]
    app = create_app(ApiSettings(redis_url=valkey_url, state_dir=settings.state_dir))
    with TestClient(app) as client:
        reply = client.get(PATH, params={"id": 1, "time": moment(FIRST_S + 60).isoformat()})
    assert reply.headers["x-almanac-time"] == "leaky"


@pytest.mark.parametrize(("text", "step_s"), [("1h", 3600), ("12h", 43_200), ("2d", 2 * DAY_S)])
def test_a_step_is_hours_or_days(text: str, step_s: int) -> None:
    assert backfill.parse_step(text) == step_s


@pytest.mark.parametrize("text", ["", "d", "0h", "1w", "-1d", "1.5h"])
def test_another_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no step"):
        backfill.parse_step(text)
