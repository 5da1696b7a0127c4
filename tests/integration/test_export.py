"""`almanac export` writes what the API answers, for all users at once, and no half file."""

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from fastapi.testclient import TestClient

from api.contract.buckets import DAY_S, moment
from api.contract.ids import quote
from api.contract.keys import Keys
from api.main import create_app
from api.settings import Settings
from batch.jobs.export import Exported, ExportTorn, export
from batch.progress import SILENT
from batch.publish.export.sheet import Format
from batch.publish.lists import publish_lists
from batch.publish.publish import publish
from batch.settings import Settings as BatchSettings
from tests.clients import ROOT
from tests.content import blocks, config, content, generations
from tests.forked import program
from tests.world import AS_OF_S, TEXT, Names, World, draw_windows

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]
KEYS = Keys()
PATH = "/post/recommendations/"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give where to export to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "mails"


def written(
    store: redis.Redis, out: Path, form: Format = "parquet", **how: Any
) -> tuple[Exported, list[dict[str, Any]]]:
    """Export; return what was said and the rows of the file."""
    chosen = {"at_s": AS_OF_S + 60, "limit": 10, "form": form, "out": out} | how
    done = export(BatchSettings(), store, SILENT, **chosen)
    if form == "parquet":
        return done, pq.read_table(out).to_pylist()
    text = out.read_text("utf-8")
    if form == "csv":
        return done, list(csv.DictReader(text.splitlines()))
    return done, [json.loads(line) for line in text.splitlines()]


def by_user(rows: list[dict[str, Any]]) -> dict[Any, tuple[str, list[Any]]]:
    """Return each user's rung and posts; ranks count from 1."""
    posts, rungs = defaultdict(list), {}
    for row in rows:
        posts[row["user_id"]].append(row["post_id"])
        rungs[row["user_id"]] = row["rung"]
        assert row["rank"] == len(posts[row["user_id"]])
    return {user: (rungs[user], posts[user]) for user in posts}


def with_users(store: redis.Redis, world: World) -> World:
    """Write the key that says who has lists, as the batch does."""
    who = map(world.names.user_key, world.users)
    store.set(KEYS.users(world.generation), " ".join(map(quote, who)))
    return world


@pytest.mark.parametrize("holds_seen", [False, True])
@pytest.mark.parametrize("policy", ["views", "likes", "none"])
def test_an_export_is_what_the_api_answers_everybody(
    store: redis.Redis,
    valkey_url: str,
    names: Names,
    policy: str,
    holds_seen: bool,
    out: Path,
    tmp_path: Path,
) -> None:
    rng = random.Random(policy)
    windows = draw_windows(rng, World().posts, AS_OF_S) if policy == "views" else ()
    first = World(seen_policy=policy, names=names, holds_seen=holds_seen, windows=windows)  # type: ignore[arg-type]
    first.publish(store).promote(store)
    keys = {"likes": (KEYS.likes, KEYS.likes_live)}.get(policy, (KEYS.seen, KEYS.seen_live))
    asked = range(12)  # 1 to 8 have lists
    (tmp_path / "users").write_text("user_id\n" + "".join(f"{names.user(user)}\n" for user in asked), "utf-8")
    rungs = set()
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for _ in range(15):
            at_s, limit = AS_OF_S + rng.randrange(-2 * DAY_S, 4 * DAY_S), rng.choice([2, 5, 10, 45])
            for _ in range(6):  # views, some of them only in the live set, some told late
                who = names.user_key(rng.choice(asked))
                post, seen_s = rng.choice(first.posts), AS_OF_S + rng.randrange(-DAY_S, 2 * DAY_S)
                store.zadd(keys[0](who), {str(names.number(post)): seen_s}, lt=True)
                store.zadd(keys[1](who), {names.post_key(post): seen_s}, lt=True)
            first.take_down(store, rng.choice(first.posts))
            first.put_back(store, rng.choice(first.posts))
            segment = rng.choice([{}, {"segment": "parity=even"}, {"topic": "odd"}])
            first.pin(store, rng.choice(first.posts), rng.randrange(1, 6), **segment)
            first.unpin(store, *rng.sample(first.posts, 30))

            _, rows = written(store, out, at_s=at_s, limit=limit, users_file=tmp_path / "users")

            found = by_user(rows)
            rungs |= {rung for rung, _ in found.values()}
            for user in asked:
                query: dict[str, Any] = {
                    "id": names.user(user),
                    "time": moment(at_s).isoformat(),
                    "limit": limit,
                }
                reply = client.get(PATH, params=query)
                said = reply.headers["x-almanac-rung"], [post["id"] for post in reply.json()]
                assert found[names.user(user)] == said, (user, at_s, limit)
    assert rungs >= {"own", "rest", "popular", "catalogue"}


def test_somebody_elses_lists_are_exported_without_what_was_seen(
    store: redis.Redis, valkey_url: str, out: Path, tmp_path: Path
) -> None:
    of = content()
    publish(generations(store), of, blocks(of), config(tmp_path / "generations"))
    user, *others = of.user_ids.tolist()
    frame = pa.table({"user_id": [user] * 12, "item_id": of.post_ids[:12].tolist(), "rank": [*range(1, 13)]})
    settings = BatchSettings(redis_url=valkey_url, state_dir=tmp_path, max_absent_user_share=1)
    found = publish_lists(frame, settings=settings)
    at_s = int(time.time()) + 60
    store.unlink(KEYS.seen_old(user))
    store.zadd(
        KEYS.seen(user), {str(of.post_ids[0]): 1, str(of.post_ids[1]): at_s, str(of.post_ids[2]): at_s + 1}
    )
    (tmp_path / "users").write_text(f"{user}\n{others[0]}\n")

    done, rows = written(store, out, at_s=at_s, limit=6, users_file=tmp_path / "users")

    said = by_user(rows)
    with TestClient(create_app(Settings(redis_url=valkey_url))) as client:
        for one in (user, others[0]):
            reply = client.get(PATH, params={"id": one, "time": moment(at_s).isoformat(), "limit": 6})
            assert said[one] == (reply.headers["x-almanac-rung"], [post["id"] for post in reply.json()])
    assert found.manifest is not None
    assert done.generation == found.manifest.generation
    assert not {of.post_ids[0], of.post_ids[1]} & {*said[user][1]}
    assert of.post_ids[2] in said[user][1]


def test_without_a_file_everybody_who_has_lists_is_exported(
    store: redis.Redis, names: Names, out: Path
) -> None:
    world = with_users(store, World(names=names).publish(store).promote(store))

    done, rows = written(store, out)

    assert (done.users, done.rows, done.short, done.rungs) == (8, 80, 0, {"own": 8})
    assert list(by_user(rows)) == [
        int(key) if names.kind == "numbers" else key for key in map(names.user_key, world.users)
    ]
    assert {row["generation"] for row in rows} == {1}


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_every_form_holds_the_same_rows_whatever_ids_look_like(
    store: redis.Redis, names: Names, form: Format, out: Path
) -> None:
    with_users(store, World(names=names).publish(store).promote(store))
    _, wanted = written(store, out, with_posts=True)

    _, rows = written(store, out, form, with_posts=True)

    as_text = form == "csv"  # which knows no numbers
    assert rows == (
        [{name: str(value) for name, value in row.items()} for row in wanted] if as_text else wanted
    )
    assert any("," in str(row["user_id"]) for row in rows) == (names is TEXT)
    assert {row["text"][:5] for row in rows} <= {"Post ", ""}
    assert {row["topic"] for row in rows} == {"even", "odd"}


def test_users_are_spelled_as_in_the_file_and_come_once(
    store: redis.Redis, out: Path, tmp_path: Path
) -> None:
    World().publish(store).promote(store)
    (tmp_path / "users").write_text("\n  2 \n+007\n7\n999\n")

    _, rows = written(store, out, users_file=tmp_path / "users", limit=3)

    assert list(by_user(rows)) == [2, 7, 999]
    assert by_user(rows)[999][0] == "popular"


@pytest.mark.parametrize(
    ("lines", "says"),
    [("1\nann\n", "line 2 of .* holds 'ann'"), ("\n\n", "names no user"), ("x" * 300, "line 1")],
)
def test_a_file_of_users_that_is_none_is_refused(
    store: redis.Redis, out: Path, tmp_path: Path, lines: str, says: str
) -> None:
    World().publish(store).promote(store)
    (tmp_path / "users").write_text(lines)

    with pytest.raises(ValueError, match=says):
        written(store, out, users_file=tmp_path / "users")
    assert list(out.parent.iterdir()) == []


def test_a_generation_that_goes_meanwhile_leaves_no_file(
    store: redis.Redis, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_users(store, World().publish(store).promote(store))
    out.write_text("of yesterday")
    from batch.jobs import export as job

    def cleared(*what: Any) -> Iterator[Any]:
        yield from ()
        store.hset(KEYS.states(), "1", "retired")

    monkeypatch.setattr(job, "answer_all", cleared)
    with pytest.raises(ExportTorn, match="generation 1 was cleared"):
        written(store, out)
    assert [path.name for path in out.parent.iterdir()] == ["mails"]
    assert out.read_text() == "of yesterday"


def test_a_path_in_no_folder_is_refused_in_one_sentence(store: redis.Redis, tmp_path: Path) -> None:
    with_users(store, World().publish(store).promote(store))

    with pytest.raises(ValueError, match="no/where is no file in a folder that is there"):
        written(store, tmp_path / "no/where")


@pytest.mark.own_rights
def test_the_command_writes_a_file_and_interrupted_leaves_none(
    store: redis.Redis, valkey_url: str, tmp_path: Path
) -> None:
    with_users(store, World().publish(store).promote(store))
    env = {**os.environ, "ALMANAC_REDIS_URL": valkey_url, "ALMANAC_STATE_DIR": str(tmp_path / "s")}
    env |= {"PYTHONPATH": str(ROOT)}
    command = [*program(), "export", "--format", "csv", "--json", "--at", "2021-12-20T10:31:00"]

    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)

    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["file"], said["rows"]) == ("export-default-1.csv", 80)
    assert len((tmp_path / said["file"]).read_text().splitlines()) == 81

    (tmp_path / said["file"]).unlink()
    os.mkfifo(tmp_path / "users")  # nobody writes into it: the command waits for its users
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with (
            subprocess.Popen(
                [*command, "--users", "users"], env=env, cwd=tmp_path, stdout=subprocess.DEVNULL
            ) as waits,
            (tmp_path / "users").open("wb"),  # which waits until the command reads
        ):
            for _ in range(12):  # one that comes just before it begins to read is seen after it
                waits.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    waits.wait(5)
                    break
    finally:
        signal.signal(signal.SIGINT, before)
    assert waits.returncode != 0
    assert [path.name for path in tmp_path.glob("export*")] == []
