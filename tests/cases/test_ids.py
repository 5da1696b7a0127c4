"""Ids as people's tables have them: compared in one form, given back as they are spelled, never confused."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
import pytest
import sqlalchemy as sa

from batch.data.facts import Facts
from batch.data.ids import encode_ids
from batch.data.rows import find_rows
from batch.data.tables.database import Database
from batch.data.validation.rejects import TooManyRejected
from batch.data.write import tables_of, write
from batch.features.text import Texts, describe
from tests.data_rows import csv, parquet, read_all

USERS, POSTS = [3, 5, 9, 12], [20, 31, 47, 58, 66]
EVENTS = [(k, USERS[(k + k // 4) % 4], POSTS[k * 3 % 5], ("view", "like")[k % 7 == 6]) for k in range(40)]
Spell = Callable[[int], Any]


def rows_of(spell: Spell, feed: Spell | None = None) -> dict[str, pa.Table]:
    """Give one world, its users and posts called this way, or another in the feed.

    The last user has no profile, the first post no vector.
    """
    other = feed or spell
    ages, texts = [30.5, 40.5, 50.5], [f"post {n}" for n in POSTS]
    return {
        "user_data": pa.table({"user_id": [spell(n) for n in USERS[:3]], "age": ages}),
        "post_text_df": pa.table({"post_id": [spell(n) for n in POSTS], "text": texts}),
        "post_embeddings": pa.table(
            {"post_id": [other(n) for n in POSTS[1:]], "e0": [n / 2 for n in POSTS[1:]]}
        ),
        "feed_data": pa.table(
            {
                "timestamp": [f"2021-10-01 10:00:{k:02d}" for k, *_ in EVENTS],
                "user_id": [other(user) for _, user, _, _ in EVENTS],
                "post_id": [other(post) for _, _, post, _ in EVENTS],
                "action": [action for *_, action in EVENTS],
            }
        ),
    }


def named(facts: Facts, answer: Any = None) -> dict[str, Any]:
    """Give what facts say under their ids, which `answer` makes of the ids of the plain world."""
    users, posts = facts.user_names.as_json(facts.user_ids), facts.post_names.as_json(facts.post_ids)
    columns = (facts.time, facts.user, facts.post, facts.action, facts.target)
    events = zip(*(column.tolist() for column in columns), strict=True)
    vectors = facts.embeddings[:, 0].tolist() if facts.embeddings is not None else []
    call: dict[Any, Any] = {name: answer(name) if answer else name for name in [*users, *posts]}
    return {
        "events": [(time, call[users[user]], call[posts[post]], *rest) for time, user, post, *rest in events],
        "ages": {call[user]: age for user, age in zip(users, facts.users["age"].fillna(0), strict=True)},
        "texts": {call[post]: text for post, text in zip(posts, facts.posts["text"], strict=True)},
        "vectors": {call[post]: str(vector) for post, vector in zip(posts, vectors, strict=True)},
    }


@pytest.fixture
def plain(tmp_path: Path) -> Facts:
    """Give the world whose ids are numbers."""
    return read_all(parquet(tmp_path / "plain", rows_of(int)), tmp_path, share=0)


@pytest.mark.parametrize(
    ("spell", "answer"),
    [
        (float, int),
        (lambda n: f"+{n}", int),
        (lambda n: f" {n}", int),
        (lambda n: -n, lambda n: -n),
        (lambda n: f"0{n}", lambda n: f"0{n}"),
        (lambda n: f"B0{n:X} - Ж {{%}}", lambda n: f"B0{n:X} - Ж {{%}}"),
        (lambda n: f"0x{n:x}", lambda n: f"0x{n:x}"),
        (lambda n: np.uint64(2**64 - n), lambda n: str(2**64 - n)),
        (lambda n: 2**53 + n, lambda n: str(2**53 + n)),
        (lambda n: f"a{n}" if n % 3 else str(n), lambda n: f"a{n}" if n % 3 else str(n)),
        (lambda n: str(UUID(int=n**9)).upper(), lambda n: str(UUID(int=n**9)).upper()),
    ],
    ids=[
        "floats",
        "signs",
        "blanks",
        "negative",
        "zeros",
        "words",
        "hex",
        "unsigned",
        "large",
        "mixed",
        "uuids",
    ],
)
def test_whatever_ids_are_called_the_facts_are_those_of_numbers(
    tmp_path: Path, plain: Facts, spell: Spell, answer: Spell
) -> None:
    rows = rows_of(spell)
    places = [put(tmp_path / put.__name__, rows) for put in (parquet, csv)]
    alone = csv(tmp_path / "alone", {"feed_data": rows["feed_data"]})

    for facts in (read_all(place, tmp_path, share=0) for place in places):
        assert named(facts) == named(plain, answer)
        assert facts.report.rejected == {}
    of_feed = read_all(alone, tmp_path, share=0)
    assert of_feed.report.rejected == {}
    assert set(of_feed.post_names.as_json(of_feed.post_ids)) == {answer(n) for n in POSTS}


def test_zeros_before_a_number_make_another_article(tmp_path: Path) -> None:
    rows = rows_of(str) | {"post_text_df": pa.table({"post_id": ["20", "020", "31", "47", "58", "66"]})}

    facts = read_all(csv(tmp_path / "in", rows), tmp_path, share=0)

    assert sorted(facts.post_names.spelled(facts.post_ids)) == ["020", "20", "31", "47", "58", "66"]
    assert (facts.user_names.kind, facts.post_names.kind) == ("numbers", "text")


def test_a_uuid_is_one_user_whatever_its_case_and_form(tmp_path: Path, plain: Facts) -> None:
    def spell(n: int) -> str:
        return str(UUID(int=n**9 << 64 | 0xABCDEF)).upper()

    for put in (parquet, csv):
        rows = rows_of(spell, lambda n: spell(n).lower())
        facts = read_all(put(tmp_path / put.__name__, rows), tmp_path, share=0)

        assert named(facts)["texts"] == named(plain, spell)["texts"]
        assert named(facts)["vectors"] == named(plain, spell)["vectors"]
        assert facts.user_names.canonical(facts.user_ids) == [
            text.lower() for text in facts.user_names.spelled(facts.user_ids)
        ]


def test_a_bad_id_of_another_table_is_a_reject_and_flips_nothing(tmp_path: Path, plain: Facts) -> None:
    rows = rows_of(str)
    rows["feed_data"] = pa.concat_tables(
        [
            rows["feed_data"],
            pa.table([["2021-10-02"], ["who?"], ["31"], ["view"]], rows["feed_data"].schema.names),
            pa.table([["2021-10-02"], ["9"], [str(2**53)], ["view"]], rows["feed_data"].schema.names),
        ]
    )
    rows["post_embeddings"] = pa.table({"post_id": ["31", "x1"], "e0": [1.0, 2.0]})

    facts = read_all(csv(tmp_path / "in", rows), tmp_path)

    assert named(facts)["events"] == named(plain)["events"]
    assert facts.report.rejected == {"unreadable_id": 3}
    lines = [orjson.loads(line) for line in (tmp_path / "rejects.jsonl").read_bytes().splitlines()]
    assert [(line["table"], line["row"]["post_id"]) for line in lines] == [
        ("post_embeddings", "x1"),
        ("feed_data", "31"),
        ("feed_data", str(2**53)),
    ]
    with pytest.raises(
        TooManyRejected, match=r"\(ids of user_data are numbers, 'who\?' is none: set user_id under "
    ):
        read_all(csv(tmp_path / "in", rows), tmp_path, share=0)


def test_a_header_that_comes_again_is_no_user(tmp_path: Path, plain: Facts) -> None:
    folder = Path(csv(tmp_path / "in", rows_of(int)))
    for name in ("user_data", "feed_data"):
        text = (folder / f"{name}.csv").read_text()
        (folder / f"{name}.csv").write_text(text + text.partition("\n")[0] + "\n")

    facts = read_all(str(folder), tmp_path)

    assert named(facts) == named(plain)
    assert facts.report.rejected == {"unreadable_id": 1, "unreadable_time": 1}


def test_an_empty_table_of_users_leaves_the_kind_to_the_feed(tmp_path: Path) -> None:
    rows = rows_of(lambda n: f"u{n}") | {"user_data": pa.table({"user_id": pa.array([], pa.string())})}

    facts = read_all(csv(tmp_path / "in", rows), tmp_path, share=0)

    assert sorted(facts.user_names.as_json(facts.user_ids)) == sorted(f"u{n}" for n in USERS)


def test_an_id_that_cannot_be_one_is_a_reject_of_any_table(tmp_path: Path) -> None:
    rows = rows_of(str)
    rows["user_data"] = pa.table({"user_id": ["3", "x" * 257, "a\tb", " ", "6"], "age": [1.5] * 5})
    rows["feed_data"] = pa.table(
        {
            "timestamp": ["2021-10-01"] * 4,
            "user_id": ["3", "ж" * 129, "a\x7f", ""],
            "post_id": ["20"] * 4,
            "action": ["view"] * 4,
        }
    )

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)

    assert facts.user_names.as_json(facts.user_ids) == [3, 6]
    assert facts.report.rejected == {"missing_user": 2, "unreadable_id": 4}


def test_events_that_come_twice_are_rejected_under_their_ids(tmp_path: Path) -> None:
    rows = rows_of(lambda n: f"0{n}")
    rows["feed_data"] = pa.concat_tables([rows["feed_data"], rows["feed_data"].slice(1, 1)])

    read_all(parquet(tmp_path / "in", rows), tmp_path)

    line = orjson.loads((tmp_path / "rejects.jsonl").read_bytes())
    assert (line["reason"], line["row"]["user_id"], line["row"]["post_id"]) == (
        "duplicate_event",
        "05",
        "058",
    )


@pytest.mark.parametrize("embedded", [True, False])
def test_what_posts_are_called_changes_nothing_that_is_learnt_of_them(tmp_path: Path, embedded: bool) -> None:
    draw, n = np.random.default_rng(3), 60
    words = np.array([f"word{k}" for k in range(40)])
    posts = {
        "text": [" ".join(draw.choice(words[20 * (k % 2) :][:20], 9)) for k in range(n)],
        "topic": [("sport", "food", "tech")[k % 3] for k in range(n)],
    }
    vectors = {f"e{k}": draw.normal(size=n) for k in range(4)}

    def learn(name: str, spell: Spell) -> Texts:
        ids = [spell(k) for k in range(100, 100 + n)]
        rows = rows_of(lambda _: ids[0]) | {"post_text_df": pa.table({"post_id": ids, **posts})}
        rows["post_embeddings"] = pa.table({"post_id": ids, **vectors})
        if not embedded:
            del rows["post_embeddings"]
        facts = read_all(parquet(tmp_path / name, rows), tmp_path)
        write(str(tmp_path / f"{name} copied"), tables_of(facts))
        copied = read_all(str(tmp_path / f"{name} copied"), tmp_path)
        assert copied.posts["text"].tolist() == facts.posts["text"].tolist()
        row = find_rows(copied.post_ids, encode_ids(list(map(str, ids))))
        texts = describe(copied.posts, copied.embeddings, 0, copied.post_came)
        return replace(texts, **{column: getattr(texts, column)[row] for column in ("cluster", "space")})

    numbers, articles = learn("numbers", int), learn("articles", lambda k: f"0{k}")

    assert len(set(numbers.cluster.tolist())) > 3
    np.testing.assert_array_equal(numbers.cluster, articles.cluster)
    np.testing.assert_array_equal(numbers.space, articles.space)


@pytest.mark.integration
@pytest.mark.parametrize("adbc", [True, False])
@pytest.mark.parametrize(
    ("kind", "spell", "answer"),
    [
        ("uuid", lambda n: str(UUID(int=n**9)).upper(), lambda n: str(UUID(int=n**9))),
        ("text", lambda n: f"0{n}", lambda n: f"0{n}"),
        ("char(9)", lambda n: f"0{n}", lambda n: f"0{n}"),
        ("bigint", int, int),
        ("numeric", lambda n: f"{n}.0", int),
        ("numeric(30, 0)", lambda n: f"{10**20 + n}", lambda n: f"{10**20 + n}"),
        ("double precision", int, int),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_postgresql_s_types_of_ids_are_read_alike_by_either_way(
    tmp_path: Path,
    plain: Facts,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    spell: Spell,
    answer: Spell,
    adbc: bool,
) -> None:
    rows = rows_of(lambda n: str(spell(n)))
    write(postgres_url, rows.items())
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        for table, names in {name: table.schema.names for name, table in rows.items()}.items():
            for column in {"user_id", "post_id"} & set(names):
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} ALTER {column} TYPE {kind} USING {column}::{kind}"
                )
    engine.dispose()
    if not adbc:
        monkeypatch.setattr(Database, "_adbc", lambda _self: None)

    facts = read_all(postgres_url, tmp_path, share=0)

    assert named(facts) == named(plain, answer)


def test_sqlite_s_mixture_of_types_is_read(tmp_path: Path, plain: Facts) -> None:
    path = tmp_path / "facts.db"
    with sqlite3.connect(path) as connection:
        for name, table in rows_of(int).items():
            names = table.schema.names
            connection.execute(f"CREATE TABLE {name} ({', '.join(names)})")
            rows = [
                [str(value) if k % 3 and column.endswith("_id") else value for column, value in row.items()]
                for k, row in enumerate(table.to_pylist())
            ]
            connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(names))})", rows)
    connection.close()

    assert named(read_all(f"sqlite:///{path}", tmp_path, share=0)) == named(plain)
