"""MovieLens-100K from the files that the recbole wheel brings, as a folder of our tables.

A rating is an impression, and one of four stars or more a like: whoever rates a film has seen it, but nobody
knows what else he was shown. So its figures tell who likes what, and nothing of a feed.
"""

from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from batch.data.columns import ACTION, FEED, POST_ID, POSTS, TARGET, TEXT, TIMESTAMP, TOPIC, USER_ID, USERS
from batch.data.tables.location import SourceError

NAME = "ml-100k"
LEAST_STARS = 4  # of a like
_PLACE = Path("dataset_example") / NAME


def mapping_of(data: str, mapping: str) -> str:
    """Return the mapping that data are read with: `ml-100k` has one of its own where none is named.

    >>> mapping_of("ml-100k", ""), mapping_of("facts", ""), mapping_of("ml-100k", "mine.toml")
    ('ml-100k', '', 'mine.toml')
    """
    return NAME if data == NAME and not mapping else mapping


def located(data: str, folder: Path) -> str:
    """Return a location of facts: `ml-100k` is written to `folder` first, anything else is what it is.

    Raises:
        SourceError: It is `ml-100k`, and recbole is not installed.
    """
    if data != NAME:
        return data
    spec = find_spec("recbole")  # only looked for: importing it would ask for a deep-learning framework
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{NAME} comes with recbole's wheel: pip install --no-deps recbole")
    write(Path(next(iter(spec.submodule_search_locations))) / _PLACE, folder)
    return str(folder)


def write(source: Path, folder: Path) -> None:
    """Write `user_data`, `post_text_df` and `feed_data` as Parquet.

    Args:
        source: Folder of `ml-100k.inter`, `.item` and `.user`, tab-separated as recbole writes them.
        folder: Is made where it does not exist.

    Raises:
        SourceError: A file is missing.
    """
    tables = {USERS: _users(source), POSTS: _posts(source), FEED: _feed(source)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")


def _users(source: Path) -> pa.Table:
    raw = _read(source, "user")
    columns = {name: raw[f"{name}:token"] for name in ("gender", "occupation")}
    return pa.table({USER_ID: _int(raw["user_id:token"]), "age": _int(raw["age:token"]), **columns})


def _posts(source: Path) -> pa.Table:
    """Return films; the topic is the first genre named, the text title and genres."""
    raw = _read(source, "item")
    genres = raw["class:token_seq"]
    text = pc.binary_join_element_wise(raw["movie_title:token_seq"], genres, ". ")
    topic = pc.list_element(pc.split_pattern(genres, " "), 0)
    return pa.table({POST_ID: _int(raw["item_id:token"]), TEXT: text, TOPIC: topic})


def _feed(source: Path) -> pa.Table:
    raw = _read(source, "inter")
    stars = raw["rating:float"].cast(pa.float64())
    columns = {
        TIMESTAMP: pc.cast(raw["timestamp:float"].cast(pa.float64()), pa.int64()),
        USER_ID: _int(raw["user_id:token"]),
        POST_ID: _int(raw["item_id:token"]),
        ACTION: pa.array(["view"] * len(raw)),
        TARGET: pc.greater_equal(stars, LEAST_STARS).cast(pa.int8()),
    }
    return pa.table(columns)


def _read(source: Path, suffix: str) -> pa.Table:
    path = source / f"{NAME}.{suffix}"
    if not path.is_file():
        raise SourceError(f"no {path}: give the folder of {NAME} as recbole's wheel holds it")
    with path.open("rb") as file:
        names = file.readline().decode().rstrip("\n").split("\t")
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=convert,
    )


def _int(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int64())
