"""Facets of posts: which posts have which value of a column. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from api.contract.facets import TOPIC, spell
from batch.arrays import Ints32
from batch.data.columns import ALL_TOPICS


def find_facets(posts: pd.DataFrame, by: Sequence[str], order: Ints32) -> dict[str, Ints32]:
    """Return which posts have which value.

    Args:
        posts: One row a post.
        by: The columns to filter by; a post of several values has each of them.
        order: int32 (posts,). All posts by row, most popular first.

    Returns:
        Facet to int32 rows of posts, most popular first; facets ascend, those without posts are not there.

    >>> posts = pd.DataFrame({"topic": ["a", "b", None], "tags": [("x", "y"), None, ("y",)]})
    >>> found = find_facets(posts, ["topic", "tags"], np.array([2, 0, 1], np.int32))
    >>> {facet: rows.tolist() for facet, rows in found.items()}
    {'tags=x': [0], 'tags=y': [2, 0], 'topic=a': [0], 'topic=b': [1]}
    """
    found: dict[str, list[int]] = {}
    for column in by:
        values = list_values(posts, column)
        for row in order.tolist():
            for value in values[row]:
                found.setdefault(spell(column, value), []).append(row)
    return {facet: np.array(found[facet], np.int32) for facet in sorted(found)}


def list_values(posts: pd.DataFrame, column: str) -> npt.NDArray[np.object_]:
    """Return the values that each post has in a column, tuples of texts: object (posts,)."""
    name = ALL_TOPICS if column == TOPIC and ALL_TOPICS in posts else column
    cells: list[Any] = posts[name].tolist()
    out = np.empty(len(cells), object)
    out[:] = [cell if isinstance(cell, tuple) else (str(cell),) if _is_there(cell) else () for cell in cells]
    return out


def _is_there(cell: object) -> bool:
    return cell is not None and cell == cell and cell != ""  # NaN is no value either
