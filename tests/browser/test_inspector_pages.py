"""Every page of the inspector in a real browser: two widths, light and dark, by keyboard, judged by axe."""

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.tokens import FILE, add_token
from batch.inspector.posts import CUT
from batch.runs.runs import Runs
from batch.store.who import who_am_i
from tests.browser.chromium import run_inspector
from tests.browser.conftest import TEXTS, judge, quiet
from tests.clients import OwnStore
from tests.world import AS_OF_S, HOUR_S, World

pytestmark = pytest.mark.integration
BY = f"{who_am_i()} asked for it in the inspector"


def at(hours: int) -> str:
    """Return an hour of the lists, as an address has it."""
    return quote(moment(AS_OF_S + hours * HOUR_S).isoformat())


def test_each_page_is_whole_readable_and_quiet(page: Any, link: str, published: World) -> None:
    home, user = f"http://{urlsplit(link).netloc}", quote(str(published.names.user(3)))
    addresses = {
        "home": "/",
        "feed": f"/feed?user={user}&at={at(3)}&limit=20",
        "feed-beside": f"/feed?user={user}&at={at(3)}&beside=2",
        "feed-unknown": "/feed?user=nobody",
        "feed-filtered": f"/feed?user={user}&at={at(3)}&topic=odd&not_topic=ten&generation=2&beside=1",
        "generations": "/generations",
        "generation": "/generation?number=1",
        "diff": "/diff?a=1&b=2",
        "confirm": f"/confirm?act=pin&post={user}&place=3&to=2021-12-30T00:00",
        "runs": "/runs",
        "data": "/data",
        "experiments": "/experiments",
        "experiment": "/experiment?name=ab&verdict=1",
        "experiment-looks": "/experiment?name=ab&looks=1",
        "run": "/run?number=1",
        "why": f"/why?user={user}&at={at(3)}&post={quote(str(published.names.post(39)))}",
        "post": f"/post?generation=1&id={quote(str(published.names.post(39)))}",
    }
    for name, address in addresses.items():
        assert page.goto(home + address).status == 200

        judge(page, name)
        assert "taken" not in page.title()


def test_arrow_keys_and_the_slider_move_by_hours(page: Any, link: str, published: World) -> None:
    home, user = f"http://{urlsplit(link).netloc}", quote(str(published.names.user(3)))
    page.goto(f"{home}/feed?user={user}&at={at(3)}")
    said = page.locator("output")
    assert said.inner_text() == "2021-12-20 13:00"

    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('output').textContent.includes('14:00')")
    page.wait_for_load_state()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('output').textContent.includes('13:00')")
    page.wait_for_load_state()
    page.locator("input[type=range]").focus()
    page.keyboard.press("End")

    page.wait_for_url("**step=23**")
    assert page.locator("output").inner_text() == "2021-12-21 09:00"


def test_everything_can_be_reached_and_done_by_keyboard(page: Any, link: str, published: World) -> None:
    page.goto(f"http://{urlsplit(link).netloc}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "user"

    page.keyboard.type(str(published.names.user(2)))
    page.keyboard.press("Enter")

    page.wait_for_url("**user=**")
    assert page.locator("ol.posts > li").count() >= 10


def test_a_run_is_followed_and_cancelled_on_its_page(page: Any, link: str, state_dir: Path) -> None:
    home, runs = f"http://{urlsplit(link).netloc}", Runs(state_dir)
    number = runs.begin("full", "default")
    runs.note(number, "read", 1, 4)
    page.goto(f"{home}/run?number={number}")
    judge(page, "run-live")

    runs.note(number, "score", 3, 4)
    page.get_by_text("score 3/4").wait_for()
    page.get_by_role("link", name="Cancel this run").click()
    page.get_by_role("button", name="Do it").click()
    page.wait_for_url(f"{home}/runs")

    assert runs.note(number, "score", 4, 4) == ("cancelled", BY)
    page.goto(f"{home}/run?number={number}")
    runs.end(number, "cancelled", BY)
    page.locator("h1", has_text="cancelled").wait_for()


def test_a_flip_under_an_open_page_shows_with_the_next_step(
    page: Any, link: str, published: World, valkey_url: str
) -> None:
    home, user = f"http://{urlsplit(link).netloc}", quote(str(published.names.user(3)))
    page.goto(f"{home}/feed?user={user}&at={at(3)}")
    assert "from generation 1" in page.locator("main").inner_text()

    with redis.Redis.from_url(valkey_url) as store:
        current = Keys().current(published.variant)
        store.hset(current, "generation", 2)
        try:
            page.locator("a[rel=next]").click()
            page.get_by_text("Answered from generation 2").wait_for()
            judge(page, "feed-flipped")
        finally:
            store.hset(current, "generation", 1)


def test_texts_of_every_kind_stand_as_they_are(page: Any, link: str, published: World) -> None:
    home, names = f"http://{urlsplit(link).netloc}", published.names
    page.goto(f"{home}/feed?user={quote(str(names.user(3)))}&at={at(3)}&limit=20")
    shown = dict(zip(page.locator("a.id").all_inner_texts(), page.locator(".text").all(), strict=True))

    for post, text in TEXTS.items():
        row = shown[str(names.post(post))]
        assert row.inner_text().rstrip("…").strip() == text[:CUT].strip()
        is_rtl = row.evaluate("row => getComputedStyle(row).direction") == "rtl"
        assert is_rtl == (text == TEXTS[35])
        page_of_it = page.request.get(f"{home}/post.json?generation=1&id={quote(str(names.post(post)))}")
        assert page_of_it.json()["text"] == text
    page.get_by_role("link", name=f"whole text {names.post(33)}").first.click()
    page.wait_for_url("**/post?**")
    assert TEXTS[33] in page.locator("main").inner_text()
    judge(page, "post-unbroken")


def test_a_page_that_takes_its_time_says_so(page: Any, link: str, published: World) -> None:
    page.goto(f"http://{urlsplit(link).netloc}/")
    held: list[Any] = []
    page.route("**/generations", lambda route: held.append(route))
    # While a page is on its way the driver looks at nothing, so the page itself keeps what it said.
    page.evaluate(
        """() => {
          const busy = document.querySelector("[data-busy]");
          const keep = () => sessionStorage.setItem("said", busy.textContent);
          new MutationObserver(keep).observe(busy, { childList: true });
        }"""
    )

    page.get_by_role("link", name="Generations").click(no_wait_after=True)
    page.wait_for_timeout(1_000)
    held[0].continue_()
    page.wait_for_url("**/generations")
    page.unroute("**/generations")

    assert page.evaluate("sessionStorage.getItem('said')") == "Loading…"
    assert page.get_by_text("Loading…").count() == 0


def test_where_nothing_is_there_each_page_says_what_to_do(
    browser: Any, valkey_url: str, published: World, tmp_path: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    with run_inspector(valkey_url, tmp_path, {"ALMANAC_PREFIX": "empty"}) as link, quiet(page):
        home = f"http://{urlsplit(link).netloc}"
        for name, address, status, said in (
            ("feed", link, 503, "almanac run"),
            ("generations", "/generations", 200, "The store has no generation yet"),
            ("runs", "/runs", 200, "No run was recorded"),
            ("experiments", "/experiments", 200, "almanac experiments create"),
            ("generation", "/generation?number=7", 404, "almanac generations list"),
            ("run", "/run?number=7", 404, "none was recorded yet"),
            ("why", "/why?user=1&post=2", 503, "almanac run"),
        ):
            assert page.goto(address if address == link else home + address).status == status
            assert said in page.locator("main").inner_text()
            judge(page, f"empty-{name}")
    context.close()


def test_a_generation_that_is_gone_leads_to_those_there_are(
    page: Any, link: str, published: World, valkey_url: str
) -> None:
    user = quote(str(published.names.user(3)))
    address = f"http://{urlsplit(link).netloc}/feed?user={user}&at={at(3)}&generation=2"
    assert page.goto(address).status == 200
    with redis.Redis.from_url(valkey_url) as store:
        store.hset(Keys().states(), "2", "retired")
        try:
            assert page.reload().status == 410
            judge(page, "feed-gone")
            assert page.get_by_role("link", name="To the generations there are").count() == 1
        finally:
            store.hset(Keys().states(), "2", "sealed")
        page.get_by_role("link", name="Try again").click()
        page.get_by_text("Answered from generation 2").wait_for()


def test_a_store_that_dies_under_an_open_page_is_said_and_is_back_with_it(
    browser: Any, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    store = OwnStore(tmp_path / "store")
    context = browser.new_context()
    page = context.new_page()
    try:
        with store.start("--appendfsync", "always") as client:
            World().publish(client).promote(client)
        with run_inspector(store.url, tmp_path) as link, quiet(page):
            page.goto(link)
            page.goto(f"http://{urlsplit(link).netloc}/feed?user=3&at={at(3)}")
            posts = page.locator("a.id").all_inner_texts()
            store.kill()

            page.locator("a[rel=next]").click()
            page.get_by_role("heading", name="The store does not answer").wait_for()
            judge(page, "store-away")
            page.get_by_role("link", name="To the runs").click()
            page.get_by_text("so only runs are told").wait_for()
            judge(page, "runs-store-away")
            page.get_by_role("link", name="Data").click()
            page.get_by_text("No full run has read facts").wait_for()
            judge(page, "data-empty")
            page.go_back()
            page.go_back()
            store.start().close()
            page.go_back()
            page.reload()

            assert page.locator("a.id").all_inner_texts() == posts != []
    finally:
        store.kill()
        context.close()


def test_whoever_is_not_signed_in_is_asked_for_a_token(browser: Any, link: str, state_dir: Path) -> None:
    home, (_, token) = f"http://{urlsplit(link).netloc}/", add_token(state_dir / FILE, "admin", "ann")
    context = browser.new_context()
    page = context.new_page()
    with quiet(page):
        for address, said in ((link, "This link was used"), (home, "Sign in first")):
            page.goto(address)
            assert said in page.locator("main").inner_text()
        judge(page, "enter")
        page.get_by_label("Admin token").fill("almanac_wrong")
        page.keyboard.press("Enter")
        page.get_by_text("That is no token of scope admin").wait_for()
        judge(page, "enter-wrong")

        page.get_by_label("Admin token").fill(token)
        page.keyboard.press("Enter")

        page.wait_for_url(home)
        assert page.title().startswith("Feeds")
    context.close()
