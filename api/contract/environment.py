"""Settings from the environment: both sides read `ALMANAC_*` into a frozen dataclass by the same rules."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: Any, doc: str) -> Any:
    """Declare a field with its default and the line that documents it."""
    return field(default=default, metadata={"doc": doc})


def read(kind: type[T], env: Mapping[str, str]) -> T:
    """Make a dataclass of settings: `depth` comes from `ALMANAC_DEPTH`; unset or empty keeps the default.

    Raises:
        ValueError: A value does not fit its setting; the message names the variable and the value.
    """
    values: dict[str, Any] = {}
    for spec in fields(kind):  # type: ignore[arg-type] # a dataclass, by contract
        name = f"ALMANAC_{spec.name.upper()}"
        text = env.get(name, "")
        if text:
            values[spec.name] = _parse(name, text, type(spec.default))
    return kind(**values)


def check(name: str, value: object, holds: bool, wanted: str) -> None:
    """Refuse a value of the setting `ALMANAC_<name>` that cannot work.

    Raises:
        ValueError: `holds` is False; the message says what is wanted.

    >>> check("DEPTH", 0, False, "1..500")
    Traceback (most recent call last):
    ValueError: ALMANAC_DEPTH=0 must be 1..500
    """
    if not holds:
        raise ValueError(f"ALMANAC_{name}={value} must be {wanted}")


def _parse(name: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError as exc:
        raise ValueError(f"{name}={text!r} is not a number") from exc
