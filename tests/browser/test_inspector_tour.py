"""The questions of docs/inspector.md, answered on a real night in at most three clicks from the first page.

TOUR_SHOTS=1 also writes the page's pictures, docs/inspector/*.png.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import redis

from api.contract.experiment import Arm, Experiment
from batch.data.columns import FEED, TIMESTAMP
from batch.data.write import write
from batch.experiments.registry import create, start
from batch.runs.runs import Runs
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from tests.browser.conftest import judge, look_at
from tests.clients import ROOT, running
from tests.content import KEYS
from tests.integration.test_inspector_experiments import answer_users

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PICTURES = ROOT / "docs" / "inspector"
MOST_BYTES = 60_000
CLICKS = 3
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
WORLD = WorldConfig(
    2_000, 400, seed=29, start=(TODAY - timedelta(14)).date(), end=TODAY.date()
)  # of this seed, user 200 is one
AT = f"{TODAY:%Y-%m-%d}T19:00"
SMALL = {"ALMANAC_N_TREES": "20", "ALMANAC_N_BUCKETS": "24", "ALMANAC_DEPTH": "50"}


@dataclass
class Walk:
    """Somebody who begins on the first page; a form that was filled in and sent is one click."""

    page: Any
    home: str
    clicks: int = 0

    def begin(self) -> "Walk":
        """Open the first page."""
        self.page.goto(self.home)
        return self

    def click(self, name: str, within: str = "body") -> "Walk":
        """Follow the first link, or press the first button, of a name, and wait for the page that comes."""
        element = self.page.locator(within).locator("a, button").filter(has_text=name).first
        with self.page.expect_navigation():
            element.click()
        self.clicks += 1
        assert self.clicks <= CLICKS
        return self

    def ask(self, fields: Mapping[str, str], button: str) -> "Walk":
        """Fill in a form's fields by their labels, and send it by its button."""
        for label, value in fields.items():
            self.page.get_by_label(label, exact=True).fill(value)
        return self.click(button)

    def see(self, picture: str, height: int = 800) -> str:
        """Return what the page says; keep the upper part of it as a picture, where that was asked for."""
        if os.environ.get("TOUR_SHOTS"):
            keep(self.page, PICTURES / f"{picture}.png", height)
        return str(self.page.locator("main").inner_text())


def keep(page: Any, path: Path, height: int) -> None:
    """Write what a window of 1,280 pixels shows, in a few colours, which makes a small file."""
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    page.mouse.move(0, 0)
    page.screenshot(path=str(path), clip={"x": 0, "y": 0, "width": 1280, "height": height}, full_page=True)
    with Image.open(path) as shot:
        small = shot.convert("RGB").quantize(32)
    small.save(path, optimize=True)
    assert path.stat().st_size <= MOST_BYTES


def almanac(url: str, state_dir: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start a command of the batch."""
    env = {**os.environ, **SMALL, "ALMANAC_REDIS_URL": url, "ALMANAC_STATE_DIR": str(state_dir)}
    return subprocess.Popen(
        [sys.executable, "-m", "batch", *words],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(url: str, state_dir: Path, facts: Path) -> None:
    """Run a night to its end."""
    process = almanac(url, state_dir, "run", "--data", str(facts), "--no-evaluate", "--json")
    said = b"".join(process.communicate())
    assert process.returncode == 0, said.decode()


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the facts of today's night, and of yesterday's, which knows nothing of the last day."""
    folder = tmp_path_factory.mktemp("facts")
    made = list(tables(WORLD))
    last = pa.scalar((TODAY - timedelta(1)).replace(tzinfo=None), pa.timestamp("us"))
    before = [
        (name, table.filter(pc.less(table[TIMESTAMP], last)) if name == FEED else table)
        for name, table in made
    ]
    for name, chunks in (("yesterday", before), ("today", made)):
        write(str(folder / name), chunks)
    return {name: folder / name for name in ("yesterday", "today")}


@pytest.fixture(scope="module")
def published(valkey_url: str, state_dir: Path, facts: dict[str, Path]) -> Iterator[redis.Redis]:
    """Run two nights, and an experiment beside them; give the store."""
    with redis.Redis.from_url(valkey_url) as store:
        store.flushall()
        for night in ("yesterday", "today"):
            run(valkey_url, state_dir, facts[night])
        begun_s = int(time.time()) - 3600
        arms = (Arm("trees", "default", 50), Arm("fresh", "default", 50))
        create(store, KEYS, Experiment("ab", "ab", arms), "ann@desk", begun_s)
        start(store, KEYS, "ab", "ann@desk", begun_s)
        answer_users(store, 400, begun_s, ("trees", "fresh"))
        yield store
        store.flushall()


@pytest.fixture
def walk(page: Any, link: str) -> Walk:
    """Begin on the first page."""
    look_at(page, 1280, "light")
    return Walk(page, f"http://{urlsplit(link).netloc}/").begin()


def test_what_does_user_200_see_at_19(walk: Walk, valkey_url: str, tmp_path: Path) -> None:
    said = walk.ask({"User id": "200", "Time (UTC)": AT}, "Show").see("feed", 1000)

    with running(valkey_url, tmp_path) as api:
        answered = walk.page.request.get(f"{api}/post/recommendations/?id=200&time={quote(AT)}&limit=10")
    shown = walk.page.locator("section[aria-labelledby=feed-title] a.id").all_inner_texts()
    assert shown == [str(post["id"]) for post in answered.json()]
    assert "from generation 2" in said
    judge(walk.page, "tour-feed")


def test_why_is_the_first_post_first(walk: Walk, published: redis.Redis) -> None:
    walk.ask({"User id": "200", "Time (UTC)": AT}, "Show")
    first = walk.page.locator("section[aria-labelledby=feed-title] li").first
    post, score = first.locator("a.id").inner_text(), first.get_by_text("score").inner_text().split()[1]

    said = walk.click("why", "section[aria-labelledby=feed-title] li").see("why-first")

    assert f"Post {post} stands at place 1 of 50 in the list of user 200" in said
    summed = float(walk.page.locator("table.parts tfoot td.n").inner_text())
    assert summed == pytest.approx(float(score), abs=1e-4)
    assert walk.page.locator("table.parts svg").count() > 1
    judge(walk.page, "tour-why-first")


def test_why_is_post_x_missing(walk: Walk, published: redis.Redis) -> None:
    walk.ask({"User id": "200", "Time (UTC)": AT}, "Show")
    shown = {*walk.page.locator("a.id").all_inner_texts()}
    listed = walk.page.request.get(walk.page.url.replace("/feed?", "/feed.json?")).json()["feed"]
    number = KEYS.posts(listed["generation"])
    missing = max(int(post) for post in published.hkeys(number) if str(int(post)) not in shown)

    said = walk.ask({"Why is this post not here? Its id": str(missing)}, "Say why").see("why-missing")

    is_seen = published.zscore(KEYS.seen("200"), str(missing)) is not None
    told = walk.page.locator(".said").inner_text()
    assert f"post {missing}" in told.lower()
    assert (" has seen " in told, " it lacks " in told) == (is_seen, not is_seen)
    assert "Lacks to the last" in said or is_seen
    judge(walk.page, "tour-why-missing")


def test_what_changed_since_yesterday(walk: Walk, published: redis.Redis) -> None:
    said = walk.click("Generations", "nav").click("2", "tbody th").click("Compare", "form").see("changed")

    assert "Generation 2 against 1" in said
    assert "2,400 lists of 100 users" in said
    judge(walk.page, "tour-changed")


def test_is_the_data_fresh(walk: Walk, published: redis.Redis) -> None:
    said = walk.click("Runs", "nav").see("fresh")

    assert "serves generation 2" in said
    assert not walk.page.locator("p.note").filter(has_text="Stale").count()
    judge(walk.page, "tour-fresh")


def test_who_is_winning(walk: Walk, published: redis.Redis) -> None:
    said = walk.click("Experiments", "nav").click("ab", "tbody th").click("Judge it").see("winning", 1000)

    assert "higher" in said
    assert "The arms have their planned shares" in said
    judge(walk.page, "tour-winning")


def test_a_real_run_is_watched_and_cancelled(
    walk: Walk, valkey_url: str, state_dir: Path, facts: dict[str, Path], published: redis.Redis
) -> None:
    process, runs = (
        almanac(valkey_url, state_dir, "run", "--data", str(facts["today"]), "--fresh"),
        Runs(state_dir),
    )
    try:
        while not runs.running():
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)

        walk.click("Runs", "nav").click(str(runs.running()[0].number), "tbody th")
        walk.click("Cancel this run")
        walk.page.get_by_role("button", name="Do it").click()
        process.communicate(timeout=240)

        walk.page.reload()
        assert "cancelled" in walk.page.locator("tbody tr").first.inner_text()
        assert published.hget(KEYS.current("default"), "generation") == b"2"
        judge(walk.page, "run-cancelled")
    finally:
        process.kill()
        process.wait()
