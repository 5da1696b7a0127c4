"""What the inspector's pages take at full size: first paint by the browser's timing, and bytes on the wire.

A made world is scored and published whole, a refresh follows, and `almanac inspect --web` shows the two to a
real Chromium. Each page is compared with what is known to stand on it before it is timed.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson
import redis

from api.contract.buckets import moment
from api.contract.experiment import Arm, Experiment
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from api.feed import answer
from batch.experiments.registry import create, start
from batch.inspector.generations import SAMPLE
from batch.jobs.inspect import look
from batch.jobs.refresh.refresh import refresh
from batch.progress import Progress
from batch.publish.folder import GenerationFolder
from batch.publish.scores import read_scores
from batch.publish.store import GenerationStore
from batch.runs.record import Stage
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.connection import connect_store
from batch.store.read import narrow
from tests.bench.made import Size
from tests.bench.refresh import make_facts, move, publish_first
from tests.browser.chromium import run_browser, run_inspector
from tests.overviews import keep_run

PAINT_MS, PAGE_BYTES = 300, 100_000  # the targets, of each page
SIZE = Size(n_days=2, n_trees=100)
MOVED = 0.01  # users who moved between the two generations
LARGE = 100  # posts of the largest feed
_TIMES = """async () => {
  const painted = () => performance.getEntriesByName('first-contentful-paint')[0];
  while (!painted()) await new Promise(requestAnimationFrame);
  const [page] = performance.getEntriesByType('navigation');
  const sizes = [page, ...performance.getEntriesByType('resource')].map((one) => one.transferSize);
  return { paint: painted().startTime, answer: page.responseEnd, bytes: sizes.reduce((a, b) => a + b) };
}"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page, and what must stand on it: what a selector finds, a line each, has `text` in it."""

    name: str
    address: str
    selector: str
    text: str


def run(size: Size | None = None, rounds: int = 5, *, browser: Any = None) -> dict[str, object]:
    """Measure, and return the figures by page; times are medians over the rounds.

    Args:
        size: What is made; None: `SIZE`.
        rounds: Loads of each page by a browser that has nothing of it, and as many by one that had it before.
        browser: Playwright's; None: one of its own.

    Raises:
        AssertionError: A page does not show what is known to stand on it.
    """
    size = size or SIZE
    with TemporaryDirectory(prefix="almanac-inspector-") as name:
        settings = Settings(
            state_dir=Path(name), n_buckets=size.n_buckets, n_trees=size.n_trees, seed=size.seed, gate="off"
        )
        with connect_store(settings) as client:
            began = time.perf_counter()
            first, second, n_views = _fill(settings, client, size)
            filled_s = time.perf_counter() - began
            shown = list(_pages(settings, client, first, second, n_views))
            connection = client.connection_pool.connection_kwargs
            url = f"redis://{connection['host']}:{connection['port']}/0"
            opened = run_browser() if browser is None else nullcontext(browser)
            with run_inspector(url, settings.state_dir) as link, opened as chromium:
                pages, version = _measure(chromium, link, shown, rounds), chromium.version
    return {
        "pages": pages,
        "paint_ms_most": max(page["paint_ms"] for page in pages.values()),
        "bytes_most": max(page["bytes"] for page in pages.values()),
        "paint_ms_target": PAINT_MS,
        "bytes_target": PAGE_BYTES,
        "missed": [
            name for name, page in pages.items() if page["paint_ms"] > PAINT_MS or page["bytes"] > PAGE_BYTES
        ],
        "rounds": rounds,
        "users": size.n_users,
        "posts": size.n_posts,
        "fill_s": round(filled_s, 1),
        "browser": version,
        "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
    }


def _fill(settings: Settings, client: redis.Redis, size: Size) -> tuple[Manifest, Manifest, int]:
    """Publish a made world whole, refresh it, and put a run and an experiment beside it.

    Returns:
        The two generations, and the views that the run's overview has counted.
    """
    facts = make_facts(size)
    first, _ = publish_first(settings, client, facts)
    later = move(facts, MOVED, np.random.default_rng(size.seed))
    told = refresh(settings, client, later, Progress(), now=lambda: int(time.time()))
    runs = Runs(settings.state_dir)
    number = keep_run(settings.state_dir, facts)
    for stage in ("read", "estimate", "train", "features", "publish"):
        runs.add_stage(number, Stage(stage, "", 0.0, 12.5, 11.0, 300, 7_000_000, "done"))
    runs.log_of(number).write_text('{"level":"INFO","event":"stage.ended","logger":"batch.jobs"}\n' * 200)
    keys, at_s = Keys(settings.prefix), int(time.time())
    arms = (Arm("control", settings.variant, 50), Arm("test", settings.variant, 50))
    create(client, keys, Experiment("ab", "ab", arms), "ann@bench", at_s)
    start(client, keys, "ab", "ann@bench", at_s)
    n_views = int(facts.views.sum())
    return first, GenerationStore(client, keys).need_manifest(told.generation), n_views


def _pages(
    settings: Settings, client: redis.Redis, first: Manifest, second: Manifest, n_views: int
) -> Iterator[Shown]:
    """Yield each page with an answer that is worked out without it."""
    at_s = second.start_s + 10 * second.width_s
    keys = Keys(settings.prefix)
    everybody = GenerationStore(client, keys).user_ids(second.generation)
    user = everybody[len(everybody) // 2]
    inside = look(client, keys, settings.variant, user, at_s)
    whose = {"user": user, "at": moment(at_s).isoformat()}
    best, large = (answer(inside.found, limit).post_ids for limit in (10, LARGE))
    folder = GenerationFolder.of(settings.state_dir / "generations", second.generation)
    score = read_scores(folder, second, user, inside.found.bucket_s)[str(inside.list[0])]
    ids = "section[aria-labelledby={}-title] a.id"
    users = f"{second.counts['users']:,} users"

    def lines(posts: Any) -> str:
        return "\n".join(map(str, posts))

    yield Shown("home", "/", "main > p", users)
    yield Shown("feed", f"/feed?{urlencode(whose)}", ids.format("feed"), lines(best))
    beside = {**whose, "beside": first.generation}
    yield Shown("feed-beside", f"/feed?{urlencode(beside)}", ids.format("feed"), lines(best))
    many = {**whose, "limit": LARGE}
    yield Shown("feed-100", f"/feed?{urlencode(many)}", ids.format("feed"), lines(large))
    why = {**whose, "post": inside.list[0]}
    yield Shown("why", f"/why?{urlencode(why)}", "table.parts tfoot td", f"{score:+.4f}")
    post = {"generation": second.generation, "id": best[0]}
    whole = orjson.loads(narrow(client.hget(keys.posts(second.generation), str(best[0])) or b"{}"))["text"]
    yield Shown("post", f"/post?{urlencode(post)}", "main", whole)
    yield Shown("generations", "/generations", "tbody th", lines((second.generation, first.generation)))
    yield Shown("generation", f"/generation?number={second.generation}", "dd", str(second.root))
    lists = f"{SAMPLE * second.horizon.n_buckets:,} lists of {SAMPLE} users"
    both = {"a": first.generation, "b": second.generation}
    yield Shown("diff", f"/diff?{urlencode(both)}", "main > p", lists)
    takedown = {"act": "take_down", "post": best[0]}
    yield Shown("confirm", f"/confirm?{urlencode(takedown)}", "main", str(best[0]))
    yield Shown("runs", "/runs", "main", f"serves generation {second.generation}")
    yield Shown(
        "run", "/run?number=1", "tbody th", lines(("read", "estimate", "train", "features", "publish"))
    )
    yield Shown("data", "/data", "main", f"{n_views:,}")
    yield Shown("experiments", "/experiments", "main", "ab")
    yield Shown("experiment", "/experiment?name=ab", "dd", "control: 50 %")


def _measure(browser: Any, link: str, shown: list[Shown], rounds: int) -> dict[str, dict[str, float]]:
    """Check and load every page; return its figures by its name."""
    home = link.partition("/enter")[0]
    context = browser.new_context()
    context.new_page().goto(link)
    storage = context.storage_state()
    context.close()
    figures = {}
    for one in shown:
        cold, warm = [], []
        for turn in range(rounds):
            context = browser.new_context(storage_state=storage, viewport={"width": 1280, "height": 900})
            page = context.new_page()
            cold.append(_load(page, home + one.address))
            if not turn:
                said = "\n".join(page.locator(one.selector).all_inner_texts())
                assert one.text in said, f"{one.name}: {said} instead of {one.text}"
            warm.append(_load(page, home + one.address))
            context.close()
        figures[one.name] = {
            "paint_ms": round(median(times["paint"] for times in cold), 1),
            "paint_ms_warm": round(median(times["paint"] for times in warm), 1),
            "paint_ms_first": round(cold[0]["paint"], 1),
            "answer_ms": round(median(times["answer"] for times in cold), 1),
            "bytes": max(int(times["bytes"]) for times in cold),
        }
    return figures


def _load(page: Any, address: str) -> dict[str, float]:
    """Load a page, and return its times in milliseconds and its bytes, statics and headers included."""
    page.goto(address, wait_until="load")
    found: dict[str, float] = page.evaluate(_TIMES)
    return found
