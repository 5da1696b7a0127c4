"""A real inspector on a real store, and a real browser; both are started once."""

import os
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
from tests.browser.chromium import find_browser, run_browser, run_inspector
from tests.clients import ROOT
from tests.integration.test_inspector_experiments import AB, START_S, answer_users
from tests.overviews import hostile_facts, keep_run
from tests.world import AS_OF_S, PROMOTED_AT_S, Names, World

SHOTS = ROOT / "build" / "screenshots"  # git ignores build/
WIDTHS, SCHEMES = (400, 1280), ("light", "dark")
GRAVE = ("serious", "critical")
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
METRICS = {
    1: {
        "hitrate_at_5": 0.55,
        "hitrate_at_5_low": 0.53,
        "hitrate_at_5_high": 0.57,
        "hitrate_at_5_popular": 0.5,
    },
    2: {
        "hitrate_at_5": 0.56,
        "hitrate_at_5_low": 0.54,
        "hitrate_at_5_high": 0.58,
        "hitrate_at_5_popular": 0.51,
    },
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Give a Chromium without a window, one for all."""
    with run_browser() as opened:
        yield opened


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
            manifest = replace(world.manifest, generation=generation, gate=GATE, metrics=METRICS[generation])
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
def entered(browser: Any, link: str) -> Iterator[Any]:
    """Give a page of a browser that has signed in by the link; one for all tests of a file."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    opened.goto(link)
    assert opened.title().startswith("Feeds"), opened.content()
    yield opened
    context.close()


@pytest.fixture
def page(entered: Any) -> Iterator[Any]:
    """Give the page as a desk's screen has it; any error on its console fails the test."""
    look_at(entered, WIDTHS[-1], SCHEMES[0])
    with quiet(entered):
        yield entered


@contextmanager
def quiet(page: Any) -> Iterator[None]:
    """Fail on any error on a page's console, but that an address was answered with an error."""
    errors: list[str] = []

    def hear(said: Any) -> None:
        if said.type == "error" and not said.text.startswith("Failed to load resource: the server responded"):
            errors.append(said.text)

    def hear_error(error: Any) -> None:
        errors.append(str(error))

    page.on("console", hear)
    page.on("pageerror", hear_error)
    yield
    page.remove_listener("console", hear)
    page.remove_listener("pageerror", hear_error)
    assert errors == []


def look_at(page: Any, width: int, scheme: str) -> None:
    """Give the window a width, in pixels, and a scheme."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)


def judge(page: Any, name: str) -> None:
    """Look at a page as it is in each width and scheme, without loading it again, and keep screenshots.

    Fails on a grave finding of axe's, and on a page wider than its window.
    """
    SHOTS.mkdir(parents=True, exist_ok=True)
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(Axe().axe_script)
    for width in WIDTHS:
        for scheme in SCHEMES:
            look_at(page, width, scheme)
            page.screenshot(path=str(SHOTS / f"{name}-{width}-{scheme}.png"), full_page=True)
            found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
            grave = [one for one in found if one["impact"] in GRAVE]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in grave] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
