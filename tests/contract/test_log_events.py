"""Every event that is logged at INFO and above stands in docs/logs.md, and nothing else does."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}


def logged() -> set[tuple[str, str]]:
    """Return (event, level) of each call of a logger in the sources."""
    found = set()
    for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "batch").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if (
                node.func.attr in LEVELS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
            ):
                assert isinstance(node.args[0], ast.Constant), (
                    f"{path}:{node.lineno}: the event is no constant"
                )
                found.add((str(node.args[0].value), LEVELS[node.func.attr]))
    return found


def test_the_page_lists_every_log_event_with_its_level() -> None:
    page = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_.]+)` \| (INFO|WARNING|ERROR) \| \S", page, re.MULTILINE))

    assert listed == logged()


def test_an_event_is_a_noun_and_what_happened_to_it() -> None:
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", event) for event, _ in logged())
