"""docs/first-day.md: each of its tasks, done by what the page says and nothing else, comes out right."""

import csv
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.docs.conftest import Servers
from tests.docs.pages import section
from tests.docs.terminal import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]
PAGE = "docs/first-day.md"
FEED, PYTHON, WIDTH, GENERATION, SERVERS, NGINX, STOP = (
    "## Your own CSV becomes a feed",
    "## One user's list in Python",
    "## Another width, another horizon",
    "## A generation, and how to undo one",
    "## PostgreSQL and Redis",
    "## Behind nginx, under a prefix",
    "## Stop, and clean up",
)
ORDER = (FEED, PYTHON, WIDTH, GENERATION, SERVERS, NGINX, STOP)
AT = "2026-03-07T09:00:00"


class Day:
    """A reader who does the page's sections one after another."""

    def __init__(self, terminal: Terminal) -> None:
        """Begin with none done."""
        self.terminal, self.done = terminal, 0
        self.first_list: list[int] = []

    def do(self, heading: str) -> None:
        """Do the sections up to this one that are not yet done."""
        while self.done <= ORDER.index(heading):
            self.terminal.run_blocks(section(PAGE, ORDER[self.done]))
            self.done += 1
            if self.done == 1:
                self.first_list = self.ask(7)

    def ask(self, user: int, limit: int = 20) -> list[int]:
        """Return a user's feed at `AT`, as HTTP gives it."""
        return [int(post["id"]) for post in json.loads(self.get(user, limit)[1])]

    def get(self, user: int, limit: int = 20) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a user's feed at `AT`."""
        base = f"http://127.0.0.1:{self.terminal.port}/post/recommendations/"
        with urlopen(f"{base}?id={user}&time={AT}&limit={limit}", timeout=10) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read()

    def rows(self, table: str) -> list[dict[str, str]]:
        """Return the rows of one of the page's files."""
        with (self.terminal.folder / "facts" / f"{table}.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Day]:
    """Give a reader in an empty folder."""
    with Terminal(tmp_path_factory.mktemp("day") / "folder", servers) as terminal:
        yield Day(terminal)


def test_the_page_has_no_section_but_these() -> None:
    page = Path(__file__).parents[2] / PAGE

    assert tuple(re.findall(r"^## .*$", page.read_text(encoding="utf-8"), re.MULTILINE)) == ORDER


def test_ones_own_csv_becomes_a_feed(day: Day) -> None:
    day.do(FEED)

    topics = {int(post["post_id"]): post["topic"] for post in day.rows("post_text_df")}
    for user in (5, 6, 7, 8):
        viewed = {int(row["post_id"]) for row in day.rows("feed_data") if row["user_id"] == str(user)}
        feed = day.ask(user)
        favourite = ["sport", "music", "food", "travel"][user % 4]
        assert set(feed) <= topics.keys() - viewed
        assert [topics[post] for post in feed].count(favourite) > 15


def test_the_list_that_python_reads_is_the_one_that_http_answers(day: Day) -> None:
    day.do(PYTHON)

    programs = [block.text for block in section(PAGE, PYTHON) if block.language == "python"]
    by_function, by_http = [json.loads(day.terminal.run_python(program)) for program in programs]
    assert by_function == by_http == day.ask(7, 5)


def test_after_the_change_a_bucket_is_two_hours_long_and_there_are_three_days_of_them(day: Day) -> None:
    day.do(WIDTH)

    headers, _ = day.get(7)
    shown = json.loads(day.terminal.run("almanac generations show 2 --json"))
    assert headers["x-almanac-generation"] == "2"
    assert headers["x-almanac-bucket"] == "2026-03-07T08:00:00+00:00"
    assert (shown["manifest"]["width_s"], shown["manifest"]["n_buckets"]) == (7200, 36)


def test_after_the_rollback_the_old_lists_are_served_again(day: Day) -> None:
    day.do(GENERATION)

    assert day.get(7)[0]["x-almanac-generation"] == "1"
    assert day.ask(7) == day.first_list


def test_with_postgresql_and_redis_the_same_facts_give_a_feed(day: Day) -> None:
    day.do(SERVERS)

    assert day.get(7)[0]["x-almanac-generation"] == "1"
    assert day.get(7)[0]["x-almanac-rung"] == "own"


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_behind_nginx_the_feed_and_the_pages_of_the_api_are_under_its_prefix(day: Day) -> None:
    day.do(NGINX)


def test_after_the_last_section_nothing_runs_and_nothing_but_ones_own_files_is_left(day: Day) -> None:
    day.do(STOP)

    folder = day.terminal.folder
    give_up = time.monotonic() + 10
    while (left := day.terminal.processes()) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not left
    assert {path.name for path in folder.iterdir()} <= {"facts", ".venv", "nginx.conf", "nginx.log"}
