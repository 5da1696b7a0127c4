"""Seen posts and likes from facts: unions, earliest times, users in order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.data.columns import LIKE, VIEW
from batch.data.facts import Facts
from batch.data.kept import columns_of
from batch.data.mapped import MappedColumns, write_columns
from batch.data.seen import SeenTimes, earliest
from batch.jobs.refresh.digests import digest_inputs
from batch.learn.similar.likes import Likes

N_USERS, N_POSTS = 4, 5
Event = tuple[int, int, int, int, int]  # time, user, post, action, target

EVENTS = st.lists(
    st.tuples(
        st.integers(-5, 2**40),
        st.integers(0, N_USERS - 1),
        st.integers(0, N_POSTS - 1),
        st.sampled_from([VIEW, LIKE]),
        st.integers(0, 1),
    )
)


def facts(events: list[Event]) -> Facts:
    """Give the facts of some events, in the order that facts have."""
    columns = np.array(sorted(events), np.int64).reshape(-1, 5).T
    return Facts(
        users=pd.DataFrame({"user_id": np.arange(N_USERS) * 10}),
        posts=pd.DataFrame({"post_id": np.arange(N_POSTS), "topic": "", "text": ""}),
        embeddings=None,
        time=columns[0],
        user=columns[1].astype(np.int32),
        post=columns[2].astype(np.int32),
        action=columns[3].astype(np.int8),
        target=columns[4].astype(np.int8),
    )


def pairs(times: SeenTimes) -> dict[tuple[int, int], int]:
    """Return the earliest time by user and post."""
    users = times.user
    return dict(zip(zip(users.tolist(), times.post.tolist(), strict=True), times.time.tolist(), strict=True))


def by_hand(events: list[Event], liked_only: bool) -> dict[tuple[int, int], int]:
    """Return the same, one event after the other."""
    found: dict[tuple[int, int], int] = {}
    for time, user, post, action, target in sorted(events):
        if not liked_only or action == LIKE or target == 1:
            found.setdefault((user, post), time)
    return found


def test_a_like_without_an_impression_counts_as_seen() -> None:
    found = earliest(facts([(7, 1, 2, LIKE, 0)]), "views")

    assert pairs(found) == {(1, 2): 7}


def test_a_view_that_a_like_followed_counts_as_liked_at_its_own_time() -> None:
    events = [(5, 0, 3, VIEW, 0), (6, 0, 3, VIEW, 1), (7, 0, 3, LIKE, 0), (8, 0, 4, VIEW, 0)]

    assert pairs(earliest(facts(events), "likes")) == {(0, 3): 6}
    assert pairs(earliest(facts(events), "views")) == {(0, 3): 5, (0, 4): 8}


@given(EVENTS)
def test_every_pair_has_its_earliest_time(events: list[Event]) -> None:
    assert pairs(earliest(facts(events), "views")) == by_hand(events, liked_only=False)
    assert pairs(earliest(facts(events), "likes")) == by_hand(events, liked_only=True)


@given(EVENTS)
def test_rows_are_compressed_in_order_of_users_and_posts(events: list[Event]) -> None:
    found = earliest(facts(events), "views")

    width = 64 if any(time >= 2**31 for time, *_ in events) else 32
    kinds = [str(column.dtype) for column in (found.start, found.post, found.time)]
    assert kinds == ["int64", "int32", f"int{width}"]
    assert found.n_users == N_USERS
    assert found.start[-1] == len(found.post) == len(found.time)
    for user in range(N_USERS):
        assert np.all(np.diff(found.post[found.start[user] : found.start[user + 1]]) > 0)


def test_times_too_far_apart_for_one_number_with_user_and_post_are_sorted_all_the_same() -> None:
    events = [(0, 3, 4, VIEW, 0), (2**62, 0, 4, VIEW, 1), (2**62, 3, 1, LIKE, 0), (2**62, 3, 4, VIEW, 1)]

    assert pairs(earliest(facts(events), "views")) == by_hand(events, liked_only=False)
    assert pairs(earliest(facts(events), "likes")) == by_hand(events, liked_only=True)
    assert earliest(facts(events), "views").post.tolist() == [4, 1, 4]


class Counting(MappedColumns):
    """Events in a file, whose releases are counted."""

    n_released = 0

    def release(self) -> None:
        """Count, and release."""
        Counting.n_released += 1
        super().release()


def test_events_in_a_file_are_released_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.data.facts.EVENTS_AT_ONCE", 5)
    events: list[Event] = [(time, time % N_USERS, time % N_POSTS, VIEW, time % 2) for time in range(24)]
    in_memory = facts(events)
    write_columns(tmp_path / "events", columns_of(in_memory))
    mapped = Counting(tmp_path / "events")

    columns: dict[str, Any] = mapped.columns  # by their names

    found = earliest(replace(in_memory, **columns, mapped=mapped), "views")

    assert Counting.n_released >= 4
    assert pairs(found) == by_hand(events, liked_only=False)


def test_likes_and_digests_of_events_in_a_file_are_those_of_events_in_memory_and_release_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = facts([(time, time % N_USERS, time % N_POSTS, VIEW, time % 2) for time in range(24)])
    place = np.arange(N_POSTS)[::-1]
    likes, digests = Likes.of(in_memory, place), digest_inputs(in_memory)
    write_columns(tmp_path / "events", columns_of(in_memory))
    mapped = Counting(tmp_path / "events")
    columns: dict[str, Any] = mapped.columns
    in_file = replace(in_memory, **columns, mapped=mapped)
    monkeypatch.setattr("batch.data.facts.EVENTS_AT_ONCE", 5)

    before = Counting.n_released
    found = Likes.of(in_file, place)
    assert Counting.n_released - before == 5
    assert len(found.user)
    for name in ("user", "post", "time"):
        assert np.array_equal(getattr(found, name), getattr(likes, name))
    assert np.array_equal(digest_inputs(in_file).users, digests.users)
    assert Counting.n_released - before == 10


def test_no_events_are_no_pairs() -> None:
    assert pairs(earliest(facts([]), "views")) == {}


def test_facts_cut_at_a_time_give_what_was_seen_by_then() -> None:
    events = [(5, 0, 1, VIEW, 0), (6, 0, 2, VIEW, 0)]

    assert pairs(earliest(facts(events).until(5), "views")) == {(0, 1): 5}


def test_the_facts_are_left_as_they_were() -> None:
    before = facts([(5, 0, 2, VIEW, 0), (6, 0, 1, VIEW, 0)])
    earliest(before, "views")

    assert before.post.tolist() == [2, 1]
    assert before.time.tolist() == [5, 6]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="what='clicks'"):
        earliest(facts([]), "clicks")  # type: ignore[arg-type]
