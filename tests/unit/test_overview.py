"""What facts hold, counted: made facts whose answers are known, and the law that all breakdowns agree."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.spread import describe_spread, find_largest
from batch.data.validation.rejects import Limits
from batch.jobs.overview import keep_overview
from batch.learn.sessions import positions
from batch.overview.counts import COUNTED, count_events
from batch.overview.kept import (
    forget_in_overviews,
    read_overview,
    read_samples,
    read_views,
    write_overview,
    write_post_counts,
)
from batch.progress import SILENT
from batch.runs.recorded import Record, recorded
from batch.runs.runs import Runs
from batch.settings import Settings
from tests.facts import BEGIN_S, DAY_S, facts_of, with_texts
from tests.overviews import overview_of

HOUR_S = 3600
BREAKDOWNS = ("by_day", "by_week", "by_month", "by_hour", "by_weekday", "by_topic", "by_segment")


def rates(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the like rate of each row that has views."""
    return {row["name"]: row["liked"] / row["views"] for row in rows if row["views"]}


def week() -> Facts:
    """Make a Friday and the Monday after: user 0 likes at 9:00 and of sport alone, user 1 never."""
    monday, events = BEGIN_S + 3 * DAY_S, []
    for post in range(6):
        at = BEGIN_S + 9 * HOUR_S + 60 * post
        events += [(0, post, at, 0, int(post % 3 == 0)), (1, post, at + HOUR_S, 0, 0)]
        events += [(0, post, at + 5, 1, 0)] * (post % 3 == 0)
        events.append((0, post, monday + 20 * HOUR_S + 60 * post, 0, 0))
    return facts_of(events, n_users=3, n_posts=7)


def test_rows_by_day_hour_weekday_topic_and_segment_are_those_of_the_world() -> None:
    found = overview_of(week())

    days = [(row["from"], row["views"], row["likes"], row["liked"]) for row in found["by_day"]]
    assert days == [
        ("2021-10-01", 12, 2, 2),
        ("2021-10-02", 0, 0, 0),
        ("2021-10-03", 0, 0, 0),
        ("2021-10-04", 6, 0, 0),
    ]
    assert [(row["from"], row["views"]) for row in found["by_week"]] == [
        ("2021-09-27", 12),
        ("2021-10-04", 6),
    ]
    assert [(row["from"], row["views"]) for row in found["by_month"]] == [("2021-10-01", 18)]
    assert rates(found["by_hour"]) == {"09:00": 1 / 3, "10:00": 0.0, "20:00": 0.0}
    assert rates(found["by_weekday"]) == {"Friday": 1 / 6, "Monday": 0.0}
    assert rates(found["by_topic"]) == {"sport": 1 / 3, "tech": 0.0, "movie": 0.0}
    assert rates(found["by_segment"]) == {"gender=0": 1 / 6, "gender=1": 0.0}
    assert [(row["name"], row["n"]) for row in found["by_segment"]] == [("gender=0", 2), ("gender=1", 1)]
    totals = found["totals"]
    assert (totals["users"], totals["users_with_views"], totals["posts_with_views"]) == (3, 2, 6)


def test_hours_and_days_are_those_of_the_clocks_of_the_zone() -> None:
    found = overview_of(replace(week(), zone="Asia/Kathmandu"))  # 5:45 ahead

    assert [row["name"] for row in found["by_hour"] if row["views"]] == ["01:00", "14:00", "15:00"]
    assert [row["from"] for row in found["by_day"] if row["views"]] == ["2021-10-01", "2021-10-05"]


def test_a_session_ends_with_a_pause_and_is_long_from_its_first_view_to_its_last() -> None:
    sessions = overview_of(week())["sessions"]

    assert (sessions["posts"]["n"], sessions["posts"]["p50"], sessions["posts"]["max"]) == (3, 6, 6)
    assert (sessions["minutes"]["p50"], sessions["minutes"]["mean"]) == (5, 5.0)


def test_missing_values_are_told_by_share_and_by_the_sources_own_names() -> None:
    facts = week()
    facts.users["gender"] = [0.0, np.nan, np.nan]
    facts.posts.loc[:4, "text"] = None
    vectors = np.ones((7, 2), np.float32)
    vectors[0] = np.nan
    mapping = Mapping(columns={"user_data": {"gender": "sex"}, "post_text_df": {"text": "title"}})

    found = overview_of(replace(facts, embeddings=vectors), mapping)

    assert found["missing"]["users"] == [{"name": "sex", "share": pytest.approx(2 / 3, abs=1e-6)}]
    posts = {row["name"]: row["share"] for row in found["missing"]["posts"]}
    assert posts == pytest.approx({"title": 5 / 7, "topic": 0, "post_embeddings": 1 / 7}, abs=1e-6)
    assert found["columns"] == {"text": "title", "topic": "topic"}
    found = overview_of(facts, Mapping(properties={"text": "name"}))  # told in rows of properties
    assert {row["name"]: row["share"] for row in found["missing"]["posts"]}["name"] == posts["title"]
    assert found["columns"] == {"text": "name", "topic": ""}


def test_who_likes_far_more_than_others_is_named_and_posts_are_ranked_side_by_side() -> None:
    events = [(user, 0, BEGIN_S + user, 0, 0) for user in range(40)]
    events += [(user, 1, BEGIN_S + 100 + k, 1, 0) for user in range(40) for k in range(1 + user % 2)]
    events += [(7, 2, BEGIN_S + 900 + k, 1, 0) for k in range(30)]

    found = overview_of(with_texts(facts_of(events, 41, 3)))

    likes = found["users"]["likes"]
    assert (likes["n"], likes["n_zero"], likes["max"], likes["n_far"]) == (41, 1, 32, 1)
    assert [row["n"] for row in likes["far"]] == [32]
    assert isinstance(likes["far"][0]["id"], str)
    assert [(row["text"].split()[1], row["n"]) for row in found["top"]["views"]] == [("word0", 40)]
    assert [(row["text"].split()[1], row["n"]) for row in found["top"]["likes"]] == [
        ("word1", 60),
        ("word2", 30),
    ]
    assert [(kind["name"], kind["rows"], kind["users"], kind["also"]) for kind in found["kinds"]] == [
        ("view", 40, 40, 40),
        ("like", 90, 40, 40),
    ]


events = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 3),
        st.integers(0, 300 * DAY_S),
        st.sampled_from([(0, 0), (0, 1), (1, 0)]),
    ),
    max_size=60,
)


@given(events, st.sampled_from(["", "Europe/Berlin"]))
def test_every_breakdown_adds_up_to_the_same_totals(rows: list[Any], zone: str) -> None:
    facts = replace(facts_of([(u, p, BEGIN_S + t, *what) for u, p, t, what in rows], 5, 4), zone=zone)

    found = overview_of(facts)

    totals = {name: found["totals"][name] for name in COUNTED}
    assert totals["views"] + totals["likes"] == len(rows)
    for name in BREAKDOWNS:
        assert {one: sum(row[one] for row in found[name]) for one in COUNTED} == totals
    session, place = positions(facts.user[facts.views], facts.time[facts.views])
    assert found["sessions"]["posts"]["n"] == session.max(initial=-1) + 1
    assert found["sessions"]["posts"]["max"] == place.max(initial=-1) + 1
    assert (
        found["users"]["views"]["n"] - found["users"]["views"]["n_zero"]
        == found["totals"]["users_with_views"]
    )
    assert sum(row["n"] for row in found["top"].get("views", [])) == totals["views"]
    assert sum(kind["rows"] for kind in found["kinds"]) == len(rows)


@given(st.lists(st.integers(0, 3_000), max_size=80))
def test_a_spread_is_that_of_the_sorted_values(values: list[int]) -> None:
    found, there = describe_spread(np.array(values, np.int64)), sorted(value for value in values if value)

    assert (found["n"], found["n_zero"], found["max"]) == (
        len(values),
        len(values) - len(there),
        max(values, default=0),
    )
    assert sum(row["n"] for row in found["bins"]) == len(there)
    for row in found["bins"]:
        assert row["n"] == sum(row["from"] <= value <= row["to"] for value in there)
    if there:
        assert found["p50"] == np.quantile(there, 0.5, method="inverted_cdf")
        assert found["p99"] == np.quantile(there, 0.99, method="inverted_cdf")
    best = find_largest(np.array(values, np.int64), 5)
    assert (
        best.tolist()
        == sorted((k for k, value in enumerate(values) if value), key=lambda k: (-values[k], k))[:5]
    )


SHOP = """
timestamp,user_id,post_id,action
2021-12-29 10:00:00,1,7,look
2021-12-29 10:01:00,1,8,look
2021-12-29 10:02:00,2,7,look
2021-12-29 10:03:00,3,8,look
2021-12-29 10:04:00,1,7,basket
2021-12-29 10:05:00,1,8,basket
2021-12-29 10:06:00,2,7,basket
2021-12-29 10:07:00,1,8,bought
2021-12-29 10:08:00,4,8,bought
2021-12-29 10:09:00,4,x,bought
2021-12-29 10:10:00,4,8,scroll
"""


def shop(folder: Path) -> Facts:
    """Read a shop's log with three kinds of events."""
    (folder / "feed_data.csv").write_text(SHOP.strip() + "\n")
    (folder / "post_text_df.csv").write_text("post_id,topic,text\n7,tea,Green\n8,box,Tin\n")
    mapping = Mapping.from_toml(
        {"shown": "choices", "events": {"view": ["look"], "like": ["basket", "bought"]}}, ()
    )
    rejects = folder / "rejects.jsonl"
    return read(str(folder), mapping=mapping, rejects=rejects, limits=Limits(1, 1, 1, 1), now_s=2**33)


def test_a_shop_tells_how_looks_become_baskets_and_baskets_purchases(tmp_path: Path) -> None:
    found = overview_of(shop(tmp_path))

    told = [
        (kind["name"], kind["rows"], kind["users"], kind["posts"], kind["also"]) for kind in found["kinds"]
    ]
    assert told == [("look", 4, 3, 2, 3), ("basket", 3, 2, 2, 2), ("bought", 2, 2, 1, 1)]
    assert found["kinds"][1]["per_user"]["max"] == 2
    ranked = {name: [(row["text"], row["n"]) for row in rows] for name, rows in found["top"].items()}
    assert ranked["basket"] == [("Green", 2), ("Tin", 1)]
    assert ranked["bought"] == [("Tin", 2)]


def test_rejected_rows_are_told_by_reason_with_samples_and_long_values_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = [
        {"table": "feed_data", "reason": "bad_target", "row": {"user_id": k, "target": "y" * 500}}
        for k in range(9)
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, [*rows, {"more": 4}])) + b"\n")
    facts = week()
    facts.report.rejected.update(missing_user=1, bad_target=13)

    (first, second) = overview_of(facts, samples=read_samples(path))["rejects"]

    assert (first["reason"], first["rows"], len(first["samples"])) == ("bad_target", 13, 3)
    assert first["samples"][0]["row"]["user_id"] == 0
    assert len(first["samples"][0]["row"]["target"]) == 120
    assert (second["reason"], second["samples"]) == ("missing_user", [])


def test_a_forgotten_user_is_in_no_overview_any_more(tmp_path: Path) -> None:
    found = overview_of(week())
    found["users"]["likes"]["far"] = [{"id": 5, "n": 9}, {"id": 6, "n": 8}]
    row = {"table": "feed_data", "row": {"user_id": 5}}
    line = {"table": "feed_data", "row": {"line": "5;tea;9"}}
    found["rejects"] = [
        {"reason": "bad_target", "rows": 2, "samples": [row, line, {"table": "x", "row": {"user_id": 6}}]}
    ]
    write_overview(tmp_path / "3.json", found)
    (tmp_path / "3.log").write_text("not JSON")

    assert forget_in_overviews(tmp_path, lambda text: text == "5") == 1

    left = orjson.loads((tmp_path / "3.json").read_bytes())
    assert left["users"]["likes"]["far"] == [{"id": 6, "n": 8}]
    assert left["rejects"][0]["samples"] == [{"table": "x", "row": {"user_id": 6}}]
    assert forget_in_overviews(tmp_path, lambda text: text == "5") == 0


def test_counts_that_cannot_be_kept_are_told_and_never_end_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs, settings = Runs(tmp_path), Settings(state_dir=tmp_path)
    runs.overview_of(1).mkdir(parents=True)

    for _ in range(2):
        with recorded(runs, SILENT, "full", "default") as record:
            keep_overview(settings, week(), "facts", record)

    assert [said.getMessage() for said in caplog.records if said.levelname == "WARNING"] == [
        "overview.unkept"
    ]
    kept = read_overview(runs.overview_of(2))
    assert kept is not None
    assert (kept["run"], kept["totals"]["views"]) == (2, 18)
    assert read_views(runs.folder, ["1"]) == {"1": 3}
    keep_overview(settings, week(), "facts", Record(Runs(tmp_path / "other"), None))
    assert not (tmp_path / "other").exists()


def test_views_of_posts_are_found_by_their_ids_and_a_later_run_replaces_them(tmp_path: Path) -> None:
    facts = with_texts(week())
    write_post_counts(tmp_path, week(), count_events(week()))
    assert read_views(tmp_path, ["1", "7", "99"]) == {"1": 3, "7": 0}

    write_post_counts(tmp_path, facts, count_events(facts))

    ids = facts.post_names.canonical(facts.post_ids)
    assert sorted(read_views(tmp_path, ids).values()) == [0, 3, 3, 3, 3, 3, 3]
    assert read_views(tmp_path / "nowhere", ids) == {}
