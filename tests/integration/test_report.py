"""`almanac report` after a run into the embedded store: a file that stands alone, whatever texts hold."""

import re
from collections import defaultdict
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from batch.inspector.report import list_metrics
from tests.runs import Commands

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></style>{{ 7 * 7 }}{0}"
MAPPING = '[columns.post_text_df]\ntext = "title"\ntopic = "genre"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def commands(folder: Path) -> Iterator[Commands]:
    """Give commands on an embedded store, and facts whose posts have hostile texts under other names."""
    env = {
        "ALMANAC_STATE_DIR": str(folder / "state"),
        "ALMANAC_DATABASE_URL": str(folder / "facts"),
        "ALMANAC_MAPPING": str(folder / "mapping.toml"),
    }
    (folder / "mapping.toml").write_text("")
    with Commands(folder, env) as found:
        assert found.run("simulate", "--users", "150", "--posts", "200")[0] == 0
        path = folder / "facts" / "post_text_df.parquet"
        posts = pd.read_parquet(path).rename(columns={"text": "title", "topic": "genre"})
        posts["title"] = [f"{HOSTILE} {post}" for post in posts["post_id"]]
        posts.to_parquet(path)
        (folder / "mapping.toml").write_text(MAPPING)
        yield found


def tags_of(page: str) -> dict[str, set[str]]:
    """Return the names of a page's elements, and of the attributes that each has."""
    found: dict[str, set[str]] = defaultdict(set)

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found[tag].update(name for name, _ in attrs)

    Tags().feed(page)
    return found


def report(commands: Commands, path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Write a report; return what the command said, and the file."""
    code, said, error = commands.run("report", "--out", str(path), *arguments)
    assert code == 0, error
    return said, path.read_text("utf-8")


def test_before_anything_has_run_the_command_says_so(commands: Commands, folder: Path) -> None:
    code, said, error = commands.run("report", "--out", str(folder / "none.html"))

    assert code == 2, error
    assert "nothing is served under variant 'default'" in said["error"]
    assert not (folder / "none.html").exists()


def test_the_report_holds_data_metrics_histories_and_lists_and_loads_nothing(
    commands: Commands, folder: Path
) -> None:
    assert commands.run("run")[0] == 0
    feed = pd.read_parquet(folder / "facts" / "feed_data.parquet")
    views = feed[feed["action"] == "view"]
    users = [str(user) for user in views["user_id"].value_counts().index[[0, 75]]]

    said, page = report(commands, folder / "new" / "report.html", "--users", f'"{users[0]}", {users[1]}')

    assert (said["users"], said["run"], said["generation"]) == (users, 1, 1)
    assert said["bytes"] == len(page.encode())
    assert not re.search(r"url\(|@import", page)
    assert {"style", "table", "svg"} <= tags_of(page).keys()
    assert not {"script", "img", "link", "a", "iframe"} & tags_of(page).keys()
    assert not {"src", "href", "style", "onerror"} & set().union(*tags_of(page).values())
    assert f"{len(views):,}" in page
    for line in ("this model", "popularity", "item kNN", "random"):
        (row,) = re.findall(rf'<th scope="row">(?:<b>)?{line}(?:</b>)?</th>(.*?)</tr>', page, re.DOTALL)
        assert len(re.findall(r"\[0\.\d{3}, 0\.\d{3}\]", row)) == (1 if line == "random" else 2)
    assert page.count("<h3>Seen last</h3>") == page.count("The list for") // 2 == 2
    for heading in ("title", "genre", "Views in the data"):
        assert page.count(f'<th scope="col">{heading}</th>') == 4
    shown = re.findall(
        r'<bdi class="id">(\d+)</bdi> <span dir="auto">.*?</td>.*?<td>([\d,]+)</td></tr>', page
    )
    assert len(shown) > 30  # who has seen nearly all posts has a short list
    counted = views["post_id"].value_counts()
    assert {post: int(n.replace(",", "")) for post, n in shown} == {
        post: int(counted.get(int(post), 0)) for post, _ in shown
    }


def test_hostile_texts_stay_texts(commands: Commands, folder: Path) -> None:
    _, page = report(commands, folder / "report.html")

    assert page.count("</style>") == 1
    assert page.count("&lt;script&gt;alert(1)") > 40
    assert HOSTILE[:40] in unescape(page)
    assert "{{ 7 * 7 }}" in page


def test_three_users_are_drawn_by_the_seed(commands: Commands, folder: Path) -> None:
    drawn = [report(commands, folder / "r.html", "--seed", seed)[0]["users"] for seed in ("1", "1", "2")]

    assert len({*drawn[0]}) == 3
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_user_nobody_knows_and_a_place_that_cannot_be_written_are_one_sentence(
    commands: Commands, folder: Path
) -> None:
    code, said, _ = commands.run("report", "--out", str(folder / "x.html"), "--users", "1,nobody")
    assert (code, "'nobody'" in said["error"] or "'1'" in said["error"]) == (2, True)
    code, said, _ = commands.run("report", "--out", str(folder))
    assert (code, f"cannot write {folder}" in said["error"]) == (2, True)
    assert not list(folder.parent.glob("*.part"))


def test_a_generation_that_nobody_measured_or_counted_says_what_would(
    commands: Commands, folder: Path
) -> None:
    assert commands.run("run", "--variant", "popular")[0] == 0
    for path in (folder / "state" / "runs").glob("*.json"):
        path.unlink()

    _, page = report(commands, folder / "r.html", "--variant", "popular")

    assert "Nothing was measured" in page
    assert "No full run of this version has counted" in page


def test_metrics_are_a_row_a_line_and_what_is_unknown_is_none() -> None:
    told = {
        "hitrate_at_5": 0.6,
        "hitrate_at_5_low": 0.5,
        "hitrate_at_5_high": 0.7,
        "hitrate_at_5_random5": 0.4,
    }
    told |= {"auc_in_session": float("nan"), "hitrate_at_5_knn": 0.55}

    assert list_metrics(told) == [
        {"name": "ours", "hitrate_at_5": [0.6, 0.5, 0.7], "auc_in_session": [None, None, None]},
        {"name": "knn", "hitrate_at_5": [0.55, None, None], "auc_in_session": [None, None, None]},
        {"name": "random", "hitrate_at_5": [0.4, None, None], "auc_in_session": [0.5, None, None]},
    ]
    assert list_metrics({"test_sessions": 3.0}) == []
    fed = {"hitrate_at_5": 0.6, "hitrate_at_5_first5": 0.5}
    assert [row["name"] for row in list_metrics(fed | {"of_choices": 0.0})] == ["ours", "first"]
    assert [row["name"] for row in list_metrics(fed | {"of_choices": 1.0})] == ["ours"]
