"""Why a post is in a feed, in a real browser, on a night that was trained and published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from tests.browser.conftest import judge
from tests.nights import night, publish_night

pytestmark = pytest.mark.integration
FIRST = 22


@pytest.fixture(scope="module")
def published(valkey_url: str, state_dir: Path) -> Iterator[Manifest]:
    """Publish a night with its inputs."""
    with redis.Redis.from_url(valkey_url) as store:
        store.flushall()
        manifest = publish_night(store, state_dir / "generations", night(FIRST))
        yield manifest
        store.flushall()


def test_why_the_first_post_is_first_is_two_clicks_away(page: Any, link: str, published: Manifest) -> None:
    user, at = night(FIRST).content.user_ids[3], moment(published.start_s).isoformat()[:16]
    page.goto(f"http://{urlsplit(link).netloc}/")
    page.get_by_label("User id").fill(str(user))
    page.get_by_label("Time (UTC)").fill(at)
    page.get_by_role("button", name="Show").click()

    page.locator("ol.posts > li").first.get_by_role("link", name="why").click()

    page.get_by_text(f"stands at place 1 of {published.depth} in the list of user {user}").wait_for()
    assert page.locator("table.parts svg").count() > 1
    judge(page, "why-first")


def test_why_a_post_is_missing_is_asked_on_the_feeds_page(page: Any, link: str, published: Manifest) -> None:
    user, at = night(FIRST).content.user_ids[3], moment(published.start_s).isoformat()[:16]
    page.goto(f"http://{urlsplit(link).netloc}/feed?user={user}&at={at}")
    shown = {said.split()[-1] for said in page.locator("a.id").all_inner_texts()}
    judge(page, "feed-night")
    missing = max(int(post) for post in night(FIRST).content.post_ids if str(post) not in shown)

    page.get_by_label("Why is this post not here?").fill(str(missing))
    page.get_by_role("button", name="Say why").click()

    page.get_by_text("To that feed").wait_for()
    assert f"ost {missing}" in page.locator(".said").inner_text()
    judge(page, "why-missing")
