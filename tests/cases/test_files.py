"""Files as people have them: each way to write the same rows gives the same facts, or one sentence.

Every folder holds the same users, posts and events; only their files differ.
"""

import bz2
import csv as text_csv
import gzip
import io
import re
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.data.facts import Facts
from batch.data.mapping import Mapping as Names
from batch.data.tables.location import SourceError
from batch.data.tables.stream import HEAD_BYTES, UNIT, open_text
from batch.data.validation.rejects import TooManyRejected
from tests.data_rows import assert_equal_facts, parquet, read_all

HEADERS = {
    "user_data": ["user_id", "age", "city"],
    "post_text_df": ["post_id", "text", "topic"],
    "feed_data": ["timestamp", "user_id", "post_id", "action", "target"],
}
ROWS: dict[str, list[list[Any]]] = {
    "user_data": [[n, 20 + n if n % 3 else None, ["Köln", "Oslo"][n % 2]] for n in range(1, 9)],
    "post_text_df": [[100 + n, f"Crème brûlée, the {n}th; hot", ["food", "art"][n % 2]] for n in range(12)],
    "feed_data": [
        [f"2021-12-04 07:{n % 60:02d}:31", 1 + n % 8, 100 + n % 12, "view", n % 5 // 4] for n in range(48)
    ],
}
Spell = Callable[[list[str], list[list[Any]]], bytes]


def table(name: str) -> pa.Table:
    """Give a table's rows with their types."""
    columns = zip(*ROWS[name], strict=True)
    return pa.table({key: list(values) for key, values in zip(HEADERS[name], columns, strict=True)})


def fields(
    separator: str = ",", encoding: str = "utf-8", header: Sequence[str] | None = (), **how: Any
) -> Spell:
    """Give a way to write rows as text; no `header` writes the names, None leaves them out."""

    def spell(names: list[str], rows: list[list[Any]]) -> bytes:
        out = io.StringIO()
        writer = text_csv.writer(out, delimiter="\x1f" if len(separator) > 1 else separator, **how)
        writer.writerows([*([] if header is None else [header or names]), *rows])
        return out.getvalue().replace("\x1f", separator).encode(encoding)

    return spell


def json_lines(names: list[str], rows: list[list[Any]]) -> bytes:
    """Write rows as JSON lines; a value that is missing is no key."""
    objects = ({k: v for k, v in zip(names, row, strict=True) if v is not None} for row in rows)
    return b"\n".join(map(orjson.dumps, objects)) + b"\n"


def bare(names: list[str], rows: list[list[Any]], separator: str = "::") -> bytes:
    """Write rows without a line of names and without quotes, as MovieLens' files are."""
    return "".join(separator.join("" if v is None else f"{v}" for v in row) + "\n" for row in rows).encode()


def put(folder: Path, spell: Spell, suffix: str = "csv", pack: Callable[[bytes], bytes] = bytes) -> str:
    """Write the three tables and give their folder."""
    folder.mkdir(exist_ok=True)
    for name, names in HEADERS.items():
        (folder / f"{name}.{suffix}").write_bytes(pack(spell(names, ROWS[name])))
    return str(folder)


def read_here(location: str, folder: Path, said: str = "", share: float = 0.0) -> Facts:
    """Read a folder by a mapping's text."""
    return read_all(location, folder, mapping=Names.from_toml(tomllib.loads(said)), share=share)


def same_for_all(keys: str) -> str:
    """Give a mapping that says the same of all three tables' files."""
    return "".join(f"[files.{name}]\n{keys}\n" for name in HEADERS)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Give the facts of the same rows in Parquet."""
    folder = tmp_path_factory.mktemp("parquet")
    return read_all(parquet(folder, {name: table(name) for name in ROWS}), folder, share=0.0)


def zipped(content: bytes, *more: str) -> bytes:
    """Pack one file, and perhaps others, into a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some name.csv", content)
        archive.writestr("__MACOSX/._some name.csv", b"of a Mac")
        for name in more:
            archive.writestr(name, b"x")
    return out.getvalue()


def zstandard(content: bytes) -> bytes:
    """Pack with Zstandard."""
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


@pytest.mark.parametrize(
    ("spell", "suffix", "pack"),
    [
        (fields(";"), "csv", bytes),
        (fields(";", quoting=text_csv.QUOTE_ALL), "csv", bytes),
        (fields("\t"), "tsv", bytes),
        (fields("\t"), "csv", bytes),
        (fields("|"), "txt", bytes),
        (fields("::"), "dat", bytes),
        (fields(encoding="utf-8-sig"), "csv", bytes),
        (fields("\t", encoding="utf-16"), "csv", bytes),
        (fields(lineterminator="\n"), "CSV", bytes),
        (fields(), "csv.gz", gzip.compress),
        (fields(), "csv.gz", lambda content: gzip.compress(content[:99]) + gzip.compress(content[99:])),
        (fields(), "csv.bz2", bz2.compress),
        (fields(";"), "csv.zip", zipped),
        (fields(), "csv", gzip.compress),
        (json_lines, "jsonl", bytes),
        (json_lines, "json", bytes),
        (json_lines, "ndjson.zip", zipped),
    ],
)
def test_what_is_not_said_is_found(
    tmp_path: Path, expected: Facts, spell: Spell, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    facts = read_here(put(tmp_path / "in", spell, suffix, pack), tmp_path)

    assert_equal_facts(facts, expected)
    assert facts.report == expected.report


@pytest.mark.parametrize(
    ("spell", "keys"),
    [
        (fields(encoding="latin-1"), 'encoding = "latin-1"'),
        (fields("¦"), 'separator = "¦"'),
        (fields("<>", quoting=text_csv.QUOTE_ALL), "separator = '<>'\nquote = '\"'"),
        (fields(quotechar="'"), 'quote = "\'"'),
        (fields("^", doublequote=False, escapechar="\\"), "separator = '^'\nescape = '\\'"),
        (fields("^", quoting=text_csv.QUOTE_NONE, escapechar="\\"), "separator='^'\nescape='\\'\nquote=''"),
        (fields(","), 'path = "*.csv"\nformat = "csv"'),
    ],
)
def test_what_is_said_is_done(tmp_path: Path, expected: Facts, spell: Spell, keys: str) -> None:
    said = "".join(f"[files.{name}]\n{keys.replace('*', name)}\n" for name in HEADERS)

    facts = read_here(put(tmp_path / "in", spell), tmp_path, said)

    assert_equal_facts(facts, expected)


def test_files_without_names_have_those_of_the_mapping(tmp_path: Path, expected: Facts) -> None:
    said = "".join(
        f'[files.{name}]\npath = "{name[:4]}.dat"\nseparator = "::"\nheader = {names}\n'
        for name, names in HEADERS.items()
    )
    for name, names in HEADERS.items():
        (tmp_path / f"{name[:4]}.dat").write_bytes(bare(names, ROWS[name]))

    assert_equal_facts(read_here(str(tmp_path), tmp_path, said), expected)


def test_columns_without_names_may_be_numbered(tmp_path: Path, expected: Facts) -> None:
    location = put(tmp_path / "in", fields(header=None))
    columns = {
        name: {ours: f"f{place}" for place, ours in enumerate(names)} for name, names in HEADERS.items()
    }

    facts = read_all(location, tmp_path, mapping=Names.from_toml({"columns": columns}), share=0.0)

    assert_equal_facts(facts, expected)


def test_a_header_of_another_length_is_refused(tmp_path: Path) -> None:
    location = put(tmp_path / "in", fields())

    with pytest.raises(
        SourceError, match=r"user_data\.csv: it has 3 columns, the mapping's header names 2: m"
    ):
        read_here(location, tmp_path, '[files.user_data]\nheader = ["user_id", "age"]')


def test_a_table_s_files_may_be_many(tmp_path: Path, expected: Facts) -> None:
    location = put(tmp_path / "in", fields())
    (tmp_path / "in" / "feed_data.csv").unlink()
    write, names, rows = fields(), HEADERS["feed_data"], ROWS["feed_data"]
    parts = {
        "feed_data.csv/part-00000-x.csv": rows[:9],
        "feed_data.csv/dt=2021-12-04/part-00000": rows[9:30],
        "feed_data.csv/dt=2021-12-05/part-00000": rows[30:],
        "old/log-1.csv": rows[:30],
        "old/log-2.csv": rows[30:],
    }
    for name, part in parts.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write(names, part))
    (tmp_path / "in" / "feed_data.csv" / "_SUCCESS").touch()
    (tmp_path / "in" / "feed_data.csv" / "part-00001-x.csv").touch()

    for said in ("", '[files.feed_data]\npath = "old/log-*.csv"', '[files.feed_data]\npath = "old"'):
        assert_equal_facts(read_here(location, tmp_path, said), expected)


def test_a_folder_of_spark_is_a_table(tmp_path: Path, expected: Facts) -> None:
    location = Path(parquet(tmp_path / "in", {name: table(name) for name in ("user_data", "post_text_df")}))
    folder = location / "feed_data.parquet"
    folder.mkdir()
    for part in range(2):
        rows = table("feed_data").slice(part * 24, 24)
        pq.write_table(rows, folder / f"part-0000{part}-abc.c000.snappy.parquet")
    (folder / "_SUCCESS").touch()

    facts = read_here(str(location), tmp_path)

    assert_equal_facts(facts, expected)
    assert facts.report.read["feed_data"] == 48


def test_the_folders_of_a_partition_are_columns(tmp_path: Path) -> None:
    location = Path(parquet(tmp_path / "in", {"feed_data": table("feed_data")}))
    users = table("user_data").drop_columns("city")
    for place, name in enumerate(
        ("city=K%C3%B6ln/exp=1", "city=Oslo/exp=2", f"city={'__HIVE_'}DEFAULT_PARTITION__/exp=3")
    ):
        folder = location / "user_data" / name
        folder.mkdir(parents=True)
        pq.write_table(users.slice(place * 3, 3), folder / "part-0.parquet")

    facts = read_here(str(location), tmp_path)

    assert facts.users["city"].tolist() == ["Köln"] * 3 + ["Oslo"] * 3 + [None] * 2
    assert facts.users["exp"].tolist() == [1.0] * 3 + [2.0] * 3 + [3.0] * 2


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "NULL", "None", "<NA>", r"\N", "nan", ""])
@pytest.mark.parametrize("quoting", [text_csv.QUOTE_MINIMAL, text_csv.QUOTE_ALL])
def test_a_word_for_a_missing_value_leaves_numbers_numbers(
    tmp_path: Path, expected: Facts, word: str, quoting: Any
) -> None:
    def spell(names: list[str], rows: list[list[Any]]) -> bytes:
        return fields(quoting=quoting)(names, [[word if v is None else v for v in row] for row in rows])

    assert_equal_facts(read_here(put(tmp_path / "in", spell), tmp_path), expected)


def test_the_words_for_a_missing_value_are_those_of_the_mapping(tmp_path: Path) -> None:
    (tmp_path / "user_data.csv").write_text("user_id,land,age\n1,NA,?\n2,SE,7\n3,,8\n")
    pq.write_table(table("feed_data"), tmp_path / "feed_data.parquet")

    facts = read_here(str(tmp_path), tmp_path, '[files.user_data]\nnull = ["?"]')

    assert facts.users["land"].tolist()[:3] == ["NA", "SE", None]
    assert facts.users["age"].fillna(-1).tolist()[:3] == [-1, 7, 8]


def test_words_of_a_table_with_types_are_words_unless_said(tmp_path: Path) -> None:
    users = pa.table(
        {"user_id": [1, 2], "land": pa.array(["NA", "SE"]).dictionary_encode(), "os": ["-", "x"]}
    )
    location = parquet(tmp_path / "in", {"user_data": users, "feed_data": table("feed_data")})

    as_it_is = read_here(location, tmp_path)
    said = read_here(location, tmp_path, '[files.user_data]\nnull = ["NA", "-"]')

    assert as_it_is.users["land"].tolist()[:2] == ["NA", "SE"]
    assert said.users["land"].tolist()[:2] == [None, "SE"]
    assert said.users["os"].tolist()[:2] == [None, "x"]


def test_blanks_round_names_and_values_do_not_count(tmp_path: Path, expected: Facts) -> None:
    def spell(names: list[str], rows: list[list[Any]]) -> bytes:
        quoted = [[f'"{v}" ' if isinstance(v, str) else v for v in row] for row in rows]
        return "\n".join(
            ", ".join("NA" if v is None else f"{v}" for v in row) for row in [names, *quoted, []]
        ).encode()

    assert_equal_facts(read_here(put(tmp_path / "in", spell), tmp_path), expected)


def test_a_text_keeps_its_own_blanks(tmp_path: Path) -> None:
    put(tmp_path, fields())
    lines = "".join(f'{100 + n}, art ," a line\n"\n' for n in range(12))
    (tmp_path / "post_text_df.csv").write_text("post_id,topic,text\n" + lines)

    facts = read_here(str(tmp_path), tmp_path)

    assert facts.posts["text"].tolist() == [" a line\n"] * 12
    assert facts.posts["topic"].tolist() == ["art"] * 12


def test_backslashes_before_quotes_are_found(tmp_path: Path) -> None:
    def spell(names: list[str], rows: list[list[Any]]) -> bytes:
        said = [
            [f'He said "{v}", then' if isinstance(v, str) and ";" in v else v for v in row] for row in rows
        ]
        return fields(doublequote=False, escapechar="\\", quoting=text_csv.QUOTE_NONNUMERIC)(names, said)

    facts = read_here(put(tmp_path / "in", spell), tmp_path)

    assert facts.posts["text"][3] == 'He said "Crème brûlée, the 3th; hot", then'


@pytest.mark.parametrize("said", ["", "[files.post_text_df]\nquote = ''"])
def test_quotes_that_are_letters_stay(tmp_path: Path, said: str) -> None:
    location = put(tmp_path / "in", fields())
    lines = "".join(f'{100 + n}\t"weird al" lamp {n}\tart\n' for n in range(12))
    (tmp_path / "in" / "post_text_df.csv").unlink()
    (tmp_path / "in" / "post_text_df.tsv").write_text("post_id\ttext\ttopic\n" + lines)

    assert read_here(location, tmp_path, said).posts["text"][0] == '"weird al" lamp 0'


def test_lines_that_are_no_rows_are_rejected_and_shown(tmp_path: Path) -> None:
    location = put(tmp_path / "in", fields())
    with (tmp_path / "in" / "feed_data.csv").open("a") as file:
        file.write("2021-12-05 10:00:00,1,100\n2021-12-05 10:00:00,1,101,view,0,x\n")

    facts = read_here(location, tmp_path, share=0.05)

    assert len(facts.time) == 48
    assert facts.report.read["feed_data"] == 50
    assert facts.report.rejected == {"unreadable_row": 2}
    first, second = map(orjson.loads, (tmp_path / "rejects.jsonl").read_bytes().splitlines())
    assert first["row"] == {
        "file": "feed_data.csv",
        "line": "2021-12-05 10:00:00,1,100",
        "why": "it has 3 fields, not 5",
    }
    assert second["row"]["why"] == "it has 6 fields, not 5"
    with pytest.raises(
        TooManyRejected, match=r"2 unreadable_row \(.*1,100', it has 3 fields, not 5: set sep"
    ):
        read_here(location, tmp_path, share=0.03)


def test_lines_that_are_no_json_are_rejected(tmp_path: Path) -> None:
    location = put(tmp_path / "in", json_lines, "jsonl")
    with (tmp_path / "in" / "feed_data.jsonl").open("a") as file:
        file.write('{"timestamp": "2021-12-\n\n[1]\n')

    facts = read_here(location, tmp_path, share=0.05)

    assert len(facts.time) == 48
    assert facts.report.rejected == {"unreadable_row": 2}


def test_json_of_mixed_types_is_read_by_what_it_says(tmp_path: Path) -> None:
    put(tmp_path, fields())
    lines = [
        '{"user_id": 1, "age": 7, "tags": {"a": 1}}',
        '{"user_id": "2", "age": "8"}',
        '{"user_id": 3, "age": NaN}',
    ]
    (tmp_path / "user_data.csv").unlink()
    (tmp_path / "user_data.jsonl").write_text("\n".join(lines))

    facts = read_here(str(tmp_path), tmp_path)

    assert facts.users["age"].fillna(-1).tolist()[:3] == [7, 8, -1]
    assert facts.users["tags"].tolist()[:2] == ['{"a":1}', None]


def test_a_file_most_of_whose_lines_are_no_rows_names_the_keys_that_help(tmp_path: Path) -> None:
    location = put(tmp_path / "in", fields())
    lines = "".join(f"{100 + n},one, two, three,art\n" for n in range(12))
    (tmp_path / "in" / "post_text_df.csv").write_text("post_id,text,topic\n" + lines)

    with pytest.raises(SourceError) as refused:
        read_here(location, tmp_path)

    assert str(refused.value) == (
        f"12 of 12 lines of post_text_df.csv in {location} are no rows: '100,one, two, three,art', it has 5 "
        "fields, not 3: set separator, quote or escape under [files.post_text_df] in a mapping file"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("feed_data.csv", b"", "it is empty"),
        (
            "feed_data.csv",
            b"220,1042,6,pv,1\n",
            "where these are no names, set header or separator (taken for ',')",
        ),
        ("feed_data.csv", b"timestamp user_id\n", "(it has timestamp user_id)"),
        (
            "feed_data.csv",
            "timestamp,é\n1,é\n".encode("latin-1"),
            "no column 'user_id' (it has timestamp, \ufffd)",
        ),
        ("feed_data.csv.gz", b"\x1f\x8b and then nothing", "cannot read "),
        ("feed_data.csv.zip", b"PK\x03\x04 and then nothing", "File is not a zip file"),
        (
            "feed_data.csv.zip",
            zipped(b"a,b\n", "other.csv"),
            "a zip of 2 files (some name.csv, other.csv): unpack it",
        ),
        (
            "feed_data.json",
            b'[{"a": 1},\n {"a": 2}]',
            "it is no JSON with an object a line: '[{\"a\": 1},' is the first",
        ),
        ("feed_data.parquet", b"no parquet", "cannot read "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError) as refused:
        read_here(str(tmp_path), tmp_path)

    assert message in str(refused.value)
    assert "feed_data" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("late", [False, True])
def test_text_of_another_encoding_is_named_with_its_line_and_the_key(tmp_path: Path, late: bool) -> None:
    location = put(tmp_path / "in", fields())
    lines = [f"{n},{'x' * 50},art\n".encode() for n in range(100, 2 * HEAD_BYTES // 50 if late else 112)]
    content = b"post_id,text,topic\n" + b"".join(lines) + "99,Crème,art\n".encode("latin-1")
    (tmp_path / "in" / "post_text_df.csv").write_bytes(content)

    with pytest.raises(SourceError) as refused:
        read_here(location, tmp_path)

    assert str(refused.value) == (
        f"cannot read {location}/post_text_df.csv: line {len(lines) + 2}, column 'text' is no utf-8 "
        '(\'99,Cr\\xe8me,art\'): set encoding, such as "latin-1" or "cp1251", under '
        "[files.post_text_df] in a mapping file"
    )
    said = '[files.post_text_df]\nencoding = "{}"'
    posts = read_here(location, tmp_path, said.format("latin-1")).posts
    assert posts.set_index("post_id")["text"][99] == "Crème"
    with pytest.raises(SourceError, match=r"'ascii' codec .*: set another encoding"):
        read_here(location, tmp_path, said.format("ascii"))


def test_bytes_of_parquet_are_text_of_an_encoding(tmp_path: Path) -> None:
    posts = pa.table({"post_id": [100, 101], "text": ["été".encode("latin-1"), None]})
    location = parquet(tmp_path / "in", {"post_text_df": posts, "feed_data": table("feed_data")})

    with pytest.raises(SourceError) as refused:
        read_here(location, tmp_path)
    facts = read_here(location, tmp_path, '[files.post_text_df]\nencoding = "latin-1"', 1.0)

    assert f"cannot read {location}/post_text_df.parquet: row 1, column 'text': '\\xe9t\\xe9' is no" in (
        str(refused.value)
    )
    assert "set encoding" in str(refused.value)
    assert facts.posts["text"].tolist() == ["été", None]


def test_a_column_that_numbers_the_rows_is_left_out_and_named(tmp_path: Path) -> None:
    names = ["", "Unnamed: 0", "index", "level_0"]
    users = [[n, n, n, n, *row] for n, row in enumerate(ROWS["user_data"])]
    location = put(tmp_path / "in", fields())
    content = fields(header=[*names, *HEADERS["user_data"]])([], users)
    (tmp_path / "in" / "user_data.csv").write_bytes(content)

    facts = read_here(location, tmp_path)
    asked = read_here(location, tmp_path, '[columns.user_data]\nindex = "index"\n')

    assert list(facts.users.columns) == ["user_id", "age", "city"]
    assert facts.report.columns_ignored == {"user_data": ["Unnamed: 0", "index", "level_0", "(no name)"]}
    assert list(asked.users.columns) == ["user_id", "index", "age", "city"]
    assert asked.report.columns_ignored == {"user_data": ["Unnamed: 0", "level_0", "(no name)"]}


def test_the_index_of_parquet_and_of_r_is_left_out(tmp_path: Path, expected: Facts) -> None:
    location = put(tmp_path / "in", fields())
    frame = table("post_text_df").to_pandas()
    frame.set_index(pd.Index(frame["post_id"].to_numpy() ** 2)).to_parquet(
        tmp_path / "in" / "post_text_df.parquet"
    )
    (tmp_path / "in" / "post_text_df.csv").unlink()
    rows = [[n, *row] for n, row in enumerate(ROWS["user_data"], 1)]
    (tmp_path / "in" / "user_data.csv").write_bytes(fields(header=HEADERS["user_data"])([], rows))

    facts = read_here(location, tmp_path)

    assert_equal_facts(facts, expected)
    assert facts.report.columns_ignored == {
        "post_text_df": ["__index_level_0__"],
        "user_data": ["(no name)"],
    }


def test_of_columns_of_one_name_the_first_is_read_and_the_other_named(tmp_path: Path) -> None:
    location = put(tmp_path / "in", fields())
    rows = [[*row, "other"] for row in ROWS["user_data"]]
    (tmp_path / "in" / "user_data.csv").write_bytes(fields(header=[*HEADERS["user_data"], "city"])([], rows))

    facts = read_here(location, tmp_path)

    assert facts.users["city"].tolist()[:2] == ["Oslo", "Köln"]
    assert facts.report.columns_ignored == {"user_data": ["city"]}


def test_a_separator_over_the_border_of_a_block_is_one(tmp_path: Path) -> None:
    content = b"".join(b"%d::%d\n" % (n, n % 7) for n in range(60_000))
    (tmp_path / "x").write_bytes(content)

    for n in (3, 1000, 1 << 20):
        with open_text(tmp_path / "x", "utf-8", "::") as stream:
            assert b"".join(iter(partial(stream.read, n), b"")) == content.replace(b"::", UNIT.encode())


def test_the_page_s_mapping_of_files_reads_what_it_shows(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    examples = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (example,) = (example for example in examples if "[files.user_data]" in example)
    (tmp_path / "ratings-1.dat.gz").write_bytes(gzip.compress(b"7::100::view::1638602491\n"))
    (tmp_path / "ratings-2.dat.gz").write_bytes(gzip.compress(b"8::101::view::1638602492\n"))
    (tmp_path / "users.csv").write_bytes("user_id;age;city\n7;-;Köln\n8;30;Oslo\n".encode("latin-1"))

    facts = read_here(str(tmp_path), tmp_path, example)

    assert facts.time.tolist() == [1638602491, 1638602492]
    assert facts.users["age"].fillna(-1).tolist() == [-1, 30]
    assert facts.users["city"].tolist() == ["Köln", "Oslo"]


def test_a_line_that_is_neither_a_row_nor_text_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    location = put(tmp_path / "in", fields())
    with (tmp_path / "in" / "user_data.csv").open("ab") as file:
        file.write(b"9,\xff\n")

    with pytest.raises(SourceError, match=r"line 10, column 'age' is no utf-8 .'9,") as refused:
        read_here(location, tmp_path)

    assert r"('9,\xff'): set encoding" in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_packed_file_has_an_encoding_too(tmp_path: Path, expected: Facts) -> None:
    location = put(tmp_path / "in", fields(encoding="latin-1"), "csv.zip", zipped)

    assert_equal_facts(read_here(location, tmp_path, same_for_all('encoding = "latin-1"')), expected)


def test_lines_of_an_old_mac_are_lines(tmp_path: Path, expected: Facts) -> None:
    location = put(tmp_path / "in", fields(lineterminator="\r"))

    assert_equal_facts(read_here(location, tmp_path), expected)


def test_what_is_said_of_files_is_refused_where_a_database_is_read(tmp_path: Path) -> None:
    mapping = Names.from_toml({"files": {"feed_data": {"separator": ";"}}})

    with pytest.raises(SourceError, match=r"a database has no files: of \[files.feed_data\] it takes null"):
        read_all(f"sqlite:///{tmp_path}/facts.db", tmp_path, mapping=mapping)
