"""Every command, option and query parameter stands in docs/commands.md, and nothing else does."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.main import create_app
from api.settings import Settings
from batch.__main__ import app, run_command

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
Names = dict[str, set[str]]


def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    """Give (command, its options and arguments) for a command of Typer's and all below it."""
    for below, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, f"{name} {below}")
    if not hasattr(command, "commands") or command.invoke_without_command:
        options = [p for p in command.params if p.param_type_name == "option"]
        arguments = {p.name.upper() for p in command.params if p.param_type_name == "argument"}
        yield name, arguments.union(*(option.opts + option.secondary_opts for option in options))


def commands() -> Names:
    """Return each command's options and arguments; what every command has stands under `almanac`."""
    found = dict(walk(typer.main.get_command(app), "almanac"))
    shared = set.intersection(*found.values())
    return {"almanac": shared, **{name: options - shared for name, options in found.items()}}


def routes() -> Names:
    """Return each documented route's parameters."""
    paths: Mapping[str, Mapping[str, Any]] = create_app(Settings()).openapi()["paths"]
    return {
        f"{method.upper()} {path}": {parameter["name"] for parameter in route.get("parameters", [])}
        for path, methods in paths.items()
        for method, route in methods.items()
    }


def documented() -> Names:
    """Return the names that the page's items begin with, by the heading they stand under."""
    found: Names = {}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading = re.match(r"`(.+)`\n", section)
        assert heading, section
        items = re.findall(r"^- (`.+?`): \S", section, re.MULTILINE)
        assert len(items) == len(re.findall(r"^- ", section, re.MULTILINE)), section
        found[heading[1]] = {name for item in items for name in re.findall(r"`(.+?)`", item)}
    return found


def test_the_page_holds_every_command_and_option_and_parameter_and_nothing_else() -> None:
    assert documented() == commands() | routes()


def test_every_group_of_commands_was_walked() -> None:
    groups = {group.name for group in app.registered_groups}

    assert groups
    assert {name.split()[1] for name in commands() if len(name.split()) > 2} == groups


@pytest.mark.parametrize("command", sorted(commands()))
def test_h_is_help_for_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*command.split()[1:], "-h"]) == 0

    said = capsys.readouterr()
    assert "Usage:" in said.out
    assert said.err == ""
