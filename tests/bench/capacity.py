"""Nights of several sizes beside what `almanac capacity` foresees."""

import os
from collections.abc import Sequence
from typing import Any, cast

from batch.publish.capacity import Load, Machine, find_capacity
from tests.bench.night import USERS
from tests.bench.night import run as run_night

Size = tuple[int, ...]  # users, posts, days of the feed


def run(sizes: Sequence[Size]) -> dict[str, object]:
    """Run a cold night of each size.

    Returns:
        Of each size what it took and what was foreseen, with the error as a share of it; the largest errors.
    """
    nights = [_measure(size) for size in sizes]
    return {
        "nights": nights,
        "worst": {
            name: max(abs(cast("float", night[f"{name}_error"])) for night in nights)
            for name in ("cpu_s", "peak_gb", "store_gb")
        },
        "load": os.getloadavg(),
    }


def _measure(size: Size) -> dict[str, Any]:
    users, posts, days = size
    night = cast("dict[str, Any]", run_night(users / USERS, None, posts, warm=False, days=days)["cold"])
    rows = night["rows"]["feed_data"]
    load = Load(users, posts, events_per_day=round(rows / days), rps=0, days=days, kept=0)
    foreseen = find_capacity(load, Machine())
    took = {
        "cpu_s": night["cpu_s"]["all"],
        "peak_gb": night["peak_rss_mb"] / 1024,
        "store_gb": night["store_peak_mb"] / 1024,
    }
    told = {
        "cpu_s": foreseen.night_cpu_s,
        "peak_gb": foreseen.night_peak_gb,
        "store_gb": foreseen.store_gb,
    }
    return {
        "users": users,
        "posts": posts,
        "days": days,
        "rows": rows,
        "seconds": night["total_seconds"],
        **{name: round(value, 3) for name, value in took.items()},
        **{f"{name}_foreseen": round(value, 3) for name, value in told.items()},
        **{f"{name}_error": round(told[name] / took[name] - 1, 3) for name in took},
    }
