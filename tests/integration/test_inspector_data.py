"""The inspector's page about the data: read from what a run kept, whatever its texts hold."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch.inspector.render import STATIC
from batch.runs.runs import Runs
from tests.facts import even_likes_even
from tests.inspecting import Inspected, inspecting
from tests.overviews import hostile_facts, keep_run

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}{0}"

pytestmark = pytest.mark.integration


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspected]:
    """Give the inspector, signed in; the page needs no store, and there is none."""
    with inspecting("redis://127.0.0.1:1/0", tmp_path) as opened:
        yield opened.enter()


def test_the_page_shows_the_newest_runs_data_and_an_older_ones_where_asked(
    inspector: Inspected, tmp_path: Path
) -> None:
    first = keep_run(tmp_path, even_likes_even(n_users=6))
    last = keep_run(tmp_path, even_likes_even(n_users=8))
    runs = Runs(tmp_path)
    runs.end(runs.begin("refresh", "default"), "done")

    newest, older = inspector.read("/data"), inspector.read("/data", run=first)

    assert (newest["run"]["number"], newest["runs"]) == (last, [last, first])
    assert (newest["data"]["totals"]["users"], older["data"]["totals"]["users"]) == (8, 6)
    shown = inspector.text("/data")
    for said in (
        "Like rate by hour",
        "Like rate by topic",
        "Views a session",
        "Most liked",
        "Missing values",
    ):
        assert said in shown
    assert shown.count("gender=0") == 1
    assert "Every row was accepted" in shown


def test_without_a_run_or_with_one_that_counted_nothing_the_page_says_so(
    inspector: Inspected, tmp_path: Path
) -> None:
    assert inspector.read("/data") == {"data": None, "run": None, "runs": [], "is_on": False}
    assert "No full run has read facts" in inspector.text("/data")
    runs = Runs(tmp_path)
    number = runs.begin("full", "default")
    assert "look again" in inspector.text("/data")
    assert "counted nothing" in inspector.read("/data", 404, run=number)["error"]
    assert "there is no run 9" in inspector.read("/data", 404, run=9)["error"]
    assert "run='x'" in inspector.read("/data", 422, run="x")["error"]
    runs.overview_of(number).write_text('{"version": 0}')
    assert "another version" in inspector.read("/data", 422)["error"]
    runs.end(number, "done")


def test_whatever_texts_hold_the_page_is_whole_and_light(inspector: Inspected, tmp_path: Path) -> None:
    samples = {"bad_target": [{"table": "feed_data", "row": {"user_id": HOSTILE, "target": HOSTILE}}]}
    keep_run(tmp_path, hostile_facts(HOSTILE), samples)

    shown = inspector.text("/data")

    assert HOSTILE not in shown
    assert "<img" not in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "{{ 7 * 7 }}{0}" in shown
    statics = sum(len(content) for content, _ in STATIC.values())
    assert len(shown.encode()) + statics <= 100_000


def test_where_every_view_is_a_choice_no_rate_is_shown(inspector: Inspected, tmp_path: Path) -> None:
    facts = even_likes_even(n_users=6)
    facts.target[facts.views] = 1
    keep_run(tmp_path, replace(facts, shown="choices"))

    shown = inspector.text("/data")

    assert "Like rate" not in shown
    assert "Views by hour" in shown
    assert "a view is a yes" in shown
