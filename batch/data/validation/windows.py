"""Windows as a table of posts has them: parsed, and checked row by row."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from batch.arrays import Bools, Ints
from batch.data.columns import POSTS, VALID_FROM, VALID_TO
from batch.data.mapping import TimeForm
from batch.data.validation.rejects import Reason
from batch.data.validation.times import LATEST_S, parse_times
from batch.data.validation.unlikely import TimesRead
from batch.data.windows import FOR_EVER, SINCE_EVER, Windows

WINDOW = {VALID_FROM: SINCE_EVER, VALID_TO: FOR_EVER}  # column to what stands for a missing time
Wrong = dict[Reason, Bools]  # reason to the rows of which it holds


def find_wrong_windows(batch: pa.RecordBatch, form: TimeForm) -> Wrong:
    """Return which posts have no time where one should be, and which end before they begin."""
    (from_s, no_from), (to_s, no_to) = (_parse(batch, name, form) for name in WINDOW)
    return {"unreadable_time": no_from | no_to, "bad_window": to_s <= from_s}


def read_windows(batches: Sequence[pa.RecordBatch], form: TimeForm) -> Windows:
    """Return the windows of the rows of batches, laid end to end; none of them is wrong."""
    sides = [[np.empty(0, np.int64), *(_parse(one, name, form)[0] for one in batches)] for name in WINDOW]
    return Windows(*map(np.concatenate, sides))


def refuse_unlikely_windows(batches: Sequence[pa.RecordBatch], form: TimeForm) -> None:
    """Refuse windows whose numbers cannot be in the unit that was said or guessed.

    Raises:
        UnlikelyTimes: They cannot.
    """
    for name in WINDOW:
        read = TimesRead(form, LATEST_S, POSTS, name)
        for batch in batches:
            if name in batch.schema.names:
                read.add(batch.column(name), parse_times(batch.column(name), form))
        read.refuse_unlikely()


def _parse(batch: pa.RecordBatch, name: str, form: TimeForm) -> tuple[Ints, Bools]:
    """Return the seconds of one side, and where what stands there is no time."""
    ever = WINDOW[name]
    if name not in batch.schema.names:
        return np.full(batch.num_rows, ever), np.zeros(batch.num_rows, np.bool_)
    times = parse_times(batch.column(name), form)
    return np.where(times.missing | times.unreadable, ever, times.value), times.unreadable
