"""The recommender course's rows of docs/courses.md, where the extras are; `make test` types the others."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import section
from tests.docs.terminal import Terminal

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not (find_spec("faiss") or find_spec("torch")),
        reason="needs faiss or torch; `make test-zoo` brings it",
    ),
]
COURSE = "## The recommender course: one service, every model by name"


def test_every_model_of_the_course_is_published_and_asked_for_by_name(tmp_path: Path) -> None:
    with Terminal(tmp_path / "folder", {}) as terminal:
        terminal.run_blocks(section("docs/courses.md", COURSE))
