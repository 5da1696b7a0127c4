"""One row a user out of exposures and acts: everything that is counted, by hand and by a plain loop."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from batch.data.kinds import KINDS
from batch.data.live.database import open_events
from batch.data.live.layout import EVENTS
from batch.data.mapping import Mapping
from batch.experiments.acts import FIRST, Acts, Exposures, Span, tabulate
from batch.experiments.people import NO_POST, People
from batch.experiments.read_acts import read_acts

SPAN = Span(1_000, 2_000)
SHOP = ("view", "cart", "purchase")

Answer = tuple[int, int, int, Sequence[int]]  # user, arm, time, posts
Act = tuple[int, int, int, str]  # user, post, time, kind


def exposures_of(answers: Sequence[Answer], n_users: int) -> Exposures:
    """Hold answers in columns."""
    posts = np.full((len(answers), FIRST), NO_POST)
    for row, answer in enumerate(answers):
        posts[row, : len(answer[3])] = answer[3][:FIRST]
    user, arm, time = (np.array([answer[place] for answer in answers], np.int64) for place in range(3))
    ids = [f"u{row}" for row in range(n_users)]
    return Exposures(ids, ["a", "b"], user.astype(np.int32), arm.astype(np.int8), time, posts)


def acts_of(acts: Sequence[Act]) -> Acts:
    """Hold acts in columns."""
    user, post, time = (np.array([act[place] for act in acts], np.int64) for place in range(3))
    kind = np.array([KINDS.index(act[3]) for act in acts], np.int8)
    return Acts(user.astype(np.int32), post, time, kind)


def test_acts_count_from_the_first_answer_to_the_end_and_before_the_start() -> None:
    answers: list[Answer] = [(0, 0, 1_100, [7]), (0, 0, 1_050, [7]), (1, 1, 1_000, [8]), (2, 1, 2_000, [9])]
    acts: list[Act] = [
        (0, 7, 1_049, "view"),
        (0, 7, 1_050, "view"),
        (0, 7, 1_999, "like"),
        (0, 7, 2_000, "like"),
        (1, 8, 0, "like"),
        (1, 8, 999, "like"),
        (1, 8, -1, "like"),
        (1, 8, 1_000, "view"),
    ]

    table, n_mixed = tabulate(exposures_of(answers, 3), acts_of(acts), ("view", "like"), SPAN, 86_400)

    assert n_mixed == 0
    names = ["user_id", "arm", "views", "likes", "pre_likes", "answers", "hits_5"]
    assert table.column_names == names
    assert [list(row.values()) for row in table.to_pylist()] == [
        ["u0", "a", 1, 1, 0, 2, 2],
        ["u1", "b", 1, 0, 2, 1, 0],
    ]


def test_a_user_in_two_arms_is_left_out_and_counted() -> None:
    answers: list[Answer] = [(0, 0, 1_100, [7]), (0, 1, 1_200, [7]), (1, 1, 1_000, [8]), (2, 0, 900, [8])]

    table, n_mixed = tabulate(
        exposures_of([*answers, (2, 1, 1_000, [8])], 3), acts_of([]), ("view",), SPAN, 1
    )

    assert (table["user_id"].to_pylist(), n_mixed) == (["u1", "u2"], 1)


def test_a_hit_is_one_of_the_first_five_posts_soon_after_and_each_kind_for_itself() -> None:
    answers: list[Answer] = [(user, 0, 1_100, [1, 2, 3, 4, 5, 6]) for user in range(5)]
    acts: list[Act] = [
        (0, 5, 1_200, "cart"),
        (0, 5, 1_200, "purchase"),
        (1, 6, 1_150, "cart"),
        (2, 1, 1_201, "cart"),
        (3, 1, 1_100, "purchase"),
        (4, 1, 1_150, "view"),
    ]

    table, _ = tabulate(exposures_of(answers, 5), acts_of(acts), SHOP, SPAN, within_s=100)

    assert table["hits_5"].to_pylist() == [1, 0, 0, 1, 0]
    assert table["hits_5_cart"].to_pylist() == [1, 0, 0, 0, 0]
    assert table["hits_5_purchase"].to_pylist() == [1, 0, 0, 1, 0]


ANSWERS = st.tuples(
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(95, 125),
    st.lists(st.integers(0, 5), max_size=7, unique=True),
)
ACTS = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(75, 125), st.sampled_from(SHOP))


@given(st.lists(ANSWERS, max_size=12), st.lists(ACTS, max_size=20, unique=True), st.integers(0, 9))
def test_it_counts_what_a_plain_loop_counts(answers: list[Answer], acts: list[Act], within_s: int) -> None:
    start, end = 100, 120
    table, n_mixed = tabulate(exposures_of(answers, 4), acts_of(acts), SHOP, Span(start, end), within_s)

    asked = [answer for answer in answers if start <= answer[2] < end]
    wanted = []
    for user in sorted({answer[0] for answer in asked}):
        own = [answer for answer in asked if answer[0] == user]
        if len({arm for _, arm, _, _ in own}) > 1:
            continue
        first = min(time for _, _, time, _ in own)
        did = [act for act in acts if act[0] == user and first <= act[2] < end]
        before = [act for act in acts if act[0] == user and 80 <= act[2] < start]
        hits = {
            kind: sum(
                any(a[1] in posts[:5] and time <= a[2] <= time + within_s and a[3] in kinds for a in did)
                for _, _, time, posts in own
            )
            for kind, kinds in {"": SHOP[1:], "_cart": ["cart"], "_purchase": ["purchase"]}.items()
        }
        wanted.append(
            {
                "user_id": f"u{user}",
                "arm": "ab"[own[0][1]],
                **{f"{kind}s": sum(act[3] == kind for act in did) for kind in SHOP},
                **{f"pre_{kind}s": sum(act[3] == kind for act in before) for kind in SHOP},
                "answers": len(own),
                **{f"hits_5{kind}": n for kind, n in hits.items()},
            }
        )
    idle = [f"pre_{kind}s" for kind in SHOP if not any(row[f"pre_{kind}s"] for row in wanted)]
    assert table.to_pylist() == [{name: row[name] for name in row if name not in idle} for row in wanted]
    assert n_mixed == len({answer[0] for answer in asked}) - len(wanted)


def people_of(*users: str) -> People:
    """Return these users alone, whose ids are numbers."""
    people = People("numbers", "numbers")
    people.rows(pa.array(users))
    people.close()
    return people


def names_of(acts: Acts) -> list[Act]:
    """Return acts as rows, in order."""
    columns = (acts.user, acts.post, acts.time, [KINDS[kind] for kind in acts.kind])
    return sorted(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def write_live(url: str, *events: tuple[str, str, str, int]) -> None:
    """Put events into an events' database, given as (user, post, kind, time)."""
    rows = [
        {"event_id": f"e{place}", "user_id": user, "post_id": post, "action": "like", "kind": kind}
        | {"transaction_id": "", "occurred_at_s": time, "accepted_at_s": time}
        for place, (user, post, kind, time) in enumerate(events)
    ]
    with open_events(url, 10.0) as (engine, _), engine.begin() as connection:
        connection.execute(sa.insert(EVENTS), rows)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Give an empty events' database."""
    return f"sqlite:///{tmp_path}/events.db"


def test_acts_come_from_the_feed_and_live_once_and_of_these_people_alone(tmp_path: Path, url: str) -> None:
    at_s = [1_700_000_000 + n for n in range(5)]
    feed = {"time": at_s, "visitor": [7, 7, 8, 7, 9], "item": [1, 1, 1, 2, 2]}
    event = ["view", "AddToCart", "view", "other", "buy"]
    (tmp_path / "facts").mkdir()
    pq.write_table(pa.table({**feed, "event": event}), tmp_path / "facts" / "feed_data.parquet")
    mapping = Mapping.from_toml(
        {
            "columns": {
                "feed_data": {"timestamp": "time", "user_id": "visitor", "post_id": "item", "action": "event"}
            },
            "events": {"view": ["view"], "like": ["addtocart", "buy"]},
        }
    )
    write_live(
        url,
        ("007", "1", "addtocart", at_s[1]),
        ("9", "3", "transaction", at_s[4]),
        ("1", "1", "view", at_s[4]),
    )

    acts, kinds = read_acts(
        str(tmp_path / "facts"), url, mapping, people_of("7", "9"), at_s[1], 10.0, lambda _: None
    )

    assert names_of(acts) == [
        (0, 1, at_s[1], "cart"),
        (1, 2, at_s[4], "like"),
        (1, 3, at_s[4], "purchase"),
    ]
    assert kinds == ["view", "like", "cart", "purchase"]


def test_where_targets_say_what_is_liked_a_liked_view_is_a_like_too(tmp_path: Path, url: str) -> None:
    (tmp_path / "facts").mkdir()
    rated = {"timestamp": [1_700_000_000] * 2, "user_id": [7, 7], "post_id": [1, 2], "stars": [5, 2]}
    pq.write_table(pa.table(rated), tmp_path / "facts" / "feed_data.parquet")
    mapping = Mapping.from_toml({"events": {"like": {"column": "stars", "at_least": 4}}})

    acts, kinds = read_acts(str(tmp_path / "facts"), url, mapping, people_of("7"), 0, 10.0, lambda _: None)

    at_s = 1_700_000_000
    assert names_of(acts) == [(0, 1, at_s, "like"), (0, 1, at_s, "view"), (0, 2, at_s, "view")]
    assert kinds == ["view", "like"]
