"""MovieLens-100K from the files that the recbole wheel brings, as a folder of our tables.

A rating is an impression, and one of four stars or more a like: whoever rates a film has seen it, but nobody
knows what else they were shown. So its figures tell who likes what, and nothing of a feed.
"""

import os
from csv import QUOTE_NONE
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from batch.data.columns import ACTION, FEED, POST_ID, POSTS, TARGET, TEXT, TIMESTAMP, TOPIC, USER_ID, USERS
from batch.data.tables.location import SourceError

NAME = "ml-100k"
LEAST_STARS = 4  # of a like


def find_files() -> Path:
    """Return the folder of the files in recbole's wheel.

    Raises:
        SourceError: It is not installed.
    """
    spec = find_spec("recbole")  # only looked for: importing it would ask for a deep-learning framework
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"{NAME} comes with recbole's wheel: pip install --no-deps recbole")
    return Path(next(iter(spec.submodule_search_locations))) / "dataset_example" / NAME


def write_tables(source: Path, folder: Path) -> None:
    """Write `user_data`, `post_text_df` and `feed_data` as Parquet, each in one step: others may read.

    A film's topic is the first genre named, its text title and genres.

    Args:
        source: Folder of `ml-100k.inter`, `.item` and `.user`, tab-separated as recbole writes them.
        folder: Is made where it does not exist.

    Raises:
        SourceError: A file is missing.
    """
    users = _read(source, "user")[[USER_ID, "age", "gender", "occupation"]]
    films = _read(source, "item").rename(columns={"item_id": POST_ID})
    films[TEXT] = films["movie_title"] + ". " + films["class"]
    films[TOPIC] = films["class"].str.split(" ").str[0]
    feed = _read(source, "inter").rename(columns={"item_id": POST_ID})
    feed[TIMESTAMP], feed[ACTION] = feed["timestamp"].astype("int64"), "view"
    feed[TARGET] = (feed["rating"] >= LEAST_STARS).astype("int8")
    tables = {
        USERS: users,
        POSTS: films[[POST_ID, TEXT, TOPIC]],
        FEED: feed[[TIMESTAMP, USER_ID, POST_ID, ACTION, TARGET]],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        part = folder / f"{name}.{os.getpid()}.part"
        table.to_parquet(part, index=False)
        part.replace(folder / f"{name}.parquet")


def _read(source: Path, suffix: str) -> pd.DataFrame:
    """Read a file; its columns are named `name:type`."""
    path = source / f"{NAME}.{suffix}"
    if not path.is_file():
        raise SourceError(f"no {path}: give the folder of {NAME} as recbole's wheel holds it")
    rows = pd.read_csv(path, sep="\t", quoting=QUOTE_NONE)
    return rows.rename(columns=lambda name: name.partition(":")[0])
