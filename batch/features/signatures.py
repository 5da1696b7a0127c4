"""Which profiles get lists of their own: the most frequent combinations of binned profile values."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from api.contract.profile import MISSING, Bins, part
from batch.arrays import Floats, Ints32
from batch.data.columns import USER_ID
from batch.features.profile import Profiles, as_text, by_frequency, is_categorical

N_EDGES = 4  # of a column of numbers: its quintiles
MOST_VALUES = 7  # of a column of categories: values that are told apart
LEAST_SHARE = 0.02  # of the users, which each such value must have
PEOPLE = 10  # users a list, at least on the average: fewer do not tell a profile from its users


@dataclass(frozen=True, slots=True)
class Signatures:
    """The profiles that get lists.

    Attributes:
        bins: How fields become a signature.
        names: Signatures, most frequent first, ties by text.
        of_user: int32 (users,). Number into `names`; -1 where the user's profile is rarer, or missing.
    """

    bins: Bins
    names: tuple[str, ...]
    of_user: Ints32


def find(users: pd.DataFrame, most: int) -> Signatures:
    """Bin the profile columns, and name the most frequent signatures of the users there are.

    Args:
        users: `user_id`, then the profile columns.
        most: How many signatures, where the users are ten times as many.
    """
    bins = {name: bins_of(users[name]) for name in sorted(map(str, users.columns)) if name != USER_ID}
    bins = {name: found for name, found in bins.items() if found}
    most = min(most, len(users) // PEOPLE)
    if not bins or not most:
        return Signatures({}, (), np.full(len(users), -1, np.int32))
    texts = zip(*(_parts(name, found, users[name]) for name, found in bins.items()), strict=True)
    signature = np.array([".".join(row) for row in texts], object)
    names, of_user, counts = np.unique(signature, return_inverse=True, return_counts=True)
    counts[names == ".".join([MISSING] * len(bins))] = 0  # no profile at all
    kept = [k for k in np.argsort(-counts, kind="stable")[:most].tolist() if counts[k]]
    number = np.full(len(names), -1, np.int32)
    number[kept] = np.arange(len(kept))
    return Signatures(bins, tuple(str(names[k]) for k in kept), number[of_user])


def bins_of(column: "pd.Series[object]") -> list[str] | list[float]:
    """Return a column's frequent values, most frequent first, or its inner quintiles; empty if it has none.

    >>> bins_of(pd.Series(["iOS", "Android", "iOS", None])), bins_of(pd.Series(range(101)))
    (['iOS', 'Android'], [20.0, 40.0, 60.0, 80.0])
    """
    values = column.dropna()
    if not len(values):
        return []
    if not is_categorical(column):
        inner = [k / (N_EDGES + 1) for k in range(1, N_EDGES + 1)]
        edges: list[float] = np.unique(np.quantile(values.to_numpy(np.float64), inner)).tolist()
        return edges
    counts = by_frequency(values)
    frequent = counts[counts["n"] >= LEAST_SHARE * len(values)]
    return [str(value) for value in frequent["value"][:MOST_VALUES]]


def typical(profiles: Profiles, signatures: Signatures) -> Floats:
    """Return each signature's typical profile, float64 (signatures, columns), as the model reads it.

    Of categories the most frequent code among its users, the smallest of those alike; of numbers the median;
    NaN where none of them has a value.
    """
    out = np.full((len(signatures.names), len(profiles.features)), np.nan)
    order = np.argsort(signatures.of_user, kind="stable")
    ends = np.searchsorted(signatures.of_user[order], np.arange(len(out) + 1))
    for k, (low, high) in enumerate(pairwise(ends.tolist())):
        own = profiles.values[order[low:high]]
        for column, feature in enumerate(profiles.features):
            values = own[~np.isnan(own[:, column]), column]
            if feature.categorical and len(values):
                codes, counts = np.unique(values, return_counts=True)
                out[k, column] = codes[counts.argmax()]
            elif len(values):
                out[k, column] = np.median(values)
    return out


def _parts(name: str, bins: list[str] | list[float], column: "pd.Series[object]") -> npt.NDArray[np.object_]:
    """Return each user's part of the signature, spelled by what the API spells it with."""
    codes, distinct = pd.factorize(as_text(column), use_na_sentinel=True)
    parts = [*(part(name, bins, str(value)) for value in distinct), MISSING]
    return np.asarray(np.array(parts, object)[codes], object)  # code -1 is missing, and last
