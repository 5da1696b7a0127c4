"""Rows that sound data have, too: equal ones, of retired posts, later than now; counted and survived."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.validation.rejects import TooManyRejected
from batch.features import asof
from batch.learn.factors.components import fit_components
from batch.learn.factors.names import NAMES
from tests.data_rows import csv, parquet, read_all

NOW_S = 1_640_805_669
DAY_S, HOUR_S = 86_400, 3_600
N = 40


def rows_of(timestamp: list[int], post: list[int]) -> dict[str, pa.Table]:
    """Give a feed of views by one user."""
    time = pa.array(timestamp).cast(pa.timestamp("s"))
    columns = {"timestamp": time, "user_id": [1] * N, "post_id": post, "action": ["view"] * N}
    return {"feed_data": pa.table(columns)}


def read_default(folder: Path, rows: dict[str, pa.Table], mapping: Mapping | None = None) -> Facts:
    """Read with the limits that settings have, from CSV and from Parquet, which must agree."""
    typed, text = (
        read_all(put(folder / put.__name__, rows), folder, mapping=mapping, share=0.05, now_s=NOW_S)
        for put in (parquet, csv)
    )
    assert typed.report == text.report
    return text


@pytest.mark.parametrize("n_posts", [1, 5, N - 1])
def test_equal_rows_count_once_and_are_no_bad_rows(tmp_path: Path, n_posts: int) -> None:
    facts = read_default(tmp_path, rows_of([NOW_S] * N, [k % n_posts for k in range(N)]))

    assert facts.post.tolist() == list(range(n_posts))
    assert facts.report.rejected == {"duplicate_event": N - n_posts}


def test_events_of_posts_that_the_table_lacks_are_counted_and_survived(tmp_path: Path) -> None:
    rows = rows_of([NOW_S - k for k in range(N)], list(range(N)))
    rows["post_text_df"] = pa.table({"post_id": range(N // 4), "topic": ["a"] * (N // 4)})

    facts = read_default(tmp_path, rows)

    assert len(facts.posts) == len(facts.time) == N // 4
    assert facts.report.rejected == {"unknown_post": N - N // 4}


def test_what_was_chosen_of_retired_posts_tells_what_is_taken_together(tmp_path: Path) -> None:
    rng, n_users, n_posts = np.random.default_rng(3), 60, 40
    rows = []
    for user in range(n_users):  # even users choose even posts, odd ones odd; the last four only retired ones
        for k, post in enumerate(rng.choice(n_posts // 2, 12, replace=False) * 2 + user % 2):
            if user < n_users - 4 or post < n_posts // 2:
                rows.append((NOW_S - DAY_S * 12 + k * DAY_S + 60 * user, user, int(post)))
    time, users, posts = (pa.array(column) for column in zip(*rows, strict=True))
    feed = pa.table({"timestamp": time.cast(pa.timestamp("s")), "user_id": users, "post_id": posts})
    left = pa.table({"post_id": range(n_posts // 2, n_posts)})

    facts = read_default(tmp_path, {"feed_data": feed, "post_text_df": left})
    found = fit_components(facts, asof.describe(facts, 1).texts, facts.as_of_s, 1, None)

    assert facts.shown == "choices"
    assert facts.retired is not None
    assert len(facts.posts) == facts.retired.n_posts == n_posts // 2
    assert len(facts.time) + len(facts.retired.time) == len(rows)
    assert facts.report.rejected == {"unknown_post": len(facts.retired.time)}
    together = NAMES.index("liked_together")
    scores = found.x[together][-4:] @ found.y[together].T
    alike = (np.arange(n_users - 4, n_users)[:, None] + np.arange(n_posts // 2)) % 2 == 0
    assert len(found.y[together]) == n_posts // 2
    assert scores[alike].mean() > 5 * abs(scores[~alike].mean()) > 0
    before = facts.until(facts.as_of_s - 3 * DAY_S).retired
    assert before is not None
    assert before.time.max() <= facts.as_of_s - 3 * DAY_S


def test_a_column_that_holds_no_posts_at_all_stops_the_run(tmp_path: Path) -> None:
    rows = rows_of([NOW_S - k for k in range(N)], list(range(N)))
    rows["post_text_df"] = pa.table({"post_id": [1000]})

    with pytest.raises(
        TooManyRejected, match=r"40 unknown_post \(post_text_df has no post 0: set .*UNKNOWN_POST_"
    ):
        read_default(tmp_path, rows)


def test_some_rows_of_the_future_are_counted_and_survived(tmp_path: Path) -> None:
    ahead = [NOW_S + (k + 1) * 30 * DAY_S if k % 3 == 0 else NOW_S - k for k in range(N)]

    facts = read_default(tmp_path, rows_of(ahead, list(range(N))))

    assert facts.time.max() <= NOW_S
    assert facts.report.rejected == {"future_time": 14}
    assert facts.report.times_hint == ""


def test_a_feed_of_the_future_alone_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TooManyRejected, match=r"40 future_time; see .* raise ALMANAC_MAX_FUTURE"):
        read_default(tmp_path, rows_of([NOW_S + 40 * DAY_S] * N, list(range(N))))


def test_local_times_are_no_events_of_the_future_but_unreadable(tmp_path: Path) -> None:
    local = [NOW_S + 3 * HOUR_S - k * 20 * 60 for k in range(N)]

    with pytest.raises(TooManyRejected) as refused:
        read_default(tmp_path, rows_of(local, list(range(N))))

    assert str(refused.value).startswith(
        "22.50% of 40 event rows were rejected, more than the 5.00% allowed: 9 future_time (the newest lies "
        "3 h ahead: if times are local, set [time] zone"
    )


def test_a_row_or_two_ahead_are_told_with_the_zone_that_would_explain_them(tmp_path: Path) -> None:
    facts = read_default(
        tmp_path, rows_of([NOW_S + 3 * HOUR_S, *(NOW_S - k for k in range(N - 1))], list(range(N)))
    )

    assert facts.report.rejected == {"future_time": 1}
    assert "3 h ahead" in facts.report.times_hint


def test_kinds_do_not_add_up_to_one_limit(tmp_path: Path) -> None:
    time = [NOW_S - k // 2 for k in range(N)]
    time[:4] = [NOW_S + DAY_S * 60] * 4
    rows = rows_of(time, [k // 2 for k in range(N)])
    rows["post_text_df"] = pa.table({"post_id": range(10, 20)})

    facts = read_default(tmp_path, rows)

    assert facts.report.rejected == {"future_time": 4, "unknown_post": 16, "duplicate_event": 10}
    np.testing.assert_array_equal(np.unique(facts.post), range(10))
