"""Writing tables: what is written is what is read, and no table is ever there by half."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.contract.ids import LARGEST_NUMBER, Kind, canonical
from batch.arrays import Ints
from batch.data.columns import LIKE, VIEW
from batch.data.facts import Facts
from batch.data.ids import IdNames, encode_ids
from batch.data.load import copy_facts
from batch.data.mapping import Mapping
from batch.data.source import open_tables
from batch.data.tables.database_writer import DatabaseWriter
from batch.data.tables.folder import Folder
from batch.data.tables.location import SourceError, is_url
from batch.data.validation.rejects import TooManyRejected
from batch.data.validation.values import LARGEST
from batch.data.write import tables_of, write
from batch.settings import Settings
from tests.data_rows import assert_equal_facts, feed, parquet, read_all, tables

LATE_S = 2**33  # later than 32 bits can say

numbered = st.integers(-LARGEST_NUMBER, LARGEST_NUMBER).map(str)
worded = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
worded = worded.filter(lambda text: text.lower() not in ("nan", "null", "none", "na"))
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
numbers = st.floats(-LARGEST, LARGEST, exclude_min=True, exclude_max=True)


@st.composite
def ids(draw: st.DrawFn) -> tuple[Ints, IdNames]:
    """Draw the codes of a table's ids, ascending, and their names."""
    kind: Kind = draw(st.sampled_from(["numbers", "text"]))
    first, more = ("7", numbered) if kind == "numbers" else ("007", worded | st.integers(0, 2**65).map(str))
    spelled = [first, *draw(st.lists(more, max_size=5))]
    codes = encode_ids([canonical(text, kind) for text in spelled])
    return np.unique(codes), IdNames.of(kind, spelled)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Draw valid facts."""
    (user_ids, user_names), (post_ids, post_names) = draw(ids()), draw(ids())
    n_users, n_posts = len(user_ids), len(post_ids)
    events = st.tuples(
        st.integers(0, LATE_S),
        st.integers(0, n_users - 1),
        st.integers(0, n_posts - 1),
        st.sampled_from([VIEW, LIKE]),
    )
    # Likes alone become views, too: facts that were read have some.
    rows = sorted(draw(st.sets(events, max_size=20).filter(lambda some: not some or _have_view(some))))
    time, user, post, action = np.array(rows, np.int64).reshape(-1, 4).T
    liked = draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows)))
    width = draw(st.integers(0, 3))
    whole = st.floats(-(2.0**49), 2.0**49, width=32)  # well below LARGEST_IN_VECTORS
    vector = st.just([np.nan] * width) | st.lists(whole, min_size=width, max_size=width)
    vectors = st.lists(vector, min_size=n_posts - 1, max_size=n_posts - 1).map(
        lambda few: [[1.0] * width, *few]
    )
    return Facts(
        users=pd.DataFrame({"user_id": user_ids, **_profile(draw, n_users)}),
        posts=pd.DataFrame(
            {"post_id": post_ids, "topic": _texts(draw, n_posts), "text": _texts(draw, n_posts)}
        ),
        embeddings=np.array(draw(vectors), np.float32).reshape(n_posts, width) if width else None,
        user=user.astype(np.int32),
        post=post.astype(np.int32),
        time=time,
        action=action.astype(np.int8),
        target=np.where(action == VIEW, np.array(liked, np.int64), 0).astype(np.int8),
        user_names=user_names,
        post_names=post_names,
    )


def _have_view(rows: set[tuple[int, int, int, int]]) -> bool:
    return any(action == VIEW for _, _, _, action in rows)


def _texts(draw: st.DrawFn, n: int) -> "pd.Series[Any]":
    return pd.Series(draw(st.lists(st.none() | texts, min_size=n, max_size=n)), dtype=object)


def _profile(draw: st.DrawFn, n: int) -> dict[str, Any]:
    city = pd.Series(["first", *_texts(draw, n - 1)], dtype=object)  # a column without any value has no type
    values = draw(st.lists(st.just(float("nan")) | numbers, min_size=n, max_size=n))
    return {"city": city, "age": np.array(values, np.float64)}


@given(known=facts())
@settings(max_examples=40, deadline=None)
def test_what_is_written_to_a_folder_is_what_is_read(known: Facts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/facts", tables_of(known))

        found = read_all(f"{folder}/facts", Path(folder), share=0.0, now_s=LATE_S)

    assert_equal_facts(found, known)


@given(known=facts())
@settings(max_examples=15, deadline=None)
def test_what_is_written_to_sqlite_is_what_is_read(known: Facts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(f"sqlite:///{folder}/facts.db", tables_of(known))

        found = read_all(f"sqlite:///{folder}/facts.db", Path(folder), share=0.0, now_s=LATE_S)

    assert_equal_facts(found, known)


@pytest.mark.integration
@given(known=facts())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_to_postgresql_is_what_is_read(
    known: Facts, postgres_url: str, tmp_path: Path
) -> None:
    write(postgres_url, tables_of(known), replace=True)

    found = read_all(postgres_url, tmp_path, share=0.0, now_s=LATE_S)

    assert_equal_facts(found, known)


@pytest.fixture(params=["folder", "sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a location of each kind, empty."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / "facts") if request.param == "folder" else f"sqlite:///{tmp_path}/deep/facts.db"


def names(place: str) -> list[str]:
    """Give the tables that a location has, staging tables included."""
    if not is_url(place):
        path = Path(place)
        return (
            sorted(file.name.partition(".")[0] or file.name for file in path.iterdir())
            if path.exists()
            else []
        )
    engine = sa.create_engine(sa.make_url(place))
    found = sorted(sa.inspect(engine).get_table_names())
    engine.dispose()
    return found


def test_chunks_of_several_tables_may_alternate(place: str, tmp_path: Path) -> None:
    whole = tables()
    expected = read_all(parquet(tmp_path / "expected", whole), tmp_path)
    chunks = [(name, table.slice(row, 1)) for row in range(5) for name, table in whole.items()]
    told: list[int] = []

    rows = write(place, (chunk for chunk in chunks if chunk[1].num_rows), advance=told.append)

    assert rows == {name: table.num_rows for name, table in whole.items()}
    assert sum(told) == sum(rows.values())
    assert names(place) == sorted(whole)
    assert_equal_facts(read_all(place, tmp_path), expected)


def test_a_place_that_holds_facts_is_refused_unless_they_are_to_be_replaced(
    place: str, tmp_path: Path
) -> None:
    write(place, tables().items())
    other = {"feed_data": tables()["feed_data"].slice(0, 2)}

    with pytest.raises(
        SourceError, match="already holds user_data, post_text_df, feed_data, post_embeddings"
    ):
        write(place, other.items())
    assert len(read_all(place, tmp_path).time) == 5

    write(place, other.items(), replace=True)

    assert names(place) == ["feed_data"]
    assert len(read_all(place, tmp_path).time) == 2


def test_a_table_of_another_name_stays_and_is_not_overwritten(place: str) -> None:
    write(place, [("notes", pa.table({"a": [1]}))])
    with pytest.raises(SourceError, match="already holds notes"):
        write(place, [("notes", pa.table({"a": [2]}))])

    write(place, tables().items())

    assert names(place) == sorted([*tables(), "notes"])


def breaking() -> Iterator[tuple[str, pa.Table]]:
    """Give two chunks, large enough to be written at once, and break."""
    row = feed(["2021-10-01", 1, 2, "view", 0])
    for _ in range(2):
        yield "feed_data", pa.concat_tables([row] * 140_000)
    raise RuntimeError("the stream broke")


def test_a_stream_that_breaks_leaves_the_old_tables_and_no_other(place: str, tmp_path: Path) -> None:
    write(place, tables().items())

    with pytest.raises(RuntimeError, match="the stream broke"):
        write(place, breaking(), replace=True)

    assert names(place) == sorted(tables())
    assert len(read_all(place, tmp_path).time) == 5


KILLED = """
import os, sys
from batch.data.write import tables_of, write
from batch.settings import Settings
from tests.integration.test_data_write import breaking

def chunks():
    stream = breaking()
    yield next(stream)
    yield next(stream)
    os._exit(9)

write(sys.argv[1], chunks(), replace=True)
"""


def test_a_writer_that_was_killed_leaves_no_half_table_and_the_next_one_clears_up(
    place: str, tmp_path: Path
) -> None:
    write(place, tables().items())

    killed = subprocess.run([sys.executable, "-c", KILLED, place], check=False)

    assert killed.returncode == 9
    assert len(read_all(place, tmp_path).time) == 5
    assert names(place) != sorted(tables())  # something was left under a staging name
    write(place, tables().items(), replace=True)
    assert names(place) == sorted(tables())


def test_a_chunk_with_other_columns_is_refused(place: str) -> None:
    chunks = [("feed_data", pa.table({"a": [1]})), ("feed_data", pa.table({"b": [1]}))]

    with pytest.raises(ValueError, match=r"a chunk of feed_data has columns \['b'\], earlier ones \['a'\]"):
        write(place, chunks)

    assert names(place) == []


def test_dictionaries_and_other_integer_widths_are_written_plain(place: str, tmp_path: Path) -> None:
    rows = tables()["feed_data"]
    place_of = rows.schema.get_field_index("action")
    coded = rows.set_column(place_of, "action", rows["action"].dictionary_encode())
    expected = read_all(parquet(tmp_path / "expected", {"feed_data": rows}), tmp_path)

    write(place, [("feed_data", coded)])

    assert_equal_facts(read_all(place, tmp_path), expected)


def test_a_database_of_another_kind_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"write to oracle://ann:\*\*\*@h/x: give postgresql://, sqlite"):
        DatabaseWriter("oracle://ann:secret@h/x", [])


def test_what_an_interrupted_writer_left_is_gone_after_the_next(place: str) -> None:
    if not is_url(place):
        pytest.skip("a folder's staging files are tested where a writer is killed")
    interrupted = DatabaseWriter(place, [])
    interrupted.append("feed_data", tables()["feed_data"])
    interrupted._connection.close()  # nothing is dropped, as after a kill

    assert names(place) == ["almanac_partial_feed_data"]
    write(place, tables().items())

    assert names(place) == sorted(tables())


def test_facts_are_copied_checked_and_in_our_own_schema(place: str, tmp_path: Path) -> None:
    foreign = feed(
        ["2021-10-01 10:00:00", 5, 20, "open", None],
        ["2021-10-01 10:00:00", 5, 20, "open", None],
        ["2021-10-01 10:00:09", 5, 20, "heart", None],
        ["2021-10-01 10:00:09", 5, 20, "share", None],
    ).drop_columns("target")
    source = parquet(tmp_path / "in", tables() | {"feed_data": foreign})
    mapping = tmp_path / "mine.toml"
    mapping.write_text("""[events]\nview = ["open"]\nlike = ["heart"]""")
    expected = read_all(source, tmp_path, mapping=Mapping.load(mapping))
    settings = Settings(state_dir=tmp_path, mapping=str(mapping), max_rejected_share=0.5)

    report = copy_facts(settings, source, place, lambda _: None)

    assert report == expected.report
    assert report.rejected == {"duplicate_event": 1}
    assert asdict(report)["ignored"] == {"share": 1}
    found = read_all(place, tmp_path, share=0.0)
    assert_equal_facts(found, expected)
    assert found.target.tolist() == [1, 0]
    with open_tables(place) as written:
        ages = next(iter(written.batches("user_data", ["age"])))
    assert pa.types.is_integer(ages.column("age").type)


def test_a_refused_copy_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    source = parquet(tmp_path / "in", tables() | {"feed_data": feed([None, 5, 20, "view", 0])})
    target = tmp_path / "out"
    mine = Settings(state_dir=tmp_path, max_rejected_share=0.1)

    with pytest.raises(TooManyRejected):
        copy_facts(mine, source, str(target), lambda _: None)
    with pytest.raises(SourceError, match=r"in already holds .*: give another place, or --replace them"):
        copy_facts(mine, "nowhere", source, lambda _: None)

    assert not target.exists()


def test_the_real_rows_are_copied_whole(real_rows: Path, tmp_path: Path) -> None:
    expected = read_all(str(real_rows), tmp_path, share=0.0)
    target = f"sqlite:///{tmp_path}/facts.db"

    write(target, tables_of(expected))

    assert_equal_facts(read_all(target, tmp_path, share=0.0), expected)


def test_replacing_shards_leaves_no_shard_behind(tmp_path: Path) -> None:
    folder = tmp_path / "facts"
    shards = {f"feed_data-{n:04d}": feed(["2021-10-01", n, 2, "view", 0]) for n in range(3)}
    parquet(folder, shards)
    (folder / "README.md").write_text("stays")

    write(str(folder), [("feed_data", feed(["2021-10-01", 9, 2, "view", 0]))], replace=True)

    assert Folder(str(folder)).names() == ["feed_data"]
    assert read_all(str(folder), tmp_path).user_ids.tolist() == [9]
    assert (folder / "README.md").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SourceError, match=r"cannot write to .*/file/facts: Not a directory"):
        write(str(tmp_path / "file" / "facts"), tables().items())
