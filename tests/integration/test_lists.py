"""Somebody else's lists in a real store: checked, published beside our own, served, compared, rolled back."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote as percent

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import sqlalchemy
from fastapi.testclient import TestClient
from threadpoolctl import threadpool_limits

from api.contract.buckets import moment
from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from api.contract.window import decode_window
from api.main import create_app
from api.settings import Settings as ApiSettings
from batch.__main__ import run_command
from batch.data.tables.location import SourceError
from batch.data.windows import Windows
from batch.jobs.export import export
from batch.jobs.forget import forget
from batch.jobs.inspect import inspect
from batch.jobs.refresh.start import FullRunNeeded, find_base
from batch.progress import SILENT, silent
from batch.publish.foreign.faults import SETTING, Fault, ListsRefused
from batch.publish.ledger.promotion import rollback
from batch.publish.lists import Published, publish_lists
from batch.publish.proof.diff import diff
from batch.publish.proof.verify import verify
from batch.publish.publish import publish
from batch.publish.replay.replay import open_replayer
from batch.settings import Settings
from batch.store import read
from tests.content import AS_OF_S, KEYS, blocks, config, content, generations, with_text_ids
from tests.own_lists import needs_of, read_own, write_own

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("some_layout")]

PATH = "/post/recommendations/"
AS_OF = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def settings(valkey_url: str, tmp_path: Path) -> Settings:
    """Give settings of the test's store and a folder of its own."""
    return Settings(redis_url=valkey_url, state_dir=tmp_path, generations_kept=3)


@pytest.fixture
def own(store: redis.Redis, tmp_path: Path) -> Manifest:
    """Publish our own lists of 40 users and 30 posts, two segments, under `default`."""
    return publish_own(store, tmp_path)


def publish_own(store: redis.Redis, folder: Path, seed: int = 0, as_of_s: int = AS_OF_S) -> Manifest:
    """Publish what `tests.content` draws by a seed."""
    of = replace(content(seed), as_of_s=as_of_s)
    how = config(folder / "generations", kept=3, now=lambda: as_of_s + 60)
    return publish(generations(store), of, blocks(of, seed), how)


def lists_of(manifest: Manifest, depth: int = 4, seed: int = 5) -> pd.DataFrame:
    """Draw a list of our own posts for each of our own users, as RecTools writes them."""
    rng, of = np.random.default_rng(seed), content()
    rows = [
        (user, post, 1.0 / place, place)
        for user in of.user_ids.tolist()
        for place, post in enumerate(rng.permutation(of.post_ids)[:depth].tolist(), 1)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "score", "rank"])


def wanted(frame: pd.DataFrame) -> dict[int, list[int]]:
    """Return each user's items, best first."""
    ranked = frame.sort_values("rank", kind="stable")
    return {user: own["item_id"].tolist() for user, own in ranked.groupby("user_id")}


def in_store(store: redis.Redis, manifest: Manifest, user: Any) -> list[int]:
    """Return the first bucket's list of a user."""
    return decode(read_own(store, manifest.generation, user).get(b"%d" % manifest.start_s))


def sealed(found: Published) -> Manifest:
    """Return the manifest of what was published."""
    assert found.manifest is not None
    return found.manifest


def everything(store: redis.Redis) -> dict[bytes, bytes | None]:
    """Return every key and what it holds."""
    return {key: store.dump(key) for key in store.scan_iter("*")}


def test_lists_are_published_as_they_rank_and_stand_beside_ours(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    frame = lists_of(own)
    pq.write_table(pa.Table.from_pandas(frame.sample(frac=1, random_state=1)), tmp_path / "recs.parquet")

    found = publish_lists(tmp_path / "recs.parquet", settings=settings, as_of=AS_OF)

    manifest = sealed(found)
    assert (found.lists, found.users, found.depth, found.faults) == (40, 40, 4, [])
    assert manifest.holds_seen
    assert needs_of(manifest) == ("holds_seen",)
    assert (manifest.start_s, manifest.width_s, manifest.n_buckets) == (
        int(AS_OF.timestamp()),
        settings.list_ttl_s,
        1,
    )
    assert {user: in_store(store, manifest, user) for user in wanted(frame)} == wanted(frame)
    assert 0 < int(store.ttl(KEYS.list(1, manifest.generation))) <= settings.list_ttl_s
    assert generations(store).read_served("default") == (2, 1)


@pytest.mark.parametrize("ids", ["numbers", "text"])
def test_an_answer_holds_nothing_that_its_user_saw_though_the_lists_do(
    store: redis.Redis, valkey_url: str, settings: Settings, tmp_path: Path, ids: str
) -> None:
    of = content() if ids == "numbers" else with_text_ids(content())
    publish(generations(store), of, blocks(of), config(tmp_path / "generations"))
    users, posts = of.user_names.as_json(of.user_ids), of.post_names.as_json(of.post_ids)
    seen = {user: {posts[k] for k in of.views.of(row).tolist()} for row, user in enumerate(users)}
    frame = pd.DataFrame(
        [(user, post, rank) for user in users for rank, post in enumerate(posts, 1)],
        columns=["user_id", "item_id", "rank"],
    )

    publish_lists(frame, settings=settings, variant="mine")

    with TestClient(create_app(ApiSettings(redis_url=valkey_url, variant="mine"))) as client:
        for user in users:
            answered = client.get(PATH, params={"id": user, "limit": 15, "time": moment(2**31).isoformat()})
            unseen = [post for post in posts if post not in seen[user]]
            assert [post["id"] for post in answered.json()] == unseen[:15], user
            assert answered.headers["x-almanac-rung"] == ("own" if len(seen[user]) == 0 else "rest")
            page = {"limit": 7, "at": moment(2**31).isoformat()}
            read_on = pages(client, f"/users/{percent(str(user), safe='')}/feed", page)
            assert read_on == unseen, user
    assert any(seen.values())


def pages(client: TestClient, path: str, query: dict[str, Any]) -> list[object]:
    """Return the posts of all pages of a feed."""
    found: list[object] = []
    page = client.get(path, params=query).json()
    while True:
        found += [post["id"] for post in page["posts"]]
        if page["next"] is None:
            return found
        page = client.get(path, params={"limit": query["limit"], "cursor": page["next"]}).json()


def test_popular_segments_and_catalogue_are_made_of_the_lists_and_texts_are_those_of_before(
    store: redis.Redis, own: Manifest, settings: Settings
) -> None:
    of, frame = content(), lists_of(own)

    manifest = sealed(publish_lists(frame, settings=settings))

    number, start = manifest.generation, b"%d" % manifest.start_s
    frame["gain"] = 1 / np.log2(frame["rank"] + 1)
    everyone = frame.groupby("item_id")["gain"].sum()
    before = decode(read.value(store, KEYS.catalogue(1)))
    order = sorted(before, key=lambda post: (-round(everyone.get(post, 0.0), 9), before.index(post)))
    assert decode(read.value(store, KEYS.catalogue(number))) == order
    assert decode(read.fields(store, KEYS.popular(number))[start]) == order[: manifest.depth]
    assert manifest.segments == own.segments == ("0", "1")
    for name in manifest.segments:
        users = [user for user, at in zip(of.user_ids.tolist(), of.segment_of, strict=True) if at == name]
        gain = frame[frame["user_id"].isin(users)].groupby("item_id")["gain"].sum()
        top = sorted(gain.index, key=lambda post: (-round(gain[post], 9), before.index(post)))
        assert decode(read.fields(store, KEYS.segment(number, name))[start]) == top[: manifest.depth]
    assert read_own(store, number, 3)[b"segment"] == read_own(store, 1, 3)[b"segment"]
    assert read.fields(store, KEYS.posts(number)) == read.fields(store, KEYS.posts(1))


def test_items_bring_texts_and_posts_that_nobody_knew(
    store: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "items.csv").write_text('itemId;title;genre\n7;"A; b";x\n8;;\n9;C;y\n')
    (tmp_path / "recs.jsonl").write_text(
        '{"user_id": 1, "item_id": 9, "rank": 1}\n{"user_id": 1, "item_id": 7, "rank": 2}\n'
    )

    found = publish_lists(str(tmp_path / "recs.jsonl"), items=tmp_path / "items.csv", settings=settings)

    posts = read.fields(store, KEYS.posts(sealed(found).generation))
    assert {int(post): json.loads(text) for post, text in posts.items()} == {
        7: {"id": 7, "text": "A; b", "topic": "x"},
        8: {"id": 8, "text": "", "topic": ""},
        9: {"id": 9, "text": "C", "topic": "y"},
    }
    assert found.known_by == "items"
    assert decode(read.value(store, KEYS.catalogue(1))) == [9, 7, 8]
    assert read.fields(store, KEYS.facets(1)) == {b"topic=x": b"7", b"topic=y": b"9"}


def test_items_bring_windows_and_what_is_current_keeps_its_own(
    store: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    of, at_s = content(), int(AS_OF.timestamp())
    sides = {0: (None, at_s + 60), 1: (AS_OF_S, None), 2: (None, AS_OF_S + 1)}
    windows = Windows.of_sides([sides.get(row, (None, None)) for row in range(len(of.post_ids))])
    of = replace(of, windows=windows)
    publish(generations(store), of, blocks(of), config(tmp_path / "generations"))
    held = of.post_ids[:3].tolist()
    frame = pd.DataFrame({"user_id": [1] * 4, "item_id": [*held[::-1], 70_001], "rank": range(1, 5)})
    items = pd.DataFrame(
        {
            "item_id": [70_001, 70_002, 70_003, 70_004],
            "valid_from": [AS_OF.isoformat(), None, "soon", None],
            "valid_to": ["2026-01-06", "2026-01-05T12:00:00Z", None, None],
        }
    )

    some = settings.replace(max_absent_user_share=1.0)
    found = publish_lists(frame, items=items, settings=some, as_of=AS_OF)

    manifest = sealed(found)
    told = read.fields(store, KEYS.windows(manifest.generation))
    assert {int(post): decode_window(text) for post, text in told.items()} == {
        held[0]: (None, at_s + 60),
        held[1]: (AS_OF_S, None),
        70_001: (at_s, int(datetime(2026, 1, 6, tzinfo=UTC).timestamp())),
    }
    assert needs_of(manifest) == ("holds_seen", "windows")
    assert found.items_left_out == {"unreadable_time": 1}
    there = [held[1], held[0], 70_001, 70_004]
    assert decode(read.value(store, KEYS.catalogue(manifest.generation))) == there
    assert sorted(map(int, read.fields(store, KEYS.posts(manifest.generation)))) == sorted(there)


def test_a_list_holds_until_its_users_next_one_begins(store: redis.Redis, settings: Settings) -> None:
    at = ["2026-01-05T06:00:00Z", "2026-01-05T12:00:00Z", "2026-01-05T15:00:00Z"]
    frame = pd.DataFrame(
        {
            "user_id": [1, 1, 1, 2],
            "item_id": [10, 11, 12, 10],
            "rank": [1, 1, 2, 1],
            "valid_from": [at[0], at[2], at[2], at[1]],
        }
    )

    loose = settings.replace(max_short_share=1.0)
    manifest = sealed(publish_lists(frame, settings=loose, as_of=AS_OF))

    assert manifest.horizon.starts == tuple(
        int(datetime(2026, 1, 5, h, tzinfo=UTC).timestamp()) for h in (6, 9, 12, 15)
    )
    rows = {user: list(read_own(store, 1, user).items()) for user in (1, 2)}
    assert [text for _, text in sorted(rows[1])] == [b"10", b"10", b"10", b"11 12"]
    assert [text for _, text in sorted(rows[2])] == [b"", b"", b"10", b"10"]


def test_lists_answer_exactly_as_long_as_they_are_valid_and_nearest_after(
    store: redis.Redis, valkey_url: str, settings: Settings
) -> None:
    frame = pd.DataFrame({"user_id": [1], "item_id": [10], "rank": [1]})
    begin = int(AS_OF.timestamp())

    publish_lists(frame, settings=settings, as_of=AS_OF, valid_for_s=1000)

    with TestClient(create_app(ApiSettings(redis_url=valkey_url))) as client:
        for at_s, label in (
            (begin - 1, "leaky"),
            (begin, "exact"),
            (begin + 999, "exact"),
            (begin + 1000, "nearest"),
        ):
            query: dict[str, str | int] = {"id": 1, "time": moment(at_s).isoformat(), "limit": 1}
            reply = client.get(PATH, params=query)
            assert (reply.headers["x-almanac-time"], reply.headers["x-almanac-rung"]) == (label, "own")


def mess(frame: pd.DataFrame, share: float = 0.2) -> pd.Index:
    """Return every fifth row."""
    return frame.index[:: round(1 / share)]


def _set(name: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype({name: object})
        changed.loc[mess(frame), name] = value
        return changed

    return change


def _arrays(frame: pd.DataFrame) -> pd.DataFrame:
    wide = frame.groupby("user_id").agg(ids=("item_id", list), scores=("score", list)).reset_index()
    for row in mess(wide):
        wide.at[row, "scores"] = wide.at[row, "scores"][:-1]
    return wide


BAD: Mapping[Fault, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "missing_user": _set("user_id", None),
    "missing_item": _set("item_id", None),
    "unreadable_id": _set("item_id", "no number"),
    "missing_score": _set("score", float("nan")),
    "bad_time": lambda frame: _set("valid_from", "soon")(frame.assign(valid_from="2026-01-05")),
    "ragged_list": _arrays,
    "unknown_item": _set("item_id", 77_777),
    "duplicate": lambda frame: pd.concat([frame, frame.assign(rank=frame["rank"] + 4)]),
    "broken_ranks": lambda frame: frame.assign(rank=frame["rank"] - 1),
    "short_list": lambda frame: frame.drop(frame.index[(frame["rank"] > 1) & (frame["user_id"] > 5)]),
    "absent_user": lambda frame: frame[frame["user_id"] > 9],
}


@pytest.mark.parametrize("fault", [*BAD, "unreadable_row"])
def test_a_file_with_too_many_faults_is_refused_whole_in_a_sentence(
    fault: Fault,
    store: redis.Redis,
    own: Manifest,
    settings: Settings,
    valkey_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = BAD.get(fault, lambda same: same)(lists_of(own))
    path, limit = tmp_path / "recs.jsonl", f"ALMANAC_{SETTING.get(fault, 'max_rejected_share').upper()}"
    frame.to_json(path, orient="records", lines=True)
    if fault == "unreadable_row":
        path.write_text(
            "\n".join(line if k % 5 else "{" for k, line in enumerate(path.read_text().splitlines()))
        )
    before = everything(store)
    monkeypatch.setenv("ALMANAC_REDIS_URL", valkey_url)

    assert run_command(["publish", str(path), "--json"]) == 3
    assert run_command(["publish", str(path), "--dry-run", "--json"]) == 3

    said = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"event"' not in line]
    refused, dry = said
    assert refused == {"error": dry["refused"], "exit_code": 3}
    assert f"or raise {limit}" in refused["error"]
    assert "such as" in refused["error"]
    assert fault in [line["fault"] for line in dry["faults"] if line["share"] > line["limit"]]
    assert everything(store) == before

    monkeypatch.setenv(limit, "1")
    if fault not in ("duplicate", "unreadable_row"):  # lists of which nothing else is wrong then
        monkeypatch.setenv("ALMANAC_MAX_SHORT_SHARE", "1")
        monkeypatch.setenv("ALMANAC_MAX_REJECTED_SHARE", "1")
        monkeypatch.setenv("ALMANAC_MAX_ABSENT_USER_SHARE", "1")
        assert run_command(["publish", str(path), "--json"]) == 0


def test_faults_within_their_limits_are_left_out_and_counted(
    store: redis.Redis, own: Manifest, settings: Settings
) -> None:
    frame = lists_of(own)
    more = pd.DataFrame(
        {"user_id": [1, 1], "item_id": [wanted(frame)[1][0], 77_777], "score": 0.0, "rank": [5, 6]}
    )

    found = publish_lists(pd.concat([frame, more]), settings=settings)

    faults = {line.fault: (line.n, line.example) for line in found.faults}
    first = wanted(frame)[1][0]
    assert faults == {
        "duplicate": (1, f"item {first} of user 1"),
        "unknown_item": (1, "item 77777 of user 1"),
    }
    assert in_store(store, sealed(found), 1) == wanted(frame)[1]


def test_what_a_killed_process_was_sorting_is_removed_a_day_later(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    old, young = tmp_path / "lists-old", tmp_path / "lists-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "rows").touch()
    os.utime(old, (0, 0))

    publish_lists(lists_of(own), settings=settings)

    assert [path.name for path in tmp_path.glob("lists-*")] == ["lists-young"]


def test_what_is_exported_is_what_is_answered(
    store: redis.Redis, own: Manifest, settings: Settings, valkey_url: str
) -> None:
    publish_lists(lists_of(own), settings=settings)
    at_s, out = 2**31, settings.state_dir / "all.csv"

    export(settings, store, SILENT, at_s=at_s, limit=3, form="csv", out=out)

    sheet = pd.read_csv(out)
    with TestClient(create_app(ApiSettings(redis_url=valkey_url))) as client:
        for user, rows in sheet.groupby("user_id"):
            query: dict[str, str | int] = {"id": str(user), "limit": 3, "time": moment(at_s).isoformat()}
            answered = [post["id"] for post in client.get(PATH, params=query).json()]
            assert rows["post_id"].tolist() == answered
    assert sheet["user_id"].nunique() == 40


def test_a_dry_run_changes_nothing(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    before, files = everything(store), sorted(tmp_path.rglob("*"))

    found = publish_lists(lists_of(own), settings=settings, dry_run=True)

    assert (found.manifest, found.users, found.refused) == (None, 40, None)
    assert everything(store) == before
    assert sorted(tmp_path.rglob("*")) == files


def test_what_was_sealed_is_verified_compared_replayed_inspected_and_rolled_back(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    frame, rng = lists_of(own), np.random.default_rng(0)
    manifest = sealed(publish_lists(frame, settings=settings))
    number, at_s = manifest.generation, manifest.start_s + 5

    verdict = verify(generations(store), number, tmp_path / "generations", sample=5, rng=rng, progress=silent)
    assert verdict.ok
    assert "lists that somebody else made" in (verdict.unscored or "")
    change = diff(generations(store), 1, number, user_id=None, sample=40, rng=rng)
    assert (change.n_users, change.only_a, change.only_b) == (40, 0, 0)
    unseen = [post for post in wanted(frame)[3] if post not in seen_by(3)]
    looked: dict[str, Any] = inspect(store, settings, 3, at_s, 2)
    assert (looked["list"], looked["answer"]["post_ids"]) == (wanted(frame)[3], unseen[:2])
    replayed = open_replayer(Keys(), store, "default", tmp_path).replay(3, at_s, 2)
    assert (replayed.generation, list(replayed.post_ids)) == (number, unseen[:2])

    write_own(store, number, 3, manifest.start_s, [1, 2, 3])
    assert not verify(
        generations(store), number, tmp_path / "generations", sample=5, rng=rng, progress=silent
    ).ok
    rollback(generations(store), "default", at_s)
    assert generations(store).read_served("default")[0] == 1


def seen_by(user: int) -> set[int]:
    """Return the posts that one of our own users saw."""
    of = content()
    row = of.user_ids.tolist().index(user)
    return set(of.post_ids[of.views.of(row)].tolist())


def test_lists_write_nothing_to_seen_sets_and_the_next_run_of_ours_adds_to_them(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    seen = {key: store.dump(key) for key in store.scan_iter("*:seen:*")}
    assert seen

    publish_lists(lists_of(own), settings=settings)
    assert {key: store.dump(key) for key in store.scan_iter("*:seen:*")} == seen
    assert generations(store).newest_of_facts() == own
    for key in seen:  # what a run of ours finds again only if it takes them for held
        store.delete(key)
    publish_own(store, tmp_path)

    assert not list(store.scan_iter("*:seen:*"))
    publish_own(store, tmp_path, seed=1)
    assert list(store.scan_iter("*:seen:*"))


def test_a_refresh_does_not_go_on_from_lists_of_somebody_else(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    publish_lists(lists_of(own), settings=settings)

    with pytest.raises(
        FullRunNeeded, match="generation 2, which is served, is of lists that somebody else made"
    ):
        find_base(settings, generations(store), tmp_path / "generations")


@pytest.mark.usefixtures("own")
def test_ids_that_are_text_now_are_refused_unless_somebody_allows_it(
    store: redis.Redis, settings: Settings, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"user_id": ["ann"], "item_id": ["sku"], "rank": [1]})
    loose = settings.replace(max_absent_user_share=1.0)

    with pytest.raises(ListsRefused, match=r"allow text where ids are numbers with ALMANAC_IDS=text"):
        publish_lists(frame, settings=loose, items=pd.DataFrame({"item_id": ["1"]}))
    free = loose.replace(ids="text")
    found = publish_lists(frame, settings=free, items=pd.DataFrame({"item_id": ["sku"]}))

    assert (sealed(found).user_ids, sealed(found).post_ids) == ("text", "text")
    assert json.loads(read.fields(store, KEYS.posts(2)).popitem()[1])["id"] == "sku"


@pytest.mark.usefixtures("own")
def test_another_variant_may_have_ids_and_items_of_its_own(store: redis.Redis, settings: Settings) -> None:
    frame = pd.DataFrame({"user_id": ["ann", "1"], "item_id": ["sku 1", "sku 2"], "rank": [1, 1]})
    items = pa.table({"item_id": ["sku 1", "sku 2"], "title": ["One", "Two"]})

    manifest = sealed(publish_lists(frame, items=items, variant="shop", settings=settings))

    assert (manifest.user_ids, manifest.post_ids, needs_of(manifest)) == (
        "text",
        "text",
        ("ids", "holds_seen"),
    )
    assert read_own(store, manifest.generation, "1").get(b"segment") == read_own(store, 1, 1).get(b"segment")
    with pytest.raises(ListsRefused, match=r"an item that is not known.*--items"):
        publish_lists(frame.assign(item_id=[77_777, 88_888]), variant="mine", settings=settings)


def test_a_query_is_read_from_the_database(
    store: redis.Redis, own: Manifest, settings: Settings, postgres_url: str, tmp_path: Path
) -> None:
    frame = lists_of(own)
    for url in (postgres_url, f"sqlite:///{tmp_path}/recs.db"):
        engine = sqlalchemy.create_engine(url)
        frame.to_sql("recs", engine)
        engine.dispose()

        found = publish_lists(
            url, query="SELECT user_id AS user, item_id, rank FROM recs WHERE '%' = '%'", settings=settings
        )

        assert in_store(store, sealed(found), 5) == wanted(frame)[5]
        with pytest.raises(SourceError, match="cannot read the query"):
            publish_lists(url, query="SELECT nothing FROM nowhere", settings=settings)
        with pytest.raises(SourceError, match=r"returns no rows|syntax error|readonly"):
            publish_lists(url, query="DELETE FROM recs", settings=settings)


class Streamed:
    """A frame that is known by nothing but Arrow's protocol, as polars' are."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the rows."""
        return pa.Table.from_pandas(self._frame).__arrow_c_stream__(requested_schema)


def test_frames_of_pandas_arrow_and_arrays_and_folders_of_parts_are_read_alike(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    frame = lists_of(own)
    wide = frame.groupby("user_id").agg(ids=("item_id", list), scores=("score", list))
    folder = tmp_path / "recs.parquet"
    folder.mkdir()
    for k in range(3):
        pq.write_table(pa.Table.from_pandas(frame[frame.index % 3 == k]), folder / f"part-{k}.parquet")
    arrays = {
        "user_id": wide.index.to_numpy(),
        "ids": np.array(wide["ids"].tolist()),
        "scores": np.array(wide["scores"].tolist()),
    }
    (folder / "_SUCCESS").touch()
    spark, rows = tmp_path / "spark", pa.Table.from_pandas(wide.reset_index())
    recs = [
        [{"item_id": post, "rating": score} for post, score in zip(own_ids, own_scores, strict=True)]
        for own_ids, own_scores in zip(wide["ids"], wide["scores"], strict=True)
    ]
    spark.mkdir()
    pq.write_table(pa.table({"reader": wide.index, "recommendations": recs}), spark / "part-0.snappy.parquet")
    wide.reset_index().to_json(tmp_path / "wide.jsonl", orient="records", lines=True)
    roots = set()
    for one in (
        frame,
        rows,
        Streamed(frame),
        arrays,
        folder,
        str(folder / "part-*.parquet"),
        spark,
        tmp_path / "wide.jsonl",
    ):
        manifest = sealed(publish_lists(one, settings=settings, as_of=AS_OF))
        lists = {name: digest for name, digest in manifest.checksums.items() if name.startswith("lists-")}
        roots.add(tuple(lists.values()))
        assert {user: in_store(store, manifest, user) for user in wanted(frame)} == wanted(frame)
    assert len(roots) == 1


def test_what_implicit_recommends_is_published_as_it_comes(store: redis.Redis, settings: Settings) -> None:
    implicit = pytest.importorskip("implicit.als")
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(3)
    liked = sparse.csr_matrix((rng.random((12, 15)) < 0.3).astype(np.float32))
    with threadpool_limits(1, "blas"):
        model = implicit.AlternatingLeastSquares(factors=4, iterations=3, random_state=1, num_threads=1)
        model.fit(liked, show_progress=False)
        ids, scores = model.recommend(np.arange(12), liked, N=12, filter_already_liked_items=True)

    found = publish_lists(
        {"user_id": np.arange(12), "ids": ids, "scores": scores},
        settings=settings.replace(max_short_share=1.0),
    )

    for user in range(12):
        there = [int(post) for post, score in zip(ids[user], scores[user], strict=True) if score > -1e38]
        assert in_store(store, sealed(found), user) == there


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nowhere.csv", "no file nowhere.csv"),
        ("", "nothing to publish"),
        ("sqlite:///x.db", "a database needs a query"),
        (object(), "object is no table"),
        (pd.DataFrame({"user_id": [1], "item_id": [1]}), "neither a rank nor a score"),
        (pd.DataFrame({"user_id": [], "item_id": [], "rank": []}), "holds no list"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_no_table_of_lists_is_refused_in_a_sentence(
    what: object, says: str, settings: Settings
) -> None:
    with pytest.raises(SourceError, match=says):
        publish_lists(what, settings=settings)


@pytest.mark.usefixtures("store")
def test_lists_of_the_future_are_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="is later than now"):
        publish_lists("x.csv", settings=settings, as_of=datetime(2099, 1, 1, tzinfo=UTC))


def test_a_forgotten_user_is_left_out_and_can_be_forgotten_later(
    store: redis.Redis, own: Manifest, settings: Settings, tmp_path: Path
) -> None:
    frame = lists_of(own)
    forget(settings, store, "7", SILENT)

    found = publish_lists(frame, settings=settings)
    assert (found.users, found.users_forgotten) == (39, 1)
    assert not store.exists(KEYS.list(7, sealed(found).generation))
    forget(settings, store, "9", SILENT)

    assert not store.exists(KEYS.list(9, sealed(found).generation))
    number, rng = sealed(found).generation, np.random.default_rng(0)
    assert verify(generations(store), number, tmp_path / "generations", sample=5, rng=rng, progress=silent).ok
    with pytest.raises(ListsRefused, match="no list is left"):
        publish_lists(frame[frame["user_id"] == 7], settings=settings, variant="other")
