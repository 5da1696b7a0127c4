"""Frames as libraries write them become the same rows, and rows on disk become lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.data.tables.location import SourceError
from batch.publish.foreign.shapes import FILL, find_shape, take_rows
from batch.publish.foreign.sort import sort_lists
from batch.publish.foreign.span import find_horizon
from batch.publish.foreign.spill import Spill, as_table, cut

WANTED = [(1, 10, 1), (1, 11, 2), (2, 11, 1), (2, 12, 2)]  # user, item, place
SCORES = [0.9, 0.8, 0.7, 0.6]
RECS = pa.list_(pa.struct([("item_id", pa.int64()), ("rating", pa.float32())]))


def table(**columns: Any) -> pa.RecordBatch:
    """Return columns as one batch."""
    return pa.RecordBatch.from_pydict(columns)


LONG = {"user": [1, 1, 2, 2], "item": [10, 11, 11, 12]}
FRAMES = {
    "RecTools": table(user_id=LONG["user"], item_id=LONG["item"], score=SCORES, rank=[1, 2, 1, 2]),
    "LensKit": table(item_id=LONG["item"], score=SCORES, rank=[1, 2, 1, 2], user_id=LONG["user"]),
    "LensKit before 2025": table(item=LONG["item"], score=SCORES, user=LONG["user"], rank=[1, 2, 1, 2]),
    "scores alone": table(userId=LONG["user"], itemId=LONG["item"], prediction=SCORES),
    "our own names": table(user_id=LONG["user"], post_id=LONG["item"], rank=[1, 2, 1, 2]),
    "Spark": pa.record_batch(
        [
            pa.array([1, 2]),
            pa.array(
                [
                    [{"item_id": 10, "rating": 0.9}, {"item_id": 11, "rating": 0.8}],
                    [{"item_id": 11, "rating": 0.7}, {"item_id": 12, "rating": 0.6}],
                ],
                RECS,
            ),
        ],
        names=["whoever", "recommendations"],
    ),
    "implicit": table(user_id=[1, 2], ids=[[10, 11], [11, 12]], scores=[SCORES[:2], SCORES[2:]]),
    "lists in their order": table(user_id=[1, 2], items=[[10, 11], [11, 12]]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_taken_as_its_library_writes_it(name: str) -> None:
    batch = FRAMES[name]

    rows = take_rows(batch, find_shape(batch.schema.names, name))

    best = np.lexsort((rows.order, rows.user.to_numpy()))
    found = list(zip(rows.user.take(best).to_pylist(), rows.post.take(best).to_pylist(), strict=True))
    assert found == [(user, item) for user, item, _ in WANTED]
    if find_shape(batch.schema.names, name).score or name == "Spark":
        assert rows.score[best] == pytest.approx(SCORES)


def test_a_structs_item_may_have_any_name() -> None:
    recs = pa.array([[{"isbn": "x", "rating": 0.5}]])

    rows = take_rows(pa.record_batch([pa.array(["ann"]), recs], names=["reader", "recommendations"]), SPARK)

    assert (rows.post.to_pylist(), rows.score.tolist()) == (["x"], [0.5])


SPARK = find_shape(["reader", "recommendations"], "a frame")


def test_places_that_implicit_had_no_item_for_are_left_out() -> None:
    batch = table(user_id=[1], ids=[[10, -1]], scores=[[0.5, FILL]])

    rows = take_rows(batch, find_shape(batch.schema.names, "a frame"))

    assert (rows.post.to_pylist(), rows.ragged) == ([10], 0)


def test_a_list_with_fewer_scores_than_items_is_ragged() -> None:
    batch = table(user_id=[1, 2, 3], ids=[[10, 11], [12], [13]], scores=[[0.5], [0.4], []])

    rows = take_rows(batch, find_shape(batch.schema.names, "a frame"))

    assert (rows.post.to_pylist(), rows.ragged, rows.ragged_user) == ([12], 2, "1")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "b"], "no column of a user"),
        (["user_id", "score"], "no column of a post"),
        (["user_id", "item_id"], "neither a rank nor a score"),
        ([], "it has nothing"),
    ],
)
def test_a_table_without_such_columns_is_refused_in_a_sentence(names: list[str], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        find_shape(names, "lists.csv")


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(-3, 5), st.integers(0, 1), st.floats(0, 1)), max_size=60
    ),
    st.integers(1, 4),
)
def test_lists_are_what_a_loop_makes_of_the_rows(rows: list[tuple[int, int, int, float]], depth: int) -> None:
    user, post, from_s, order = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    )
    columns = {"user": user, "post": post, "from_s": from_s, "order": order, "score": order}
    wanted: dict[tuple[int, int], list[int]] = {}
    for one in sorted(rows, key=lambda row: (row[0], row[2], row[3])):
        own = wanted.setdefault((one[0], one[2]), [])
        if one[1] >= 0 and one[1] not in own:
            own.append(one[1])

    found = sort_lists(
        as_table({n: np.array(c) for n, c in columns.items()}, len(rows)), 6, depth, ranked=False
    )

    got: dict[tuple[int, int], list[int]] = {key: [] for key in wanted}
    for row, place in zip(found.rows, found.place, strict=True):
        own = got[int(row["user"]), int(row["from_s"])]
        assert place == len(own)
        own.append(int(row["post"]))
    assert got == {key: posts[:depth] for key, posts in wanted.items()}
    assert found.size.tolist() == [len(wanted[key]) for key in sorted(wanted)]
    assert found.n_cut == sum(max(0, len(posts) - depth) for posts in wanted.values())
    assert found.unknown[0] == sum(post < 0 for _, post, _, _ in rows)


@pytest.mark.parametrize("ranks", [[0, 1, 2], [1, 3], [1, 1, 2], [2], [1.5]])
def test_ranks_that_do_not_count_from_one_are_found(ranks: list[float]) -> None:
    n = len(ranks)
    columns = {"user": np.zeros(n), "post": np.arange(n), "from_s": np.zeros(n), "order": np.array(ranks)}

    found = sort_lists(as_table({**columns, "score": np.zeros(n)}, n), n, 5, ranked=True)

    assert found.broken[0] == 1


def test_rows_cut_by_ranges_of_users_are_all_there_in_order(tmp_path: Path) -> None:
    rng, spill = np.random.default_rng(7), Spill(tmp_path / "rows")
    frames = []
    for _ in range(3):
        frame = pd.DataFrame({"user": rng.integers(0, 50, 400), "post": rng.integers(0, 9, 400)})
        frames.append(frame)
        n = len(frame)
        columns = {name: frame[name].to_numpy() for name in frame}
        spill.add(
            as_table({**columns, "from_s": np.zeros(n), "order": np.arange(n), "score": np.zeros(n)}, n)
        )
    users, posts = rng.permutation(50).astype(np.int32), np.arange(9, dtype=np.int32)

    parts = cut(spill, [20, 20, 50], users, posts)

    whole = pd.concat(frames)
    whole["user"] = users[whole["user"]]
    for part, (low, high) in zip(parts, [(0, 20), (20, 20), (20, 50)], strict=True):
        inside = whole[(whole["user"] >= low) & (whole["user"] < high)]
        found = part.read()
        assert found["user"].tolist() == inside["user"].tolist()
        assert found["post"].tolist() == inside["post"].tolist()


def test_the_horizon_is_what_the_begins_have_in_common() -> None:
    none = np.array([-(1 << 62)])

    assert find_horizon(none, 1000, 70, None, 24).starts == (1000,)
    assert find_horizon(np.array([50]), 1000, 70, None, 24).end_s == 120
    assert find_horizon(np.array([0, 600, 1500]), 0, 70, None, 24).starts == (0, 300, 600, 900, 1200, 1500)
    assert find_horizon(np.array([0, 600]), 0, 70, 1000, 24).end_s == 600 + 1200
    with pytest.raises(ValueError, match=r"1,501 buckets of 1 s, more than 24: round them"):
        find_horizon(np.array([0, 1, 1500]), 0, 70, None, 24)
