"""The terminal that runs the pages: what it keeps, what it fills in, and that it does not let a lie pass."""

from pathlib import Path

import pytest

from batch.store.wait import wait_until
from tests.docs.pages import Block, commands
from tests.docs.terminal import Failed, Terminal

PAGE = ("docs/page.md", 7)


def test_folder_and_variables_last_from_one_block_to_the_next(terminal: Terminal) -> None:
    terminal.run_blocks([Block(*PAGE, "sh", "mkdir sub\ncd sub\nexport SAID='one two'\n")])

    assert terminal.run("echo $SAID in ${PWD##*/}") == "one two in sub\n"


def test_a_command_of_several_lines_is_one() -> None:
    text = "# first\ncat <<END\n1\nEND\nfor k in 1 2; do\n  echo $k\ndone\necho a \\\n  b\n"

    assert [command.splitlines()[0] for command in commands(text)] == [
        "cat <<END",
        "for k in 1 2; do",
        "echo a \\",
    ]


def test_a_command_that_fails_is_named_with_its_place_and_what_it_said(terminal: Terminal) -> None:
    block = Block(*PAGE, "sh", "true\nls no-such-file\necho on\n")

    with pytest.raises(Failed, match=r"(?s)docs/page.md:7: ls no-such-file.*No such file"):
        terminal.run_blocks([block])


@pytest.mark.parametrize(
    ("command", "shown"),
    [("echo one", Block(*PAGE, "text", "two\n", {"output": ""})), ("echo '[]'", Block(*PAGE, "json", "[1]"))],
)
def test_other_output_than_the_page_shows_is_a_failure(
    terminal: Terminal, command: str, shown: Block
) -> None:
    with pytest.raises(Failed, match="where the page shows"):
        terminal.run_blocks([Block(*PAGE, "sh", command), shown])
    with pytest.raises(Failed, match="where the page shows"):
        terminal.run_blocks([Block(*PAGE, "console", f"$ {command}\nnothing of this\n")])


def test_what_a_run_printed_stands_for_what_the_page_names(terminal: Terminal) -> None:
    printed = "redis-cli -u redis://127.0.0.1:5001/0 GET almanac-demo-0123abcd:1:counter; ?id=17&limit=5"
    terminal.run(f"echo '{printed}'")

    filled = terminal.fill(
        "redis://127.0.0.1:49457/0 'almanac-demo-79e643ca:1:list:{294}:2' http://127.0.0.1:8000/"
    )

    where = f"http://127.0.0.1:{terminal.port}/"
    assert filled == f"redis://127.0.0.1:5001/0 'almanac-demo-0123abcd:1:list:{{17}}:2' {where}"


def test_what_does_not_stop_does_not_keep_the_terminal_from_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.terminal.CLOSE_S", 0.2)
    with Terminal(tmp_path / "folder", {}) as terminal:
        terminal.run("(trap '' INT; exec sleep 600) & true")

        assert terminal.processes()

    assert wait_until(lambda: not terminal.processes(), 10)
