"""The fenced blocks of README.md and docs/*.md, and how they are run by an HTML comment right above one.

<!-- skip: needs a Docker engine -->    it is not run; the reason is one of REASONS
<!-- run: chaos -->                     it is run with ALMANAC_CHAOS=1
<!-- run: nginx -->                     it is run where this program is installed
<!-- run: with faiss torch -->          it is run where these packages are installed
<!-- run first: COMMANDS -->            what the page takes for granted and does not show
<!-- run instead: COMMANDS -->          the same for less, or without what a test has not
<!-- file: facts/users.csv -->          the block is a file of this name
<!-- output -->                         the block is what the block before it prints
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")))
SHELLS = ("sh", "bash", "console")
SHOWN = ("text", "json", "toml", "csv", "nginx", "ini", "http")  # nothing to run in these
CHAOS = "ALMANAC_CHAOS" in os.environ
REASONS = (
    "needs a Docker engine",
    "needs root",
    "needs an API of yours",
    "installs from the network",
    "the tests themselves",
    "takes minutes; a test of its own runs it",
)
_MARK = re.compile(r"<!--\s*(skip|run|run first|run instead|file|output)(?::\s*(.*?))?\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it is, and the marks above it by their names."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return where it stands, as an editor finds it."""
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Return whether there is something to run in it."""
        return self.language in (*SHELLS, "python")

    @property
    def is_output(self) -> bool:
        """Return whether it is what the block before it prints."""
        return self.language == "json" or "output" in self.marks


def blocks(page: str) -> list[Block]:
    """Return a page's fenced blocks in their order."""
    tokens = MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))
    return [
        Block(page, (token.map or [0])[0] + 1, token.info.strip(), token.content, _marks(tokens, k))
        for k, token in enumerate(tokens)
        if token.type == "fence"
    ]


def section(page: str, heading: str) -> list[Block]:
    """Return the blocks under a heading, up to the next heading of its rank."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    begin = lines.index(heading)
    rank = heading.split()[0] + " "
    ends = (k for k, line in enumerate(lines) if k > begin and line.startswith(rank))
    end = next(ends, len(lines))
    return [block for block in blocks(page) if begin < block.line <= end]


def why_not(block: Block) -> str:
    """Return why a block is not run here; empty where it is."""
    needed = block.marks.get("run", "")
    if needed == "chaos":
        return "" if CHAOS else "part of make chaos"
    if needed.startswith("with "):
        absent = [name for name in needed.split()[1:] if find_spec(name) is None]
        return f"needs {', '.join(absent)}; `make test-zoo` brings it" if absent else ""
    if needed and not shutil.which(needed):
        return f"{needed} is not installed"
    return block.marks.get("skip", "")


def _marks(tokens: list[Token], at: int) -> dict[str, str]:
    """Return the marks of the HTML comments that stand right before a token."""
    begin = at
    while begin and tokens[begin - 1].type == "html_block":
        begin -= 1
    return dict(_MARK.findall("\n".join(token.content for token in tokens[begin:at])))


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a `sh` block: a line each, or several where the shell reads on."""
    held = ""
    for line in text.splitlines():
        held += line + "\n"
        if is_whole(held):
            if held.strip() and not held.lstrip().startswith("#"):
                yield held.strip()
            held = ""
    if held.strip():
        raise ValueError(f"the shell reads on after {held!r}")


def session(text: str) -> Iterator[tuple[str, str]]:
    """Yield (command, what it prints) of a `console` block, where a command follows `$ `.

    >>> list(session("$ echo 1\\n1\\n$ true\\n"))
    [('echo 1', '1'), ('true', '')]
    """
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        while command.endswith("\\"):
            more, _, printed = printed.partition("\n")
            command += "\n" + more.removeprefix("> ")
        yield command, printed.rstrip("\n")


def is_whole(text: str) -> bool:
    """Say whether the shell takes text as it is, and reads no further line for it."""
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return checked.returncode == 0 and not checked.stderr and not text.endswith("\\\n")
