"""Users' profiles as numbers: categorical columns become codes by frequency, numbers stay numbers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.arrays import Floats32, Ints32
from batch.data.columns import USER_ID
from batch.features.sides import Feature

MAX_CODES = 60  # rarer values share one code: StartML has 3,915 cities, half of them with one user
MAX_INDICATORS = 32  # of a column of lists: its most frequent values; all others share one more
FEW = 32  # an integer column with at most this many values is a category, as gender and exp_group are
OTHERS = "others"  # the name of their indicator

# How a column is encoded: the code of each of its values, as text; of lists, the values that have an
# indicator; None for numbers.
Code = dict[str, int] | list[str] | None
Codes = dict[str, Code]


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profile side.

    Attributes:
        features: The columns of `values`.
        values: float32 (users, columns), NaN is missing.
        codes: How each column is encoded.
    """

    features: tuple[Feature, ...]
    values: Floats32
    codes: Codes


def encode(users: pd.DataFrame) -> Profiles:
    """Encode every profile column; a code is the value's rank by frequency, ties by the value's text.

    A column of lists becomes an indicator for each of its most frequent values, and one for all others.
    """
    return encode_by(users, {name: _codes(users[name]) for name in users.columns if name != USER_ID})


def encode_by(users: pd.DataFrame, codes: Codes) -> Profiles:
    """Encode profile columns by codes that stand; each must fit its column, see `fits`."""
    features = tuple(feature for name, of in codes.items() for feature in _features(name, of))
    return Profiles(features, values(users, codes), codes)


def values(users: pd.DataFrame, codes: Codes) -> Floats32:
    """Return float32 (users, columns) by the codes given; a value without one counts as a rare one."""
    columns = [_encode(users[name], of) for name, of in codes.items()]
    matrix = np.column_stack(columns) if columns else np.empty((len(users), 0))
    return matrix.astype(np.float32)


def fits(column: "pd.Series[object]", of: Code) -> bool:
    """Say whether a column holds what a code is of: numbers, lists or other values; one without any does."""
    if not column.notna().any():
        return True
    return holds_lists(column) == isinstance(of, list) and (
        of is not None or pd.api.types.is_numeric_dtype(column)
    )


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
    """Write a value as text, 3.0 as 3: a column with gaps holds its integers as floats.

    >>> plain(3.0), plain("3.0"), plain(("Noir", "Drama"))
    ('3', '3.0', 'Noir|Drama')
    """
    if isinstance(value, tuple):
        return "|".join(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def holds_lists(column: "pd.Series[object]") -> bool:
    """Say whether a column's values are lists."""
    return column.dtype == object and any(isinstance(value, tuple) for value in column)


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


def _codes(column: "pd.Series[object]") -> Code:
    if holds_lists(column):
        return [str(value) for value in by_frequency(column.explode())["value"][:MAX_INDICATORS]]
    if not is_categorical(column):
        return None
    frequent = by_frequency(column)["value"][: MAX_CODES - 1]  # who alone has a value need not be remembered
    return {value: rank for rank, value in enumerate(frequent)}


def _features(name: str, of: Code) -> list[Feature]:
    if isinstance(of, list):
        others = [OTHERS] if len(of) == MAX_INDICATORS else []
        return [Feature(f"{name}={value}", "user") for value in [*of, *others]]
    return [Feature(name, "user", of is not None)]


def _encode(column: "pd.Series[object]", of: Code) -> Floats32:
    if of is None:
        return np.asarray(column.to_numpy(np.float32, na_value=np.nan))
    if isinstance(of, list):
        return _indicate(column, of)
    text = as_text(column)
    code = text.map(of)
    rare = code.isna() & text.notna()
    return np.asarray(code.mask(rare, min(len(of), MAX_CODES - 1)).to_numpy(np.float32, na_value=np.nan))


def _indicate(column: "pd.Series[object]", of: list[str]) -> Floats32:
    """Return float32 (users, values): 1 where a list has the value, NaN where there is no list."""
    place = {value: at for at, value in enumerate(of)}
    out = np.full((len(column), len(of) + (len(of) == MAX_INDICATORS)), np.nan, np.float32)
    for row, of_user in enumerate(column):
        if isinstance(of_user, tuple):
            out[row] = 0
            found = [place.get(value, MAX_INDICATORS) for value in of_user]
            out[row, [at for at in found if at < out.shape[1]]] = 1
    return out
