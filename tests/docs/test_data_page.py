"""The mappings that docs/data.md shows read what stands beside them, and show every key that there is."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from batch.data import event_form, mapping
from batch.data.columns import ALL_TOPICS, OPTIONAL, POST_ID, POSTS, REQUIRED, USER_ID, feed_table
from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.tables.form import FileForm
from batch.data.windows import FROM_S, TO_S, Windows
from tests.data_rows import read_all
from tests.docs.pages import Block, blocks, section

PAGE = "docs/data.md"

FILES = {
    "Books_5.json.gz": b'{"overall": 5.0, "reviewerID": "A1", "asin": "0001", "unixReviewTime": 1353456000}\n'
    b'{"overall": 3.0, "reviewerID": "A2", "asin": "0001", "unixReviewTime": 1353456001}\n',
    "meta_Books.json.gz": b'{"asin": "0001", "title": "Emma"}\n',
    "userid-timestamp-artid-artname-traid-traname.tsv": b'u_1\t2009-05-04T23:08:57Z\ta1\tDeep "D"\t\tF\n'
    b"u_1\t2009-05-04T13:54:10Z\ta2\tX\tt1\tG\n",
}


@pytest.mark.parametrize(("at", "targets"), [(0, [1, 0]), (1, [1, 1])])
def test_a_mapping_of_the_page_reads_its_form(tmp_path: Path, at: int, targets: list[int]) -> None:
    import gzip

    for name, content in FILES.items():
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    shown = [block for block in section(PAGE, "## Others that you may know") if block.language == "toml"]

    facts = read_all(str(tmp_path), tmp_path, mapping=Mapping.from_toml(tomllib.loads(shown[at].text)))

    assert np.asarray(facts.target).tolist() == targets
    assert facts.shown == "choices"


def examples() -> Iterator[tuple[list[Block], Block, Block]]:
    """Yield the files, the mapping and what it reads of each example of the keys."""
    files: list[Block] = []
    told = None
    for block in section(PAGE, "## Every key, by example"):
        if block.language == "csv":
            files.append(block)
        elif block.language == "toml":
            told = block
        elif told is not None:
            yield files, told, block
            files, told = [], None


@pytest.mark.parametrize(("files", "told", "read"), list(examples()), ids=lambda one: str(one)[:60])
def test_a_mapping_of_a_key_reads_what_the_page_says(
    tmp_path: Path, files: list[Block], told: Block, read: Block
) -> None:
    form = Mapping.from_toml(tomllib.loads(told.text))
    for file in files:
        path = tmp_path / file.marks["file"]
        path.parent.mkdir(exist_ok=True)
        latin = any(one.path == path.name and one.encoding for one in form.files.values())
        path.write_text(file.text, "latin-1" if latin else "utf-8")

    facts = read_all(str(path.parent), tmp_path, mapping=form, share=0.0)

    assert "\n\n".join(tables(facts)) == read.text.rstrip("\n")


def tables(facts: Facts) -> Iterator[str]:
    """Yield the facts as the page shows them: events, profiles, posts, embeddings, where there is any."""
    user, post = facts.user_names.column(facts.user_ids), facts.post_names.column(facts.post_ids)
    rows = feed_table(facts.time, user.take(facts.user), post.take(facts.post), facts.action, facts.target)
    feed = rows.to_pandas().rename(columns={USER_ID: "user", POST_ID: "post"})
    yield shown(feed if facts.weight is None else feed.assign(weight=facts.weight))
    if len(facts.users.columns) > 1:
        yield shown(facts.users.rename(columns={USER_ID: "user"}))
    if facts.posts.drop(columns=POST_ID).notna().any(axis=None):
        windows = Windows.of(facts.posts)
        told = {} if windows is None else {name: one.to_pandas() for name, one in windows.columns().items()}
        posts = facts.posts.rename(columns={POST_ID: "post"}).drop(columns=[FROM_S, TO_S], errors="ignore")
        posts = posts.assign(**told)
        yield shown(posts.drop(columns=ALL_TOPICS, errors="ignore"))
    if facts.embeddings is not None:
        columns = {f"e{k}": column for k, column in enumerate(facts.embeddings.T)}
        yield shown(pd.DataFrame({"post": facts.post_ids, **columns}))


def shown(frame: pd.DataFrame) -> str:
    return str(frame.to_string(index=False))


def keys_of(raw: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that a mapping uses, a table's name left out."""
    for name, section_ in raw.items():
        yield name
        for key, value in section_.items() if isinstance(section_, dict) else ():
            inner = name if name in ("files", "columns") else f"{name}.{key}"
            yield inner
            for deeper, below in value.items() if isinstance(value, dict) else ():
                yield f"{inner}.{deeper}"
                yield from (f"{inner}.{{}}.{last}" for last in (below if isinstance(below, dict) else ()))
                yield from ["columns.[]"] if name == "columns" and isinstance(below, list) else []


def test_the_page_shows_every_key_of_a_mapping() -> None:
    there = {
        *mapping.KEYS,
        *(f"files.{key}" for key in FileForm.__dataclass_fields__),
        *(f"events.{key}" for key in (*event_form.KEYS, "like.column", "like.at_least", "like.among")),
        *(f"time.{key}" for key in ("unit", "format", "zone")),
        *(f"columns.{ours}" for table in REQUIRED for ours in REQUIRED[table]),
        *("columns.{}.column", "columns.{}.split", "columns.[]", "columns.topic", "columns.text"),
        *("profile.columns", "embeddings.columns"),
        *(f"properties.{ours}" for ours in OPTIONAL[POSTS][:2]),
        *(f"tables.{table}" for table in REQUIRED),
    }

    used = {
        key
        for block in blocks(PAGE)
        if block.language == "toml"
        for key in keys_of(tomllib.loads(block.text))
    }

    assert there - used == set()
