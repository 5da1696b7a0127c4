"""What README.md and docs/*.md tell people to type is typed here, and prints what they say it prints."""

import re

import pytest

from tests.docs.pages import CHAOS, PAGES, REASONS, SHELLS, SHOWN, Block, blocks, why_not
from tests.docs.terminal import Terminal

BY_TASKS = "docs/first-day.md"  # test_first_day.py runs it
LONG = ("docs/courses.md", "docs/scale.md")  # which other tests do in part: test-zoo, test_shard_commands
RUN = [page for page in PAGES if page != BY_TASKS and any(block.is_run for block in blocks(page))]


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page)], ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    reason = block.marks.get("skip")
    foreign = (
        re.search(r"^(\$ )?(\S*/)?(make|pip|docker) ", block.text, re.MULTILINE) if block.is_run else None
    )

    assert block.language in (*SHELLS, "python", *SHOWN)
    assert reason is None or reason in REASONS
    assert not foreign or {"skip", "run", "run instead"} & block.marks.keys()
    if block.is_run and why_not(block):
        pytest.skip(f"{block}: {why_not(block)}")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(3600 if CHAOS else 1200)
@pytest.mark.parametrize("page", RUN)
def test_what_a_page_says_is_what_happens(page: str, terminal: Terminal) -> None:
    if page in LONG and not CHAOS:
        pytest.skip("part of make chaos")
    terminal.run_blocks(blocks(page))
