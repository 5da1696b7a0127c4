"""Generations over time: how good their models were, and how much memory they took beside what was planned.

Of a generation that is kept its manifest tells, of one that is gone the log of the run that made it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from batch.inspector.desk import Desk
from batch.publish.gate.interval import wilson
from batch.runs.tail import tail

MOST, LINES = 60, 60  # generations; lines at the end of a run's log, of which the last tells
CONFIDENCE = 0.95
METRIC, SESSIONS = "hitrate_at_5", "test_sessions"
BESIDE = {"popular": "_popular", "knn": "_knn", "random": "_random5"}  # name to how its metric ends
_DONE, _MEASURED = '"event":"run.done"', '"event":"generation.measured"'


def list_quality(desk: Desk, manifests: Iterable[Manifest]) -> list[dict[str, Any]]:
    """Return a variant's newest generations, oldest first, with metrics, intervals and MiB of memory."""
    variant = desk.settings.variant
    rows: dict[int, dict[str, Any]] = {row["generation"]: row for row in _read_logs(desk, variant)}
    for manifest in manifests:
        if manifest.variant == variant:
            rows[manifest.generation] = _row(
                manifest.generation,
                moment(manifest.as_of_s).isoformat(),
                manifest.metrics,
                manifest.counts,
                is_kept=True,
            )
    return [rows[number] for number in sorted(rows)][-MOST:]


def _read_logs(desk: Desk, variant: str) -> Iterator[dict[str, Any]]:
    """Yield what the logs of full runs tell of what they published, newest first, back to a store's begin."""
    last: int | None = None
    for run in desk.runs.recent(MOST, kind="full"):
        if run.outcome != "done" or run.variant != variant or run.generation is None:
            continue
        if last is not None and run.generation >= last:  # of a store that is no more
            return
        last = run.generation
        told: dict[str, Any] = {}
        for line in tail(desk.runs, run.number, LINES):
            if _DONE in line or _MEASURED in line:
                told |= _parse(line)
        if told.get("generation") == run.generation:
            as_of = str(told.get("as_of", ""))
            yield _row(run.generation, as_of, told.get("metrics") or {}, told, is_kept=False)


def _parse(line: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:  # the disk was full when it was written
        return {}
    return found if isinstance(found, dict) else {}


def _row(
    generation: int, as_of: str, metrics: Mapping[str, Any], sizes: Mapping[str, Any], *, is_kept: bool
) -> dict[str, Any]:
    value = _number(metrics.get(METRIC))
    low, high = _number(metrics.get(f"{METRIC}_low")), _number(metrics.get(f"{METRIC}_high"))
    sessions = _number(metrics.get(SESSIONS))
    if value is not None and low is None and sessions:  # older generations have no interval of their own
        low, high = wilson(value, sessions, CONFIDENCE)
    return {
        "generation": generation,
        "is_kept": is_kept,
        "as_of": as_of,
        "hitrate": value,
        "low": low,
        "high": high,
        **{name: _number(metrics.get(METRIC + end)) for name, end in BESIDE.items()},
        "planned_mb": _mb(sizes.get("bytes_planned")),
        "taken_mb": _mb(sizes.get("bytes_taken")),
    }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _mb(n_bytes: object) -> float | None:
    return round(n_bytes / 2**20, 1) if isinstance(n_bytes, int | float) else None
