"""Reading facts from files and databases: the same facts wherever they lie, and every fault by its name."""

import gzip
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from batch.data.columns import LIKE, VIEW
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.tables import database
from batch.data.tables.database import Database
from batch.data.tables.location import SourceError
from batch.data.validation.rejects import REASONS, Limits, Rejects, TooManyRejected
from batch.data.write import write
from tests.data_rows import NOW_S, TEXT, assert_equal_facts, csv, feed, parquet, read_all, tables


def rejected(folder: Path) -> list[dict[str, Any]]:
    """Give the lines of the rejects file."""
    path = folder / "rejects.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_tables_become_facts(tmp_path: Path) -> None:
    facts = read_all(parquet(tmp_path / "in", tables()), tmp_path)

    assert facts.user_ids.tolist() == [3, 5, 7, 9]
    assert facts.users["age"].fillna(-1).tolist() == [17, 34, -1, 80]
    assert facts.users["city"].tolist() == [None, "Moscow", None, "Kyiv"]
    assert facts.post_ids.tolist() == [10, 20, 30, 40]
    assert facts.posts["text"].tolist() == [TEXT, "twenty", None, "forty"]
    np.testing.assert_array_equal(
        facts.embeddings, np.array([[0.5, 2], [np.nan, np.nan], [np.nan, np.nan], [-1.5, 3]], np.float32)
    )
    assert facts.user.tolist() == [0, 0, 1, 1, 2]
    assert facts.post.tolist() == [0, 2, 1, 1, 0]
    assert (facts.time - facts.time[0]).tolist() == [0, 0, 0, 2, 50_400]
    assert facts.action.tolist() == [VIEW, VIEW, VIEW, LIKE, VIEW]
    assert facts.target.tolist() == [0, 0, 1, 0, 0]
    report = facts.report
    assert report.read == {"post_text_df": 4, "user_data": 3, "post_embeddings": 3, "feed_data": 5}
    assert (report.users_with_profile, report.users_without_profile) == (3, 1)
    assert (report.posts_without_text, report.posts_without_embedding) == (1, 2)
    assert report.broken_embeddings == 1
    assert report.rejected == {}
    assert report.ignored == {}
    assert not (tmp_path / "rejects.jsonl").exists()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_csv_gives_the_facts_of_parquet(tmp_path: Path, suffix: str) -> None:
    expected = read_all(parquet(tmp_path / "parquet", tables()), tmp_path)

    facts = read_all(csv(tmp_path / "csv", tables(), suffix), tmp_path)

    assert_equal_facts(facts, expected)
    assert facts.report == expected.report


def test_sqlite_gives_the_facts_of_parquet_by_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_all(parquet(tmp_path / "parquet", tables()), tmp_path)
    url = f"sqlite:///{tmp_path}/facts.db"
    write(url, tables().items())

    by_adbc = read_all(url, tmp_path)
    monkeypatch.setattr(Database, "_adbc", lambda _self: None)
    by_sqlalchemy = read_all(url, tmp_path)

    assert_equal_facts(by_adbc, expected)
    assert_equal_facts(by_sqlalchemy, expected)


@pytest.mark.integration
def test_postgresql_gives_the_facts_of_parquet_by_either_way(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_all(parquet(tmp_path / "parquet", tables()), tmp_path)
    write(postgres_url, tables().items())

    by_adbc = read_all(postgres_url, tmp_path)
    monkeypatch.setattr(Database, "_adbc", lambda _self: None)
    by_sqlalchemy = read_all(postgres_url, tmp_path)

    assert_equal_facts(by_adbc, expected)
    assert_equal_facts(by_sqlalchemy, expected)


@pytest.mark.integration
def test_postgresql_types_that_arrow_has_not_are_read_alike_by_either_way(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = """
        CREATE TYPE what AS ENUM ('view', 'like');
        CREATE SCHEMA shop;
        CREATE TABLE shop.feed (timestamp timestamptz, user_id numeric, post_id varchar, action what,
            target boolean);
        INSERT INTO shop.feed VALUES ('2021-10-01 03:00:00+03', 7, '1', 'view', true),
            ('2021-10-01 00:00:02+00', 7.0, '1', 'like', NULL), ('infinity', 7, '1', 'view', false);
        CREATE TABLE user_data (user_id bigint, age numeric(5, 2), born date, code uuid, tags jsonb,
            "Odd name %" text, hobbies text[], sizes integer[]);
        INSERT INTO user_data
            VALUES (7, 34.50, '1990-01-02', '6ecd8c99-4036-403d-bf84-cf8400f67836', '[1]', 'x',
                '{Noir,"Sci-Fi, new",NULL}', '{4,5}');
        CREATE TABLE post_embeddings (post_id text, vector real[]);
        INSERT INTO post_embeddings VALUES ('1', '{0.5,-2}')
    """
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statements.replace("%", "%%"))
    engine.dispose()
    mapping = Mapping(tables={"feed_data": "shop.feed"})

    by_adbc = read_all(postgres_url, tmp_path, mapping=mapping)
    monkeypatch.setattr(Database, "_adbc", lambda _self: None)
    by_sqlalchemy = read_all(postgres_url, tmp_path, mapping=mapping)

    assert_equal_facts(by_adbc, by_sqlalchemy)
    assert by_adbc.users["age"].tolist() == [34.5]
    assert by_adbc.users["born"].tolist() == ["1990-01-02"]
    assert by_adbc.users["Odd name %"].tolist() == ["x"]
    assert by_adbc.users["hobbies"].tolist() == [("Noir", "Sci-Fi, new")]
    assert by_adbc.users["sizes"].tolist() == [("4", "5")]
    assert np.asarray(by_adbc.embeddings).tolist() == [[0.5, -2]]
    assert by_adbc.target.tolist() == [1, 0]
    assert (by_adbc.time - by_adbc.time[0]).tolist() == [0, 2]
    assert by_adbc.report.rejected == by_sqlalchemy.report.rejected == {"missing_time": 1}


def test_an_sqlite_column_whose_type_changes_late_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BATCH_ROWS", 4)
    with sqlite3.connect(tmp_path / "facts.db") as connection:
        connection.execute("CREATE TABLE feed_data (timestamp, user_id, post_id, action, target)")
        rows = [(f"2021-10-01 00:00:{n:02d}", n if n < 9 else f"{n}", 1, "view", 0) for n in range(20)]
        connection.executemany("INSERT INTO feed_data VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()

    facts = read_all(f"sqlite:///{tmp_path}/facts.db", tmp_path)

    assert facts.user_ids.tolist() == list(range(20))
    assert len(facts.time) == 20
    assert facts.report.read == {"feed_data": 20}


def test_a_read_only_sqlite_file_is_read_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    write(f"sqlite:///{path}", tables().items())
    path.chmod(0o444)
    before = path.read_bytes()

    read_all(f"sqlite:///{path}", tmp_path)

    assert path.read_bytes() == before
    for adbc in (True, False):
        source = Database(f"sqlite:///{path}", adbc=adbc)
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            source._connection.exec_driver_sql("CREATE TABLE t (a)")
        source.close()


def test_a_table_may_be_shards_or_a_folder(tmp_path: Path) -> None:
    whole = tables()
    expected = read_all(parquet(tmp_path / "whole", whole), tmp_path)
    parts = tmp_path / "parts"
    parquet(parts, {name: table for name, table in whole.items() if name not in ("feed_data", "user_data")})
    for number in range(5):
        pq.write_table(whole["feed_data"].slice(number, 1), parts / f"feed_data-{number:04d}.parquet")
    (parts / "user_data").mkdir()
    pq.write_table(whole["user_data"].slice(0, 2), parts / "user_data" / "part-0.parquet")
    pq.write_table(whole["user_data"].slice(2), parts / "user_data" / "part-1.parquet")
    (parts / "user_data" / "_SUCCESS").touch()
    (parts / "README.md").touch()

    facts = read_all(str(parts), tmp_path)

    assert_equal_facts(facts, expected)


def test_without_tables_of_users_and_posts_the_feed_names_them(tmp_path: Path) -> None:
    location = parquet(tmp_path / "in", {"feed_data": tables()["feed_data"]})

    facts = read_all(location, tmp_path)

    assert facts.user_ids.tolist() == [3, 5, 7]
    assert facts.post_ids.tolist() == [10, 20, 30]
    assert facts.posts["topic"].isna().all()
    assert facts.embeddings is None
    assert (facts.report.posts_without_text, facts.report.posts_without_embedding) == (3, 3)
    assert facts.report.users_without_profile == 3


def test_a_rejected_row_teaches_no_user_and_no_post(tmp_path: Path) -> None:
    rows = feed(["2021-10-01", 1, 2, "view", 0], ["2021-10-01", 8, 9, "share", 0])

    facts = read_all(parquet(tmp_path / "in", {"feed_data": rows}), tmp_path)

    assert facts.user_ids.tolist() == [1]
    assert facts.post_ids.tolist() == [2]


def test_an_empty_feed_is_read(tmp_path: Path) -> None:
    empty = tables() | {"feed_data": tables()["feed_data"].slice(0, 0)}
    for location in (parquet(tmp_path / "parquet", empty), csv(tmp_path / "csv", empty)):
        facts = read_all(location, tmp_path, share=0.0)

        assert len(facts.time) == 0
        assert facts.user_ids.tolist() == [3, 5, 9]


GOOD = ["2021-10-01 10:00:00", 5, 20, "view", 0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([None, 5, 20, "view", 0], "missing_time"),
        (["1969-12-31 23:59:59", 5, 20, "view", 0], "unreadable_time"),
        (["2099-01-01 00:00:00", 5, 20, "view", 0], "future_time"),
        (["2021-10-01 10:00:00", None, 20, "view", 0], "missing_user"),
        (["2021-10-01 10:00:00", 5, None, "view", 0], "missing_post"),
        (["2021-10-01 10:00:00", 5, 20, "share", 0], "unknown_action"),
        (["2021-10-01 10:00:00", 5, 20, None, 0], "unknown_action"),
        (["2021-10-01 10:00:01", 5, 20, "view", 2], "bad_target"),
        (["2021-10-01 10:00:01", 5, 20, "view", None], "bad_target"),
        (["2021-10-01 10:00:01", 5, 20, "like", 2], "bad_target"),
        (["2021-10-01 10:00:01", 5, 21, "view", 0], "unknown_post"),
        (["2021-10-01 10:00:00", 5, 20, "view", 0], "duplicate_event"),
    ],
)
def test_a_bad_event_is_rejected_by_its_reason(tmp_path: Path, row: list[Any], reason: str) -> None:
    location = parquet(tmp_path / "in", tables() | {"feed_data": feed(GOOD, row)})

    facts = read_all(location, tmp_path)

    assert len(facts.time) == 1
    assert facts.report.rejected == {reason: 1}
    (line,) = rejected(tmp_path)
    assert (line["table"], line["reason"]) == ("feed_data", reason)
    assert line["row"]["user_id"] == row[1]
    assert line["row"]["post_id"] == row[2]


def test_bad_values_as_text_are_rejected_by_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "user_data.csv").write_text("user_id\n1\n")
    (tmp_path / "post_text_df.csv").write_text("post_id\n2\n")
    (tmp_path / "feed_data.csv").write_text(
        "timestamp,user_id,post_id,action,target,part\n"
        "2021-10-01T10:00:00Z,1,2,view,0,a\n"
        "1633082401,1,2,like,,a\n"
        "01/10/2021,1,2,view,0,a\n"
        "2021-10-01,one,2,view,0,a\n"
        "2021-10-01,1,2.5,view,0,a\n"
        ",1,2,view,0,a\n"
        "2021-10-01,1,2,view,perhaps,a\n"
        "2021-10-01,1\n"
    )

    facts = read_all(str(tmp_path), tmp_path)

    assert facts.action.tolist() == [VIEW, LIKE]
    assert (facts.time[1] - facts.time[0]) == 1
    assert facts.report.rejected == {
        "unreadable_row": 1,
        "missing_time": 1,
        "unreadable_time": 1,
        "unreadable_id": 2,
        "bad_target": 1,
    }


def test_repeated_and_nameless_users_and_posts_are_rejected_and_the_first_kept(tmp_path: Path) -> None:
    rows = tables()
    rows["user_data"] = pa.table({"user_id": [5, 5, None], "age": [1, 2, 3]})
    rows["post_text_df"] = pa.table(
        {"post_id": ["10", "20", "x\ty", "20", "30", None], "topic": ["a", "b", "c", "d", "e", "f"]}
    )
    rows["post_embeddings"] = pa.table({"post_id": [20, 20, 99], "e0": [1.0, 2.0, 3.0]})

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.users.set_index("user_id")["age"][5] == 1
    assert facts.posts["topic"].tolist() == ["a", "b", "e"]
    assert facts.embeddings is not None
    assert facts.embeddings[1].tolist() == [1.0]
    assert facts.report.rejected == {
        "missing_user": 1,
        "missing_post": 1,
        "unreadable_id": 1,
        "unknown_post": 1,
        "duplicate_user": 1,
        "duplicate_post": 1,
        "duplicate_embedding": 1,
    }
    assert {"table": "post_text_df", "reason": "duplicate_post", "row": {"post_id": "20", "topic": "d"}} in (
        rejected(tmp_path)
    )


def test_posts_with_a_window_that_is_none_are_rejected_and_all_others_kept(tmp_path: Path) -> None:
    rows = tables()
    rows["post_text_df"] = pa.table(
        {
            "post_id": [10, 20, 30, 40],
            "valid_from": ["2021-10-01", "2021-10-02", "soon", None],
            "valid_to": ["2021-10-02", "2021-10-02", None, None],
        }
    )

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.post_ids.tolist() == [10, 40]
    counts = {reason: facts.report.rejected[reason] for reason in ("unreadable_time", "bad_window")}
    assert counts == {"unreadable_time": 1, "bad_window": 1}
    found = {line["reason"]: line["row"] for line in rejected(tmp_path) if line["table"] == "post_text_df"}
    assert found["bad_window"] == {"post_id": 20, "valid_from": "2021-10-02", "valid_to": "2021-10-02"}
    assert found["unreadable_time"]["valid_from"] == "soon"


def test_every_reason_is_tested_above() -> None:
    text = Path(__file__).read_text()

    assert [reason for reason in REASONS if text.count(f'"{reason}"') == 0] == []


def test_too_many_rejected_rows_stop_the_run_with_one_sentence(tmp_path: Path) -> None:
    rows = feed(GOOD, ["2021-10-01 10:00:01", 5, 20, "look", 0], [None, 5, 21, "view", 0], GOOD)
    location = parquet(tmp_path / "in", tables() | {"feed_data": rows})

    with pytest.raises(TooManyRejected) as refused:
        read_all(location, tmp_path, share=0.25)

    assert str(refused.value) == (
        "50.00% of 4 event rows were rejected, more than the 25.00% allowed: 1 missing_time, "
        f"1 unknown_action; see {tmp_path}/rejects.jsonl, then mend the source or raise "
        "ALMANAC_MAX_REJECTED_SHARE"
    )
    assert len(rejected(tmp_path)) == 3
    assert len(read_all(location, tmp_path, share=0.5).time) == 1


def test_bad_users_do_not_count_towards_the_share_of_events(tmp_path: Path) -> None:
    rows = tables() | {"user_data": pa.table({"user_id": pa.array([None] * 9, pa.int64())})}

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path, share=0.0)

    assert facts.report.rejected == {"missing_user": 9}


def test_the_rejects_file_is_bounded_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("of an earlier run")
    batch = pa.record_batch({"user_id": [1, 2, 3]})
    codes = np.full(3, REASONS.index("missing_time"), np.int8)

    with Rejects(path, most_rows=4) as rejects:
        rejects.add("feed_data", batch, codes)
        rejects.add("feed_data", batch, codes)

    lines = rejected(tmp_path)
    assert [line["row"]["user_id"] for line in lines[:-1]] == [1, 2, 3, 1]
    assert lines[-1] == {"more": 2}
    assert rejects.by_reason() == {"missing_time": 6}


def test_a_clean_source_leaves_no_rejects_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "rejects.jsonl").write_text("of an earlier run")

    read_all(parquet(tmp_path / "in", tables()), tmp_path)

    assert rejected(tmp_path) == []


def test_progress_adds_up_to_the_rows_read(tmp_path: Path) -> None:
    told: list[int] = []

    facts = read(
        parquet(tmp_path / "in", tables()),
        mapping=Mapping(),
        rejects=tmp_path / "rejects.jsonl",
        limits=Limits(0, 0, 0, 0),
        now_s=NOW_S,
        advance=told.append,
    )

    assert sum(told) == sum(facts.report.read.values())


def test_a_foreign_schema_is_read_by_its_mapping(tmp_path: Path) -> None:
    rows = {
        "people": pa.table({"id": [1], "land": ["NL"], "shoe": [43]}),
        "events": pa.table(
            {
                "at": [1_633_082_400_000, 1_633_082_410_000, 1_633_082_420_000, 1_633_082_420_000],
                "who": [1, 1, 1, 1],
                "what": [8, 8, 8, 8],
                "kind": ["open", "share", "heart", None],
            }
        ),
    }
    mapping = Mapping.from_toml(
        {
            "tables": {"user_data": "people", "feed_data": "events"},
            "columns": {
                "user_data": {"user_id": "id", "country": "land"},
                "feed_data": {"timestamp": "at", "user_id": "who", "post_id": "what", "action": "kind"},
            },
            "events": {"view": ["open"], "like": ["heart"]},
            "profile": {"columns": ["country"]},
            "time": {"unit": "ms"},
        }
    )
    expected = read_all(parquet(tmp_path / "parquet", rows), tmp_path, mapping=mapping)
    url = f"sqlite:///{tmp_path}/facts.db"
    write(url, rows.items())

    assert list(expected.users.columns) == ["user_id", "country"]
    assert expected.action.tolist() == [VIEW, LIKE]
    assert expected.target.tolist() == [1, 0]
    assert expected.report.ignored == {"share": 1}
    assert expected.report.rejected == {"unknown_action": 1}
    for location in (csv(tmp_path / "csv", rows), url):
        assert_equal_facts(read_all(location, tmp_path, mapping=mapping), expected)


def test_a_shop_is_read_by_the_shipped_mapping(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "events.csv.gz", "wt") as out:
        out.write(
            "timestamp,visitorid,event,itemid,transactionid\n"
            "1433221332117,257597,view,355908,\n"
            "1433221392117,257597,addtocart,355908,\n"
            "1433221999827,257597,transaction,355908,4000\n"
            "1433224214164,992329,view,248676,\n"
        )

    facts = read_all(str(tmp_path), tmp_path, mapping=Mapping.load("retailrocket"), share=0.0)

    assert facts.user_ids.tolist() == [257597, 992329]
    assert facts.action.tolist() == [VIEW, LIKE, VIEW]
    assert facts.target.tolist() == [1, 0, 0]
    assert facts.report.ignored == {"transaction": 1}


def test_the_real_rows_are_read_without_a_rejected_one(tmp_path: Path, real_rows: Path) -> None:
    facts = read_all(str(real_rows), tmp_path, share=0.0)

    assert facts.report.read == {
        "post_text_df": 7_023,
        "user_data": 1_015,
        "post_embeddings": 7_023,
        "feed_data": 91_746,
    }
    assert facts.report.rejected == {}
    assert (int(facts.views.sum()), int(facts.likes.sum())) == (86_696, 5_050)
    assert int(facts.target.sum()) == 12_213
    assert facts.report.users_with_profile == 1_015
    assert facts.report.posts_without_text == 6_012
    assert facts.embeddings is not None
    assert facts.embeddings.shape == (7_023, 40)
    assert np.all(np.diff(facts.time) >= 0)
    assert facts.as_of_s <= 1_640_908_800


def test_real_reactions_to_articles_are_read_by_the_shipped_mapping(tmp_path: Path, real_rows: Path) -> None:
    folder = real_rows.parent / "deskdrop"
    if not folder.is_dir():
        pytest.skip("no rows of Deskdrop beside those of StartML")

    facts = read_all(str(folder), tmp_path, mapping=Mapping.load("deskdrop"), share=0.05)

    assert facts.report.ignored == {"FOLLOW": 1_131, "COMMENT CREATED": 1_377}
    assert facts.report.rejected == {"duplicate_event": 2_345}
    n_views_of_likes = 705  # of likes that belong to no view
    assert len(facts.time) == 61_465 - 1_131 - 1_377 - 2_345 + n_views_of_likes
    assert 0.1 < facts.target[facts.views].mean() < 0.2


def test_a_missing_place_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no folder .*/nowhere: give a folder of Parquet or CSV files, or a"
    ):
        read_all(str(tmp_path / "nowhere"), tmp_path)
    (tmp_path / "file.parquet").touch()
    with pytest.raises(SourceError, match=r"file\.parquet is a file: give the folder that holds it"):
        read_all(str(tmp_path / "file.parquet"), tmp_path)
    with pytest.raises(SourceError, match=r"no SQLite file .*none\.db: make one with `almanac simulate`"):
        read_all(f"sqlite:///{tmp_path}/none.db", tmp_path)
    (tmp_path / "text.db").write_text("This is no database, although it is long enough to be taken for one.")
    with pytest.raises(SourceError, match=r"cannot reach sqlite:///.*text\.db: .*; is it an SQLite file"):
        read_all(f"sqlite:///{tmp_path}/text.db", tmp_path)
    with pytest.raises(SourceError, match="no driver for nodb://host/x: install one that SQLAlchemy knows"):
        read_all("nodb://host/x", tmp_path)


def test_a_missing_table_or_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    rows = tables()
    location = parquet(tmp_path / "in", {"events": rows["feed_data"]})
    with pytest.raises(
        SourceError, match=r"has no table 'feed_data' \(it has events\): name it under \[tables"
    ):
        read_all(location, tmp_path)
    mapping = Mapping(tables={"feed_data": "events", "user_data": "profiles"})
    with pytest.raises(SourceError, match="has no table 'profiles'"):
        read_all(location, tmp_path, mapping=mapping)
    location = parquet(tmp_path / "in", {"feed_data": rows["feed_data"].drop_columns("user_id")})
    with pytest.raises(
        SourceError, match=r"no column 'user_id' \(it has timestamp, post_id, action, target\)"
    ):
        read_all(location, tmp_path)
    mapping = Mapping(columns={"feed_data": {"target": "liked", "action": "target"}})
    location = parquet(tmp_path / "in", {"feed_data": rows["feed_data"]})
    with pytest.raises(SourceError, match=r"feed_data in .* has no column 'liked'"):
        read_all(location, tmp_path, mapping=mapping)


def test_a_table_in_two_formats_is_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "in", tables())
    location = csv(tmp_path / "in", {"feed_data": tables()["feed_data"]})

    with pytest.raises(SourceError, match=r"in two formats: keep one of feed_data\.csv, feed_data\.parquet"):
        read_all(location, tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "feed_data.parquet").write_bytes(b"PAR1 and then nothing of the kind")

    with pytest.raises(SourceError, match=r"cannot read .*feed_data\.parquet: "):
        read_all(str(tmp_path), tmp_path)


def test_a_refused_connection_names_the_server_but_not_the_password(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        read_all("postgresql://ann:s3cret@127.0.0.1:1/facts", tmp_path)

    message = str(refused.value)
    assert message.startswith("cannot reach postgresql+psycopg://ann:***@127.0.0.1:1/facts: ")
    assert message.endswith("; is it running, and are host, port, user, password and database right?")
    cause: BaseException | None = refused.value
    while cause is not None:
        assert "s3cret" not in str(cause)
        cause = cause.__cause__ or cause.__context__
