"""Ids as small numbers: what lets an event take 13 bytes until its final place is known."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Codes:
    """Gives each id a number, 0 upwards, in the order in which ids first come.

    >>> codes = Codes()
    >>> codes.of(np.array([70, 50, 70])).tolist(), codes.ids.tolist()
    ([0, 1, 0], [70, 50])
    """

    def __init__(self, known: npt.NDArray[np.int64] | None = None) -> None:
        """Begin with `known` ids, distinct, and learn no others; or, with None, with no id, and learn all."""
        self.learns = known is None
        self._ids = pa.array(np.empty(0, np.int64) if known is None else known, pa.int64())

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Return int64 (codes,): the id of each code."""
        return np.asarray(self._ids, np.int64)

    def of(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Return int32 (rows,): each id's code; -1 for an id that is neither known nor learnt."""
        asked = pa.array(ids, pa.int64())
        found = pc.index_in(asked, value_set=self._ids)
        if self.learns and found.null_count:
            new = pc.unique(asked.filter(pc.is_null(found)))
            self._ids = pa.concat_arrays([self._ids, new])
            found = pc.index_in(asked, value_set=self._ids)
        return np.asarray(pc.fill_null(found, -1), np.int32)
