"""Values out of a TOML document, each checked where it is taken; errors name the key and the value."""

from collections.abc import Iterable
from typing import Any


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Return if every name given is known.

    Raises:
        ValueError: One is not.
    """
    for name in given:
        if name not in known:
            raise ValueError(f"unknown {what}: {name!r} (known: {', '.join(known)})")


def take_section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section, empty where there is none.

    Raises:
        ValueError: It is something else.
    """
    section = raw.get(name, {})
    if not isinstance(section, dict):
        raise ValueError(f"{name} = {section!r} must be a section [{name}]")  # noqa: TRY004 - one error type
    return section


def take_text(where: str, value: object) -> str:
    """Return a text that is not empty.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} = {value!r} must be a text in quotes")
    return value


def take_list(where: str, value: object) -> list[Any]:
    """Return a list of whatever there is in it.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where} = {value!r} must be a list of names")  # noqa: TRY004 - one error type
    return value
