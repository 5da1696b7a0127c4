"""Windows of posts as people's tables have them: each form gives the times meant, or a reason."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from batch.data.columns import POSTS
from batch.data.cut import as_they_stood
from batch.data.facts import Facts
from batch.data.mapping import DAY_S, Mapping
from batch.data.validation.rejects import TooManyRejected
from batch.data.validation.unlikely import UnlikelyTimes
from batch.data.windows import FOR_EVER, FROM_S, SINCE_EVER, TO_S, Windows
from batch.data.write import tables_of, write
from tests.data_rows import assert_equal_facts, csv, feed, parquet, read_all

NOON_S = int(datetime(2021, 12, 1, 12, tzinfo=UTC).timestamp())
FEED = feed(*(["2021-10-01 10:00:00", 5, post, "view", 0] for post in (1, 2, 3)))


def posts_of(**columns: Any) -> dict[str, pa.Table]:
    """Give a feed, and its three posts with further columns."""
    return {"feed_data": FEED, POSTS: pa.table({"post_id": [1, 2, 3], **columns})}


def sides(facts: Facts) -> tuple[list[int], list[int]]:
    """Return both sides of all windows."""
    return facts.posts[FROM_S].tolist(), facts.posts[TO_S].tolist()


@pytest.mark.parametrize(
    ("spelled", "mapping"),
    [
        (["2021-12-01T12:00:00Z"] * 2, {}),
        (["2021-12-01 12:00:00", "20211201T120000"], {}),
        (["2021-12-01 15:00", "2021-12-01 12:00Z"], {"time": {"zone": "Europe/Moscow"}}),
        ([str(NOON_S), str(NOON_S * 1000)], {}),
        (["01/12/2021 12h", "01/12/2021 12h"], {"time": {"format": "%d/%m/%Y %Hh"}}),
    ],
)
def test_windows_are_read_as_all_times_are(
    tmp_path: Path, spelled: list[str], mapping: dict[str, Any]
) -> None:
    rows = posts_of(valid_from=[spelled[0], None, None], valid_to=[None, spelled[1], None])
    rows["feed_data"] = rows["feed_data"].slice(0, 0)
    form = Mapping.from_toml(mapping)

    for location in (parquet(tmp_path / "typed", rows), csv(tmp_path / "text", rows)):
        found = sides(read_all(location, tmp_path, mapping=form))

        assert found == ([NOON_S, SINCE_EVER, SINCE_EVER], [FOR_EVER, NOON_S, FOR_EVER])


def test_one_side_is_enough_and_posts_of_the_feed_alone_are_open(tmp_path: Path) -> None:
    until = pa.array([NOON_S, None]).cast(pa.timestamp("s"))
    properties = {"post_id": [1, 2], "property": ["end", "end"], "value": until.cast(pa.string())}
    rows = {"feed_data": FEED, "post_properties": pa.table(properties)}
    form = Mapping.from_toml({"properties": {"valid_to": "end"}})

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path, mapping=form)

    assert sides(facts) == ([SINCE_EVER] * 3, [NOON_S, FOR_EVER, FOR_EVER])


def test_without_any_window_the_posts_have_no_such_column(tmp_path: Path) -> None:
    nothing = pa.array([None] * 3, pa.timestamp("s"))

    facts = read_all(parquet(tmp_path / "in", posts_of(valid_from=nothing, valid_to=nothing)), tmp_path)

    assert not {FROM_S, TO_S} & set(facts.posts.columns)
    assert Windows.of(facts.posts) is None


@pytest.mark.parametrize("place", ["folder", "database"])
def test_written_windows_are_read_back(tmp_path: Path, place: str) -> None:
    rows = posts_of(valid_from=[str(NOON_S), None, None], valid_to=[str(NOON_S + 1), None, "9999-12-31"])
    facts = read_all(parquet(tmp_path / "in", rows), tmp_path)
    location = str(tmp_path / "out") if place == "folder" else f"sqlite:///{tmp_path}/facts.db"

    write(location, tables_of(facts))

    assert_equal_facts(read_all(location, tmp_path), facts)


def test_a_post_is_valid_from_the_first_second_on_and_not_in_the_last() -> None:
    posts = pd.DataFrame({FROM_S: [10, SINCE_EVER, 20], TO_S: [20, 10, FOR_EVER]})
    windows = Windows.of(posts)

    assert windows is not None
    assert windows.at(np.array([9, 10, 19, 20])).astype(int).tolist() == [
        [0, 1, 0],
        [1, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]
    assert windows.touch(10, 20).tolist() == [True, False, False]
    assert windows.touch(9, 21).tolist() == [True, True, True]


def test_posts_that_all_fall_out_by_their_windows_say_so_in_the_refusal(tmp_path: Path) -> None:
    rows = posts_of(valid_from=["soon"] * 3)

    with pytest.raises(TooManyRejected, match=r"3 unreadable_time: mend valid_from and valid_to of post_te"):
        read_all(parquet(tmp_path / "in", rows), tmp_path)


def test_numbers_that_cannot_be_times_are_refused_with_what_is_likely(tmp_path: Path) -> None:
    rows = posts_of(valid_to=[20211201, None, 20211202])
    sentence = "the newest valid_to of post_text_df, 20211202, cannot be s since 1970: it is likely a date"

    with pytest.raises(UnlikelyTimes, match=re.escape(sentence)):
        read_all(parquet(tmp_path / "in", rows), tmp_path)


def test_a_window_is_no_content_by_which_a_post_is_known_before_its_first_event(tmp_path: Path) -> None:
    facts = read_all(parquet(tmp_path / "in", posts_of(valid_to=["2021-12-01", None, None])), tmp_path)

    stood = as_they_stood(facts, int(facts.time[0]) - 1, DAY_S)

    assert len(stood.posts) == 0


def test_windows_that_change_hold_from_their_rows_time_on(tmp_path: Path) -> None:
    properties = pa.table(
        {
            "post_id": [1, 1, 1],
            "property": ["end"] * 3,
            "value": [str(NOON_S), "when it rains", str(NOON_S + DAY_S)],
            "timestamp": [NOON_S - DAY_S, NOON_S - 2, NOON_S - 1],
        }
    )
    rows = {"feed_data": FEED, "post_properties": properties}
    form = Mapping.from_toml({"properties": {"valid_to": "end"}})

    facts = read_all(parquet(tmp_path / "in", rows), tmp_path, mapping=form)

    ends = [facts.described_at(at_s).posts for at_s in (NOON_S - DAY_S, NOON_S - 2, NOON_S - 1)]
    assert [posts[TO_S][0] for posts in ends] == [NOON_S, NOON_S, NOON_S + DAY_S]
    assert TO_S not in facts.described_at(NOON_S - DAY_S - 1).posts
