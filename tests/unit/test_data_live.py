"""Live events among the facts of a run: as if all had come from one place."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batch.data.columns import LIKE, VIEW
from batch.data.cut import as_they_stood
from batch.data.facts import EVENT_COLUMNS, Facts
from batch.data.ids import IdNames, as_texts, encode_ids
from batch.data.live.events import LiveEvents
from batch.data.live.unite import unite
from batch.data.retired import Retired
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

Row = tuple[int, int, int, int, int]


def live_of(*events: tuple[int | str, int | str, int, int]) -> LiveEvents:
    """Hold live events, given as (user id, post id, time, action)."""
    users, posts = ([str(event[place]) for event in events] for place in (0, 1))
    time, action = (np.array([event[place] for event in events], np.int64) for place in (2, 3))
    return LiveEvents(as_texts(users), as_texts(posts), time, action.astype(np.int8), time)


def rows(facts: Facts) -> list[Row]:
    """Return (user id, post id, time, action, target) of every event."""
    columns = (
        facts.user_ids[facts.user],
        facts.post_ids[facts.post],
        facts.time,
        facts.action,
        facts.target,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_without_live_events_the_facts_are_the_very_same() -> None:
    facts = even_likes_even()

    assert unite(facts, live_of(), DAY_S).facts is facts


def test_a_live_event_stands_at_its_time_and_moves_as_of() -> None:
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 0), (1, 1, BEGIN_S + 9, VIEW, 0)], n_users=2, n_posts=3)

    united = unite(facts, live_of((2, 3, BEGIN_S + 20, VIEW), (1, 2, BEGIN_S + 5, VIEW)), DAY_S)

    assert rows(united.facts) == [
        (1, 1, BEGIN_S, VIEW, 0),
        (1, 2, BEGIN_S + 5, VIEW, 0),
        (2, 2, BEGIN_S + 9, VIEW, 0),
        (2, 3, BEGIN_S + 20, VIEW, 0),
    ]
    assert united.facts.as_of_s == BEGIN_S + 20
    assert (united.n_new, united.n_unknown) == (2, 0)


def test_an_event_that_the_facts_have_counts_once() -> None:
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 1)], n_users=1, n_posts=1)

    united = unite(facts, live_of((1, 1, BEGIN_S, VIEW), (1, 1, BEGIN_S, VIEW)), DAY_S)

    assert rows(united.facts) == [(1, 1, BEGIN_S, VIEW, 1)]
    assert united.n_new == 0


def test_a_view_is_liked_when_a_live_like_follows_in_time_and_no_other_target_changes() -> None:
    facts = facts_of(
        [(0, 0, BEGIN_S, VIEW, 0), (0, 1, BEGIN_S, VIEW, 0), (0, 1, BEGIN_S + 5, LIKE, 0)],
        n_users=1,
        n_posts=3,
    )

    united = unite(facts, live_of((1, 1, BEGIN_S + 3, LIKE), (1, 3, BEGIN_S, VIEW)), like_within_s=3)

    targets = {post: target for _, post, _, action, target in rows(united.facts) if action == VIEW}
    assert targets == {1: 1, 2: 0, 3: 0}


def test_a_user_whom_the_facts_do_not_know_has_no_profile_and_nobody_else_changes() -> None:
    facts = even_likes_even(n_users=6)
    facts.users["city"] = pd.Series([f"city {n}" for n in range(6)], dtype=object)
    facts.users["os"] = pd.Series(["iOS"] * 6, dtype="str")  # as a world's tables bring it
    before = rows(facts)

    united = unite(facts, live_of((-5, 1, facts.as_of_s, VIEW), (99, 2, BEGIN_S, LIKE)), DAY_S).facts

    assert united.user_names.as_json(united.user_ids) == [1, 2, 3, 4, 5, 6, 99, -5]
    assert united.users["gender"].isna().tolist() == [False] * 6 + [True] * 2
    assert united.users["city"].tolist()[-2:] == [None, None]
    assert [row for row in rows(united) if row[0] <= 6] == before


def test_an_event_of_an_unknown_post_is_left_out_and_counted() -> None:
    facts = even_likes_even()

    united = unite(facts, live_of((1, 4000, BEGIN_S, VIEW)), DAY_S)

    assert united.facts is facts
    assert (united.n_new, united.n_unknown) == (0, 1)


UPPER = "6F9619FF-8B86-D011-B42D-00C04FC964FF"


def test_ids_that_are_texts_are_compared_in_one_form_and_keep_the_facts_spelling() -> None:
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 0)], n_users=2, n_posts=2)
    users, posts = IdNames.of("text", ["007", UPPER]), IdNames.of("text", ["a b", "7"])
    facts = replace(
        facts,
        users=facts.users.assign(user_id=users.codes),
        posts=facts.posts.assign(post_id=np.sort(encode_ids(["a b", "7"]))),
        user_names=users,
        post_names=posts,
    )

    united = unite(
        facts,
        live_of(
            (UPPER.lower(), "7", BEGIN_S + 1, VIEW),
            ("7", "a b", BEGIN_S + 2, VIEW),
            ("new {1}", "a b", BEGIN_S + 3, LIKE),
            ("new {1}", "A b", BEGIN_S + 4, LIKE),
        ),
        DAY_S,
    )

    found, names = united.facts, united.facts.user_names
    assert (united.n_new, united.n_unknown) == (3, 1)
    assert names.spelled(found.user_ids[found.user[1:]]) == [UPPER, "7", "new {1}"]
    assert found.post_names.spelled(found.post_ids[found.post[1:]]) == ["7", "a b", "a b"]


def test_no_client_can_stop_a_run_by_ids_of_one_code() -> None:
    number = str(int(encode_ids(["who"])[0]))
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 0)], n_users=2, n_posts=2)

    united = unite(facts, live_of(("who", 1, BEGIN_S, VIEW), (number, 2, BEGIN_S + 1, VIEW)), DAY_S)

    assert (united.n_new, united.n_unknown) == (1, 1)
    assert united.facts.user_names.as_json(united.facts.user_ids) == [1, 2, "who"]


@pytest.mark.parametrize("seed", range(5))
def test_uniting_a_part_gives_what_was_there_before_the_part_was_taken_away(seed: int) -> None:
    whole = even_likes_even(seed=seed)
    taken = np.random.default_rng(seed).random(len(whole.time)) < 0.1
    rest = whole.select(~taken)
    user, post = whole.user_ids[whole.user[taken]], whole.post_ids[whole.post[taken]]

    live = live_of(*zip(user, post, whole.time[taken], whole.action[taken], strict=True))
    united = unite(rest, live, like_within_s=20).facts

    assert rows(united) == rows(whole)
    assert {name: getattr(united, name).dtype for name in EVENT_COLUMNS} == {
        name: getattr(whole, name).dtype for name in EVENT_COLUMNS
    }


def test_a_view_older_than_all_live_events_is_liked_by_one_of_them() -> None:
    facts = facts_of([(0, 0, BEGIN_S, VIEW, 0), (0, 1, BEGIN_S, VIEW, 0)], n_users=1, n_posts=2)

    united = unite(facts, live_of((1, 1, BEGIN_S + 9, LIKE)), like_within_s=9).facts

    assert rows(united) == [
        (1, 1, BEGIN_S, VIEW, 1),
        (1, 2, BEGIN_S, VIEW, 0),
        (1, 1, BEGIN_S + 9, LIKE, 0),
    ]


def test_among_choices_that_are_the_yes_a_live_one_is_a_yes_and_a_live_like_was_a_choice() -> None:
    chosen = facts_of([(0, 0, BEGIN_S, VIEW, 1), (1, 1, BEGIN_S, VIEW, 1)], n_users=2, n_posts=3)
    facts = replace(chosen, shown="choices", weight=np.array([0.5, 2.0], np.float32))

    united = unite(facts, live_of((1, 3, BEGIN_S + 5, VIEW), (2, 1, BEGIN_S + 9, LIKE)), DAY_S).facts

    assert rows(united)[2:] == [
        (1, 3, BEGIN_S + 5, VIEW, 1),
        (2, 1, BEGIN_S + 9, VIEW, 1),
        (2, 1, BEGIN_S + 9, LIKE, 0),
    ]
    assert united.weight is not None
    assert united.weight.tolist() == [0.5, 2.0, 0.5, 0.0, 1.0]


def test_what_was_chosen_of_retired_posts_stays_its_user_s() -> None:
    chosen = facts_of([(0, 0, BEGIN_S, VIEW, 1), (1, 1, BEGIN_S + 9, VIEW, 1)], n_users=3, n_posts=2)
    users = chosen.users[["user_id"]].assign(user_id=[3, 5, 7])
    rows_of_users, number = np.array([1, 2, 2], np.int32), np.array([0, 0, 1], np.int32)
    retired = Retired(rows_of_users, number, BEGIN_S + np.arange(3), None, n_posts=2)
    facts = replace(chosen, users=users, shown="choices", retired=retired)

    united = unite(facts, live_of((4, 1, BEGIN_S + 5, VIEW)), DAY_S).facts
    stood = as_they_stood(facts, BEGIN_S + 1, DAY_S)

    assert united.retired is not None
    assert united.user_ids[united.retired.user].tolist() == [5, 7, 7]
    assert united.retired.taken(4).toarray().tolist() == [[0, 0], [0, 0], [1, 0], [1, 1]]
    assert stood.retired is not None
    assert stood.user_ids[stood.retired.user].tolist() == [5, 7]
    assert stood.retired.time.tolist() == [BEGIN_S, BEGIN_S + 1]
