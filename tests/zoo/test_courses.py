"""docs/courses.md, section by section, where the extras are."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, section
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
PAGE = "docs/courses.md"
COURSES = re.findall("^## .*$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("course", COURSES)
def test_the_tasks_of_a_course_are_done_by_what_the_page_says(course: str, tmp_path: Path) -> None:
    with Terminal(tmp_path / "folder", {}) as terminal:
        terminal.run_blocks(section(PAGE, course))
