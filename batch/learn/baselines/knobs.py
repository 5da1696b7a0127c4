"""Knobs: numbers of a model that may be turned, and the values that a TOML file gives them."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DIGITS = 4  # of a value that was tried: more tell nothing, and a file should be read by people


class Knob(NamedTuple):
    """A number that may be turned.

    Attributes:
        name: As a file has it.
        usual: Value where nothing is given.
        least: Smallest value that is worth trying,
        most: and largest; it is searched on a logarithmic scale.
        whole: Whether it is a whole number.
    """

    name: str
    usual: float
    least: float
    most: float
    whole: bool = True

    def read(self, value: object) -> float:
        """Return a value that a file gives.

        Raises:
            ValueError: It is no number above 0, or has decimals and should not.
        """
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
        if not good or (self.whole and value != round(float(str(value)))):
            kind = "a whole number" if self.whole else "a number"
            raise ValueError(f"{self.name} = {value!r} is not {kind} above 0, such as {self.usual:g}")
        return float(str(value))

    def number(self, value: float) -> float:
        """Return a value as it is written and used: whole, or of a few digits."""
        return int(value) if self.whole else float(f"{value:.{DIGITS}g}")


def read_tuned(file: str, model: str, knobs: Sequence[Knob]) -> dict[str, float]:
    """Return what a TOML file gives the knobs of a model, by name; without a file or its table nothing.

    Args:
        file: Path; empty for none.
        model: The table's name.
        knobs: Of the model.

    Raises:
        ValueError: The file cannot be read, is no TOML, or gives something that is no knob's.
    """
    if not file:
        return {}
    try:
        table = tomllib.loads(Path(file).read_text()).get(model, {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ValueError(f"ALMANAC_TUNED: {file} cannot be read: {exc}") from exc
    if not isinstance(table, Mapping):
        raise ValueError(  # noqa: TRY004 - of a file, like all the others
            f"ALMANAC_TUNED: {file}: {model} is no table: write [{model}] and a line for each value"
        )
    by_name = {knob.name: knob for knob in knobs}
    for name in table:
        if name not in by_name:
            known = ", ".join(by_name) or "nothing that may be turned"
            raise ValueError(f"ALMANAC_TUNED: {file}: [{model}] has no {name!r}; it has {known}")
    try:
        return {name: by_name[name].number(by_name[name].read(value)) for name, value in table.items()}
    except ValueError as exc:
        raise ValueError(f"ALMANAC_TUNED: {file}: [{model}] {exc}") from exc


def write_tuned(file: Path, model: str, given: Mapping[str, float]) -> None:
    """Put a model's table into a TOML file; those of other models stay.

    Raises:
        ValueError: What is there is not such a file.
        OSError: It cannot be written.
    """
    try:
        tables = tomllib.loads(file.read_text()) if file.exists() else {}
        tables[model] = dict(given)
        parts = [_as_toml(name, table) for name, table in tables.items()]
    except (AttributeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"{file} is no file of tuned values: give another --out") from exc
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(parts))


def _as_toml(model: str, table: Mapping[str, float]) -> str:
    return f"[{model}]\n" + "".join(f"{name} = {value!r}\n" for name, value in table.items())
