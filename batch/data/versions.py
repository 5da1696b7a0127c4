"""What was known of posts at what time, where a shop keeps rows of property, value and time. Pure."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.arrays import Ints, Ints32
from batch.data.columns import MORE_TOPICS, POST_ID
from batch.data.windows import FOR_EVER, FROM_S, SINCE_EVER, TO_S, Windows


@dataclass(frozen=True, slots=True)
class PostVersions:
    """Posts as they were described from some moment on.

    Attributes:
        post: int32 (versions,). Row in the facts' posts.
        time: int64 (versions,). Epoch seconds, ascending within a post; 0 where nothing says since when.
        columns: Those of the facts' posts, (versions,).
    """

    post: Ints32
    time: Ints
    columns: pd.DataFrame

    def at(self, posts: pd.DataFrame, as_of_s: int) -> pd.DataFrame:
        """Return the posts as they were described then; one that was not has missing values."""
        known = np.flatnonzero(self.time <= as_of_s)
        version = pd.Series(known, dtype=np.int64).groupby(self.post[known]).last()
        row = np.full(len(posts), -1, np.int64)
        row[version.index] = version
        columns = {POST_ID: posts[POST_ID]}
        for name in self.columns.columns.drop([POST_ID, FROM_S, TO_S], errors="ignore"):
            values = np.where(row >= 0, self.columns[name].to_numpy(object)[row], None)
            if name != MORE_TOPICS or any(values):
                columns[name] = pd.Series(values, dtype=object)
        windows = Windows.of(self.columns)
        if windows is not None:
            from_s = np.where(row >= 0, windows.from_s[row], SINCE_EVER)
            columns |= Windows(from_s, np.where(row >= 0, windows.to_s[row], FOR_EVER)).frame()
        return pd.DataFrame(columns)
