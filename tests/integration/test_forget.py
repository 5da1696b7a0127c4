"""`almanac forget`: nothing is left of a user anywhere, everybody else has what they had, and it stays so."""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote as percent

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.exposure import FIELD, Exposure, pack
from api.contract.ids import Kind
from batch.data.columns import FEED, USER_ID
from batch.data.forgotten import OtherKey, load_forgotten
from batch.data.ids import encode_ids
from batch.data.live.accepted import drain_accepted
from batch.data.load import read_facts
from batch.data.write import write
from batch.jobs import backfill
from batch.jobs.forget import Outcome, forget
from batch.jobs.full import run
from batch.jobs.overview import keep_overview
from batch.jobs.refresh.incremental import run_incremental
from batch.progress import SILENT, Progress, silent
from batch.publish.folder import GenerationFolder
from batch.publish.forget.refuse import ForgottenMeanwhile
from batch.publish.ledger.promotion import rollback
from batch.publish.proof.diff import diff
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.publish.replay.replay import open_replayer
from batch.runs.recorded import recorded
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from batch.store import read
from batch.store.lease import LeaseTaken, hold
from tests.clients import OwnStore, first_token, serving
from tests.conftest import STORE_SETTINGS
from tests.content import KEYS, blocks, config, content, generations, published
from tests.nights import WORLD
from tests.own_lists import write_own

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("some_layout")]
PATH = "/post/recommendations/"


def name_user(kind: Kind, number: int) -> str:
    """Return a user's id as the facts spell it: a UUID, or a number that is like nothing else."""
    if kind == "numbers":
        return str(7_340_000_000 + 7919 * number)
    made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"u{number}"))
    return made.upper() if number % 2 else made


def drawn(kind: Kind) -> Iterator[tuple[str, pa.Table]]:
    """Yield the tables of a small world whose users have ids of a kind; every event of the first is twice."""
    for name, table in tables(WorldConfig(80, 200, 3, "gaussian", 1.0, WORLD.start, WORLD.end)):
        if USER_ID in table.column_names:
            ids = [name_user(kind, int(number)) for number in table[USER_ID].to_pylist()]
            column = pa.array(map(int, ids), pa.int64()) if kind == "numbers" else pa.array(ids)
            table = table.set_column(table.column_names.index(USER_ID), USER_ID, column)
        if name == FEED:
            table = pa.concat_tables([table, table.slice(0, 20)])
        yield name, table


def feed_users(location: Path) -> list[str]:
    """Return the users of the feed, as it spells them; events of the first one are there twice."""
    return list(dict.fromkeys(map(str, pq.read_table(location / f"{FEED}.parquet")[USER_ID].to_pylist())))


class Traces:
    """Looks for a user's id, in every spelling and as a code."""

    def __init__(self, user_id: str) -> None:
        """Take note of the spellings."""
        self.texts = {text.lower().encode() for text in (user_id, percent(user_id))}
        self.codes = set(encode_ids([user_id.lower(), user_id]).tolist())

    def in_bytes(self, found: bytes) -> bool:
        """Say whether bytes hold the id."""
        return any(text in found.lower() for text in self.texts)

    def in_store(self, store: redis.Redis) -> list[str]:
        """Return the keys that hold it, in their names or anywhere in their values."""
        readers: dict[bytes, Any] = {
            b"string": store.get,
            b"hash": store.hgetall,
            b"set": store.smembers,
            b"zset": lambda key: store.zrange(key, 0, -1, withscores=True),
            b"stream": store.xrange,
        }
        keys = list(store.scan_iter(count=1000))
        return [
            key.decode()
            for key in keys
            if self.in_bytes(key) or self.in_bytes(repr(readers[read.narrow(store.type(key))](key)).encode())
        ]

    def in_files(self, folder: Path) -> list[str]:
        """Return the files that hold it, as they are, unpacked, or as a code in a column."""
        return [
            str(path.relative_to(folder))
            for path in sorted(folder.rglob("*"))
            if path.is_file() and (self.in_bytes(path.read_bytes()) or self._in_values(path))
        ]

    def _in_values(self, path: Path) -> bool:
        values: list[Any] = []
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            named = {"user_id", "code", "id"} & set(table.column_names)
            values = [value for name in named for value in table[name].to_pylist()]
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                values = file["user_ids"].tolist() if "user_ids" in file else []
        return any(value in self.codes or self.in_bytes(str(value).encode()) for value in values)


@pytest.fixture(params=["text", "numbers"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Give what users' ids are."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def settings(tmp_path: Path, own_store: OwnStore, kind: Kind) -> Settings:
    """Give settings of a small world, whose facts lie beside the state folder."""
    write(str(tmp_path / "facts"), drawn(kind), replace=True)
    return Settings(
        state_dir=tmp_path / "state",
        database_url=str(tmp_path / "facts"),
        redis_url=own_store.url,
        n_trees=8,
        depth=10,
        n_buckets=6,
        train_days=10,
        threads=2,
        generations_kept=3,
        segment_by="gender",
    )


def answers(client: TestClient, users: list[str], at: str) -> list[bytes]:
    """Return what users are answered, bodies and headers but the request's own id."""
    replies = [client.get(PATH, params={"id": user, "time": at, "limit": 10}) for user in users]
    own = ("x-request-id", "x-almanac-age", "x-almanac-fact-age")
    return [
        reply.content + repr([pair for pair in sorted(reply.headers.items()) if pair[0] not in own]).encode()
        for reply in replies
    ]


def send(client: TestClient, settings: Settings, user: str, post: int, at_s: int) -> dict[str, Any]:
    """Send a live event whose id names the user; return what became of it."""
    event = {"user_id": user, "post_id": post, "action": "like", "time": at_s, "id": f"{user[:60]}-{post}"}
    reply = client.post("/events", json=event, headers=first_token(settings.state_dir, "write"))
    return dict(reply.json()["results"][0])


def test_nothing_is_left_of_a_forgotten_user_and_others_keep_everything(
    settings: Settings, own_store: OwnStore, kind: Kind, tmp_path: Path
) -> None:
    store = own_store.start(*STORE_SETTINGS, "--rdbcompression", "no")  # so that its log can be read
    settings.state_dir.mkdir()
    user, *others = feed_users(tmp_path / "facts")
    traces = Traces(user)
    facts = settings.database_url.get_secret_value()
    first = run(settings, store, facts, SILENT, evaluated=False)
    run(replace_variant(settings, "popular"), store, facts, SILENT, evaluated=False)
    run(settings, store, facts, SILENT, evaluated=False)
    as_of_s = generations(store).current("default").as_of_s
    with serving(own_store.url, settings.state_dir, as_of_s + 3000) as client:
        posts = [post["id"] for post in client.get(PATH, params={"id": user, "limit": 5}).json()]
        for one in (user, others[0]):
            assert send(client, settings, one.swapcase(), posts[0], as_of_s + 600)["status"] == "accepted"
    refreshed = run_incremental(settings, store, facts, SILENT)
    assert refreshed["incremental"], refreshed
    backfill.backfill(settings, facts, backfill.Period(as_of_s - 86_400, as_of_s, 86_400), Progress())
    loaded = backfill.load(settings, store, [1], SILENT)
    with serving(own_store.url, settings.state_dir, as_of_s + 3000) as client:
        for one in (user, others[0]):
            send(client, settings, one, posts[1], as_of_s + 700)
        at = "2022-01-14T23:30:00"
        before, was = answers(client, others, at), answers(client, [user], at)
        expose(store, user, others[0])
        drain_accepted(settings, store)
        expose(store, user, others[0])
        (settings.state_dir / "last-error.txt").write_text(f"KeyError: {user}")
        fail_at(user, settings)
        assert len(traces.in_store(store)) > 8
        assert len(traces.in_files(settings.state_dir)) > 15
        assert traces.in_files(own_store.folder)

        done = forget(settings, store, user, SILENT)

        assert traces.in_store(store) == []
        assert traces.in_files(settings.state_dir) == []
        assert traces.in_files(own_store.folder) == []
        assert done.known
        assert all(n > 0 for n in done.touched.values()), done.touched
        assert done.touched["exposures"] == 1  # the other one had not been drained
        assert done.remains == ()
        assert "facts' own tables" in done.untouched
        assert user.lower() not in repr(done).lower()
        assert answers(client, others, at) == before
        assert answers(client, [user], at) != was
        assert send(client, settings, user, posts[2], as_of_s + 800)["status"] == "forgotten"
        assert send(client, settings, others[0], posts[2], as_of_s + 800)["status"] == "accepted"
        stranger = client.get(PATH, params={"id": name_user(kind, 10**6), "time": at, "limit": 10})
        assert client.get(PATH, params={"id": user, "time": at, "limit": 10}).json() == stranger.json()
    with serving(own_store.url, settings.state_dir, as_of_s + 3000) as client:
        assert answers(client, others, at) == before
    holds(settings, store, first.users - 1)
    assert [loaded[1]] == list(generations(store).read_backfilled("default"))
    assert not forget(settings, store, user, SILENT).known  # a second time there is nothing
    later(settings, store, facts, user, traces, own_store)


def expose(store: redis.Redis, *users: str) -> None:
    """Record that an experiment answered users, in one entry."""
    now_ms = int(time.time() * 1000)
    records = [Exposure("ab", user, "a", 0, now_ms, 1, 0, "own", "r", [1]) for user in users]
    store.xadd(KEYS.exposures(), {FIELD: pack(records)})


def fail_at(user: str, settings: Settings) -> None:
    """Let a run end with a bug whose sentence and traceback name a user, once its facts were counted."""
    facts = settings.database_url.get_secret_value()
    with suppress(RuntimeError), recorded(Runs(settings.state_dir), Progress(), "full", "default") as record:
        keep_overview(settings, read_facts(settings, facts, lambda _n: None), facts, record)
        assert user.lower() in Runs(settings.state_dir).overview_of(1).read_text().lower()
        raise RuntimeError(f"no row of {user}\n{user}: of 80")


def replace_variant(settings: Settings, variant: str) -> Settings:
    """Return the settings of another variant."""
    return settings.model_copy(update={"variant": variant})


def holds(settings: Settings, store: redis.Redis, n_users: int) -> None:
    """Prove every kept generation: what the store holds was sealed, and the models give it."""
    root, kept = settings.state_dir / "generations", generations(store).read_sealed()
    assert len(kept) == 5
    for number, manifest in kept.items():
        verdict = verify(
            generations(store), number, root, sample=80, rng=np.random.default_rng(0), progress=silent
        )
        assert verdict.ok, verdict
        assert (manifest.redacted, manifest.counts["users"]) == (1, n_users)
        folder = GenerationFolder.of(root, number)
        assert orjson.loads(folder.manifest.read_bytes()) == orjson.loads(manifest.to_json())


def later(
    settings: Settings, store: redis.Redis, facts: str, user: str, traces: Traces, own_store: OwnStore
) -> None:
    """Go on as if nothing had been: refresh, diff, roll back, replay, run; the user never comes back."""
    newest = generations(store).current("default").generation
    again = run_incremental(settings, store, facts, SILENT)
    assert again["incremental"], again
    assert again["users_scored"] == 1  # who sent an event meanwhile
    change = diff(
        generations(store),
        newest,
        again["generation"],
        user_id=None,
        sample=100,
        rng=np.random.default_rng(1),
    )
    assert (change.only_a, change.only_b) == (0, 0)
    rollback(generations(store), "default", 2**31)
    replayer = open_replayer(settings.keys, store, "default", settings.state_dir)
    at_s = generations(store).need_manifest(newest).as_of_s - 86_000
    assert replayer.replay(user, at_s, 5).rung == "popular"
    full = run(settings, store, facts, SILENT, evaluated=False)
    assert full.forgotten["users"] == 1
    assert full.forgotten["events"] > 20
    assert traces.in_store(store) == []
    assert traces.in_files(settings.state_dir) == []
    (settings.state_dir / "forgotten" / "key").rename(settings.state_dir / "key")  # a new state folder
    run(settings, store, facts, SILENT, evaluated=False)
    assert traces.in_store(store) == []
    store.flushall()  # a new store
    run(settings, store, facts, SILENT, evaluated=False)
    assert traces.in_store(store) == []
    key, folder = load_forgotten(settings.state_dir).key, settings.state_dir / "forgotten"
    assert store.get(KEYS.forgotten_key()) == key
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (settings.state_dir / "key").read_bytes() == key


def small(store: redis.Redis, folder: Path, user_id: str) -> Outcome:
    """Forget a user of the drawn content."""
    return forget(Settings(state_dir=folder), store, user_id, SILENT)


def test_a_user_nobody_knows_leaves_a_tombstone_all_the_same(store: redis.Redis, tmp_path: Path) -> None:
    manifest = published(store, tmp_path / "generations")

    done = small(store, tmp_path, "4711")

    assert (done.known, done.generations, set(done.touched.values())) == (False, (), {0})
    assert store.scard(KEYS.forgotten()) == 1
    assert generations(store).need_manifest(1) == manifest


def test_files_that_lie_elsewhere_are_named(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path / "another machine")

    done = small(store, tmp_path, "1")

    assert done.generations == (1,)
    assert "files of generations 1 are not on this disk" in " ".join(done.remains)
    verdict = verify(generations(store), 1, tmp_path, sample=1, rng=np.random.default_rng(0), progress=silent)
    assert verdict.bad_shards == ()


def test_a_generation_that_was_not_what_was_sealed_stays_so(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path / "generations")
    write_own(store, 1, 5, content().horizon.start_s, [1, 2, 3])

    small(store, tmp_path, "1")

    root = tmp_path / "generations"
    verdict = verify(generations(store), 1, root, sample=1, rng=np.random.default_rng(0), progress=silent)
    assert not verdict.ok
    assert store.exists(KEYS.list(1, 1)) == 0


@pytest.mark.parametrize("moment", ["files", "manifest"])
def test_killed_half_way_it_can_be_done_again(
    store: redis.Redis, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch.publish.forget import generation as forgetting

    published(store, tmp_path / "generations")
    step = {"files": "_digest_again", "manifest": "amend"}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(forgetting, step, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small(store, tmp_path, "1")
    assert store.exists(KEYS.list(1, 1)) == 1

    assert small(store, tmp_path, "1").generations == (1,)

    root = tmp_path / "generations"
    verdict = verify(generations(store), 1, root, sample=1, rng=np.random.default_rng(0), progress=silent)
    assert verdict.bad_shards == ()
    assert generations(store).need_manifest(1).redacted == 1
    assert not list(root.rglob("redacting"))


def test_who_is_forgotten_while_a_run_computes_is_not_published(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path / "generations")
    small(store, tmp_path, "1")

    with pytest.raises(ForgottenMeanwhile, match="1 of the users are forgotten"):
        publish(generations(store), content(1), blocks(content(1), 1), config(tmp_path / "generations"))
    assert generations(store).read_served("default") == (1, None)


def test_beside_a_run_that_publishes_nothing_is_touched(store: redis.Redis, tmp_path: Path) -> None:
    published(store, tmp_path / "generations")
    with hold(store, KEYS.lease(), 0, silent), pytest.raises(LeaseTaken):
        small(store, tmp_path, "1")
    assert not store.exists(KEYS.forgotten())


def test_a_state_folder_of_another_store_is_refused(store: redis.Redis, tmp_path: Path) -> None:
    small(store, tmp_path / "a", "1")
    store.delete(KEYS.forgotten_key(), KEYS.forgotten())
    small(store, tmp_path / "b", "1")

    with pytest.raises(OtherKey, match="is not the one in the store"):
        small(store, tmp_path / "a", "1")


def test_where_the_log_may_not_be_rewritten_a_sentence_says_so(own_store: OwnStore, tmp_path: Path) -> None:
    with own_store.start("--rename-command", "BGREWRITEAOF", "") as store:
        done = small(store, tmp_path, "1")

    assert ["log still holds it" in sentence for sentence in done.remains] == [True]


def test_a_text_that_is_no_id_is_refused(store: redis.Redis, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        small(store, tmp_path, "")
