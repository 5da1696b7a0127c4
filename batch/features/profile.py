"""Users' profiles as numbers: categorical columns become codes by frequency, numbers stay numbers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.arrays import Floats32, Ints32
from batch.data.columns import USER_ID
from batch.features.sides import Feature

MAX_CODES = 60  # rarer values share one code: StartML has 3,915 cities, half of them with one user
FEW = 32  # an integer column with at most this many values is a category, as gender and exp_group are


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profile side.

    Attributes:
        features: The columns of `values`.
        values: float32 (users, columns), NaN is missing.
        codes: Column to the code of each of its values, as text; None for a column of numbers.
    """

    features: tuple[Feature, ...]
    values: Floats32
    codes: dict[str, dict[str, int] | None]


def encode(users: pd.DataFrame) -> Profiles:
    """Encode every profile column; a code is the value's rank by frequency, ties by the value's text."""
    columns = [name for name in users.columns if name != USER_ID]
    codes = {name: _codes(users[name]) if is_categorical(users[name]) else None for name in columns}
    features = tuple(Feature(name, "user", codes[name] is not None) for name in columns)
    return Profiles(features, values(users, codes), codes)


def values(users: pd.DataFrame, codes: dict[str, dict[str, int] | None]) -> Floats32:
    """Return float32 (users, columns) by the codes given; a value without one counts as a rare one."""
    columns = [
        users[name].to_numpy(np.float32, na_value=np.nan) if of is None else _encode(users[name], of)
        for name, of in codes.items()
    ]
    matrix = np.column_stack(columns) if columns else np.empty((len(users), 0))
    return matrix.astype(np.float32)


def segments(users: pd.DataFrame, by: tuple[str, ...]) -> tuple[tuple[str, ...], Ints32]:
    """Name each user's segment by the values of some profile columns.

    Returns:
        Names, sorted, and int32 (users,) numbers into them; -1 where a value is missing or no column exists.

    >>> segments(pd.DataFrame({"user_id": [1, 2], "os": ["iOS", None]}), ("os", "planet"))
    (('os=iOS',), array([ 0, -1], dtype=int32))
    """
    present = [name for name in by if name in users.columns]
    if not present:
        return (), np.full(len(users), -1, np.int32)
    parts = [name + "=" + as_text(users[name]) for name in present]
    label = parts[0]
    for part in parts[1:]:
        label = label + "," + part
    codes, names = pd.factorize(label, sort=True, use_na_sentinel=True)
    return tuple(str(name) for name in names), codes.astype(np.int32)


def plain(value: object) -> str:
    """Write a value as text, 3.0 as 3: a column with gaps holds its integers as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_categorical(column: "pd.Series[object]") -> bool:
    """Say whether a column's values are categories: no numbers, or few whole ones."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return True
    numbers = column.dropna()
    return bool((numbers == numbers.round()).all()) and numbers.nunique() <= FEW


def as_text(column: "pd.Series[object]") -> "pd.Series[object]":
    """Return a column's values as `plain` writes them; a missing one stays missing."""
    return column.map(plain, na_action="ignore").astype(object)


def by_frequency(column: "pd.Series[object]") -> pd.DataFrame:
    """Return each `value` of a column as text with its count `n`, most frequent first, ties by the text."""
    counts = as_text(column).value_counts().rename_axis("value").reset_index(name="n")
    return counts.sort_values(["n", "value"], ascending=[False, True], kind="stable")


def _codes(column: "pd.Series[object]") -> dict[str, int]:
    return {value: min(rank, MAX_CODES - 1) for rank, value in enumerate(by_frequency(column)["value"])}


def _encode(column: "pd.Series[object]", codes: dict[str, int]) -> Floats32:
    text = as_text(column)
    code = text.map(codes)
    rare = code.isna() & text.notna()
    return np.asarray(code.mask(rare, min(len(codes), MAX_CODES - 1)).to_numpy(np.float32, na_value=np.nan))
