"""The inspector's bench runs the real thing, at a size that says nothing of speed."""

from typing import Any

import pytest

from tests.bench.inspector import PAGE_BYTES, run
from tests.bench.made import Size

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_the_bench_checks_times_and_weighs_each_page(browser: Any) -> None:
    figures: dict[str, Any] = run(
        Size(n_users=300, n_posts=600, n_days=2, n_seen=100, n_trees=20), 1, browser=browser
    )

    pages = figures["pages"]
    assert {"home", "feed", "feed-100", "why", "diff", "runs", "data", "experiment"} < set(pages)
    assert all(0 < page["answer_ms"] <= page["paint_ms"] for page in pages.values())
    assert all(0 < page["bytes"] <= PAGE_BYTES for page in pages.values())
    assert (figures["users"], figures["posts"]) == (300, 600)
