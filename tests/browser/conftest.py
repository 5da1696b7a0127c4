"""A real inspector on a real store, and a real browser; both are started once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from api.contract.buckets import DAY_S
from api.contract.ids import quote
from api.contract.keys import Keys
from batch.experiments.registry import create, start
from batch.runs.record import Stage
from batch.runs.runs import Runs
from tests.integration.test_inspector_experiments import AB, START_S, answer_users
from tests.overviews import hostile_facts, keep_run
from tests.world import AS_OF_S, PROMOTED_AT_S, Names, World

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"  # git ignores build/
WIDTHS, SCHEMES = (400, 1280), ("light", "dark")
GRAVE = ("serious", "critical")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = '<script>document.title = "taken"</script>"\'><img src=x onerror=alert(2)>'
GATE: dict[str, Any] = {
    "outcome": "wait",
    "mode": "warn",
    "why": "lists of two nights are less alike than the limit allows",
    "checks": [
        {"name": "churn", "outcome": "wait", "says": "mean overlap 0.01", "value": 0.0123, "limit": 0.02},
        {"name": "users", "outcome": "proceed", "says": "no user is gone", "value": 0.0, "limit": 0.05},
    ],
}
TEXTS = {
    39: HOSTILE,
    37: "word " * 2_000,
    35: "\u202eمرحبا بالعالم، هذا نص طويل من اليمين إلى اليسار",
    33: "unbroken" * 1_250,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser, unless it was asked for and there is one."""
    if not os.environ.get("BROWSER_TEST"):
        why = "drives a browser: `make test-browser` runs it"
    elif find_browser() is None:
        why = "there is no Chromium: `apt-get install chromium`, or set CHROMIUM to one"
    else:
        return
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(why))


def find_browser() -> str | None:
    """Return where Chromium is; Playwright's own download is not needed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def published(valkey_url: str) -> Iterator[World]:
    """Publish two generations whose ids are texts, with texts of every kind; the first is current."""
    world = World(names=Names("text"))
    with redis.Redis.from_url(valkey_url) as store:
        store.flushall()
        world.publish(store).promote(store)
        world.successor().publish(store)
        keys, names = Keys(), world.names
        for generation in (1, 2):
            for post, text in TEXTS.items():
                raw = orjson.dumps({"id": names.post(post), "text": text, "topic": "odd"})
                store.hset(keys.posts(generation), str(names.number(post)), raw)
        user = names.user_key(3)
        likes = {str(names.number(post)): AS_OF_S - post * DAY_S for post in range(1, 30)}
        store.zadd(keys.likes(user), likes)
        for generation in (1, 2):
            manifest = replace(world.manifest, generation=generation, gate=GATE)
            store.set(keys.manifest(generation), manifest.to_json())
            store.set(keys.users(generation), " ".join(quote(names.user_key(one)) for one in world.users))
        store.zadd(keys.promotions(world.variant), {"0000001 1 promoted": PROMOTED_AT_S})
        create(store, keys, AB, "ann@here", START_S - 10)
        start(store, keys, "ab", "ann@here", START_S)
        answer_users(store, 80)
        world.take_down(store, 31)
        world.see(store, 3, 29, AS_OF_S)
        world.pin(store, 12, 2)
        yield world
        store.flushall()


@contextmanager
def run_inspector(url: str, state_dir: Path) -> Iterator[str]:
    """Run `almanac inspect --web` and give the link that it prints."""
    command = [sys.executable, "-m", "batch", "inspect", "--web", "--port", "0", "--json"]
    env = {
        **os.environ,
        "ALMANAC_REDIS_URL": url,
        "ALMANAC_STATE_DIR": str(state_dir),
        "ALMANAC_EXPOSURES_DAYS": "0",
    }
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield str(orjson.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the state folder of the inspector, with a run that failed and one that has counted its facts."""
    folder = tmp_path_factory.mktemp("state")
    runs = Runs(folder)
    number = runs.begin("full", "default")
    runs.add_stage(number, Stage("read", "", 0.0, 12.5, 11.0, 300, 7_000_000, "done"))
    runs.end(number, "failed", "the gate held it back: lists of two nights are less alike than allowed", 6)
    runs.log_of(number).write_text('{"level":"INFO","event":"run.began"}\n' * 30)
    rejected = {"table": "feed_data", "row": {"user_id": "x" * 200, "target": HOSTILE}}
    keep_run(folder, hostile_facts(HOSTILE), {"bad_target": [rejected]})
    return folder


@pytest.fixture(scope="module")
def link(valkey_url: str, published: World, state_dir: Path) -> Iterator[str]:
    """Run the inspector and give its link."""
    with run_inspector(valkey_url, state_dir) as url:
        yield url


@pytest.fixture(scope="module")
def storage(browser: Any, link: str) -> Any:
    """Sign in by the link, and give what the browser keeps."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    assert page.title().startswith("Feeds"), page.content()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(
    params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=lambda one: f"{one[0]}-{one[1]}"
)
def page(request: pytest.FixtureRequest, browser: Any, storage: Any) -> Iterator[Any]:
    """Give a page of a signed-in browser, which fails the test by any error on its console."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, storage_state=storage
    )
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    errors: list[str] = []
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


def judge(page: Any, name: str) -> None:
    """Keep a screenshot; fail on a grave finding of axe's, and on a page wider than its window."""
    from axe_playwright_python.sync_playwright import Axe

    size, scheme = page.viewport_size, page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = SHOTS / f"{name}-{size['width']}-{'dark' if scheme else 'light'}.png"
    page.screenshot(path=str(shot), full_page=True)
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in GRAVE]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
