"""The shop's rows of docs/courses.md with a real MLflow server; `make test` types what needs none."""

from pathlib import Path

import pytest

from tests.docs.pages import section
from tests.docs.terminal import Terminal

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_shops_night_is_in_mlflow(server: str, tmp_path: Path) -> None:
    with Terminal(tmp_path / "folder", {r"http://127\.0\.0\.1:5000": server}) as terminal:
        terminal.run_blocks(section("docs/courses.md", "## The shop: events, Prometheus and notices"))
