"""An experiment's users and posts, by ids as all tables compare them. Pure."""

import numpy as np
import pyarrow as pa

from api.contract.ids import Kind
from batch.arrays import Ints, Ints32
from batch.data.validation.ids import Ids, Places

NO_POST = -(2**63)  # in place of a post's mark


class People:
    """Gives each user a row, 0 upwards, in the order in which they first come; and each post a mark."""

    def __init__(self, users: Kind, posts: Kind) -> None:
        """Know nobody; the kinds are those of the ids."""
        self._user_ids, self._post_ids = Ids(users), Ids(posts)
        self._rows = Places()

    def close(self) -> None:
        """Learn nobody any more."""
        self._rows = Places(self._rows.marks)

    def rows(self, column: pa.Array) -> Ints32:
        """Return int32 (rows,): each user's row; -1 where this is no id, or of nobody that is known."""
        parsed, rows = self._user_ids.parse(column), np.full(len(column), -1, np.int32)
        good = ~(parsed.missing | parsed.unreadable)
        rows[good] = self._rows.of(parsed.value[good])
        return rows

    def marks(self, column: pa.Array) -> Ints:
        """Return int64 (rows,): each post's mark; NO_POST where this is no id."""
        parsed = self._post_ids.parse(column)
        return np.where(parsed.missing | parsed.unreadable, NO_POST, parsed.value)
