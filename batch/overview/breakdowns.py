"""Counts of events by day, week, month, hour, weekday, and by any group of users or posts, as rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Ints
from batch.data.local_time import local_s
from batch.overview.counts import COUNTED, VIEWS, EventCounts

HOUR_S = 3600
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
THURSDAY = 3  # 1970-01-01
MOST_DAYS, MOST_WEEKS, MOST_MONTHS = 92, 53, 36  # rows of a table; longer spans are united
MOST_GROUPS = 20
OTHERS, NONE = "(others)", "(none)"
Row = dict[str, Any]


def by_time(counts: EventCounts, zone: str) -> dict[str, list[Row]]:
    """Return rows by day, week (from Monday), month, hour and weekday, by a zone's clocks.

    Each row has `views`, `likes`, `liked`; those of days, weeks and months begin at the date `from` and hold
    so many of them (`n_units`): a long time is told in longer spans. A span without an event is there, too.
    """
    clock = local_s(counts.slot_s, zone)
    day = clock // DAY_S
    month = (day.astype("datetime64[D]")).astype("datetime64[M]").astype(np.int64)
    found = {
        "by_day": _spans(day, counts.by_slot, "D", MOST_DAYS),
        "by_week": _spans((day + THURSDAY) // 7, counts.by_slot, "W", MOST_WEEKS),
        "by_month": _spans(month, counts.by_slot, "M", MOST_MONTHS),
    }
    hours = _sum((clock % DAY_S) // HOUR_S, counts.by_slot, 24)
    weekdays = _sum((day + THURSDAY) % 7, counts.by_slot, 7)
    found["by_hour"] = [{"name": f"{hour:02d}:00", **_row(of)} for hour, of in enumerate(hours)]
    found["by_weekday"] = [{"name": name, **_row(of)} for name, of in zip(WEEKDAYS, weekdays, strict=True)]
    return found


def by_group(names: Sequence[str], number: AnyInts, counts: Ints) -> list[Row]:
    """Return a row for each group with the most views, most first, then for all others, and for no group.

    Args:
        names: Of groups.
        number: (things,). The group of each user or post, -1 for none.
        counts: int64 (things, 3). COUNTED of each.
    """
    sums, sizes = _sum(number + 1, counts, len(names) + 1), np.bincount(number + 1, minlength=len(names) + 1)
    order = np.lexsort((np.arange(len(names)), -sums[1:, VIEWS])) + 1
    shown, rest = order[:MOST_GROUPS], order[MOST_GROUPS:]
    rows = [{"name": names[at - 1], "n": int(sizes[at]), **_row(sums[at])} for at in shown]
    if len(rest):
        rows.append({"name": OTHERS, "n": int(sizes[rest].sum()), **_row(sums[rest].sum(axis=0))})
    if sizes[0]:
        rows.append({"name": NONE, "n": int(sizes[0]), **_row(sums[0])})
    return rows


def _spans(unit: Ints, counts: Ints, letter: str, most: int) -> list[Row]:
    """Return rows of consecutive spans of units; a unit is a number of days, weeks or months from 1970 on."""
    if not len(unit):
        return []
    first, last = int(unit.min()), int(unit.max())
    n_units = -(-(last - first + 1) // most)
    sums = _sum((unit - first) // n_units, counts, (last - first) // n_units + 1)
    begins = first + np.arange(len(sums)) * n_units
    if letter == "W":
        dates = (begins * 7 - THURSDAY).astype("datetime64[D]")
    else:
        dates = begins.astype(f"datetime64[{letter}]").astype("datetime64[D]")
    return [{"from": str(date), "n_units": n_units, **_row(of)} for date, of in zip(dates, sums, strict=True)]


def _sum(place: AnyInts, counts: Ints, n: int) -> Ints:
    """Return int64 (n, 3): the sums of counts by place; exact, since no count reaches 2⁵³."""
    sums = [np.bincount(place, counts[:, column], n) for column in range(len(COUNTED))]
    return np.column_stack(sums).astype(np.int64)


def _row(of: Ints) -> Row:
    return dict(zip(COUNTED, of.tolist(), strict=True))
