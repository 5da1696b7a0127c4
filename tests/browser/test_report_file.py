"""The file of `almanac report` in a real browser, from disk: whole, readable, quiet, and loading nothing."""

from pathlib import Path
from typing import Any

import pytest
import redis

from batch.inspector.desk import Desk
from batch.inspector.report import collect_report, write_report
from batch.settings import Settings
from tests.browser.conftest import judge
from tests.world import PROMOTED_AT_S, World

pytestmark = pytest.mark.integration


def test_the_report_stands_alone_and_is_readable(
    page: Any, published: World, valkey_url: str, state_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(redis_url=valkey_url, state_dir=state_dir)
    with redis.Redis.from_url(valkey_url) as client:
        desk = Desk(settings, valkey_url, client, lambda: float(PROMOTED_AT_S))
        write_report(collect_report(desk, [str(published.names.user(3))], 1), tmp_path / "report.html")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"file://{tmp_path}/report.html")

    judge(page, "report")
    assert page.title() == "Almanac report"
    assert asked == [f"file://{tmp_path}/report.html"]
    assert page.locator("h3", has_text="User").count() >= 1
