"""Users' profiles as numbers: categorical columns become codes by frequency, numbers stay numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from batch.features.sides import Feature
from batch.source.columns import USER_ID

MAX_CODES = 60  # rarer values share one code: StartML has 3,915 cities, half of them with one user
FEW = 32  # an integer column with at most this many values is a category, as gender and exp_group are


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profile side: columns of `values` are `features`; float32 (users, columns), NaN is missing."""

    features: tuple[Feature, ...]
    values: npt.NDArray[np.float32]


def encode(users: pd.DataFrame) -> Profiles:
    """Encode every profile column; a code is the value's rank by frequency, ties by the value's text."""
    columns = [name for name in users.columns if name != USER_ID]
    features, values = [], []
    for name in columns:
        categorical = _is_categorical(users[name])
        features.append(Feature(name, "user", categorical))
        values.append(
            _codes(users[name]) if categorical else users[name].to_numpy(np.float32, na_value=np.nan)
        )
    matrix = np.column_stack(values) if values else np.empty((len(users), 0))
    return Profiles(tuple(features), matrix.astype(np.float32))


def segments(users: pd.DataFrame, by: tuple[str, ...]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Name each user's segment by the values of some profile columns.

    Returns:
        Names, sorted, and int32 (users,) numbers into them; -1 where a value is missing or no column exists.

    >>> segments(pd.DataFrame({"user_id": [1, 2], "os": ["iOS", None]}), ("os", "planet"))
    (('os=iOS',), array([ 0, -1], dtype=int32))
    """
    present = [name for name in by if name in users.columns]
    if not present:
        return (), np.full(len(users), -1, np.int32)
    parts = [name + "=" + users[name].map(_plain, na_action="ignore").astype(object) for name in present]
    label = parts[0]
    for part in parts[1:]:
        label = label + "," + part
    codes, names = pd.factorize(label, sort=True, use_na_sentinel=True)
    return tuple(str(name) for name in names), codes.astype(np.int32)


def _plain(value: object) -> str:
    """Write 3.0 as 3: a column with gaps holds its integers as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_categorical(column: "pd.Series[object]") -> bool:
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return True
    known = column.dropna()
    return bool((known == known.round()).all()) and known.nunique() <= FEW


def _codes(column: "pd.Series[object]") -> npt.NDArray[np.float32]:
    text = column.map(_plain, na_action="ignore").astype(object)
    counts = text.value_counts().rename_axis("value").reset_index(name="n")
    order = counts.sort_values(["n", "value"], ascending=[False, True], kind="stable")["value"].tolist()
    code = {value: float(min(rank, MAX_CODES - 1)) for rank, value in enumerate(order)}
    return np.asarray(text.map(code).to_numpy(np.float32, na_value=np.nan))
