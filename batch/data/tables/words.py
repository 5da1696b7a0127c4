"""Texts of a table: words that mean a missing value, blanks around values. Pure, a column at a time."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type holds texts."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind))


def drop_words(column: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return a column with NULL in place of each text that is one of the words.

    >>> drop_words(pa.array(["NA", "sport"]), ["NA"]).to_pylist()
    [None, 'sport']
    """
    if pt.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, drop_words(column.dictionary, words))
    if pt.is_string_view(column.type):
        column = column.cast(pa.string())  # Arrow cannot filter views
    if not is_text(column.type):
        return column
    found = pc.is_in(column, value_set=pa.array(words, column.type))
    return pc.if_else(found, pa.scalar(None, column.type), column) if pc.any(found).as_py() else column


def trim(column: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return a column of texts without blanks around them, NULL where one of the words was left."""
    if not is_text(column.type):
        return column
    trimmed = pc.ascii_trim(column, characters=" \t")
    return column if trimmed.equals(column) else drop_words(trimmed, words)
