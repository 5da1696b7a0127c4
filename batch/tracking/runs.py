"""A run of the batch, as its record has it, to what a tracking server is told of it."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batch.learn.ranker import ABOUT, TEXT
from batch.runs.record import Run, describe_run
from batch.tracking.record import End, Tracked

_ENDS: dict[str, End] = {"done": "FINISHED", "cancelled": "KILLED", "stopped": "KILLED"}
_TAGS = (
    "kind",
    "variant",
    "generation",
    "as_of",
    "asked_by",
    "host",
    "number",
    "resumed_from",
    "chosen",
)  # not why: it may name a user


def track_run(run: Run, outcome: str, ended_s: float, folder: Path, registered: str) -> Tracked | None:
    """Return what is told of a run; of parts, and of refreshes that published nothing, it is nothing.

    Args:
        run: Its record.
        outcome: How it ended, which its record may not say yet.
        ended_s: When, epoch seconds.
        folder: Of all models.
        registered: Name under which its model is registered.
    """
    if run.kind not in ("full", "prepare", "refresh"):
        return None
    said, made = describe_run(run), run.made
    known = {name: said[name] for name in _TAGS} | {
        name: made.get(name) for name in ("facts", "model", "root")
    }
    seconds = {f"seconds/{stage.name}": stage.seconds for stage in run.stages}
    model = folder / made.get("model", "")
    has_model = outcome == "done" and (model / TEXT).is_file()
    return Tracked(
        experiment="runs",
        name=f"{run.kind} {run.number} {run.variant}",
        end=_ENDS.get(outcome, "FAILED"),
        begun_s=run.begun_s,
        ended_s=ended_s,
        parameters=as_text(made.get("parameters", {})),
        metrics=as_numbers({**made.get("metrics", {}), **seconds, "seconds": ended_s - run.begun_s}),
        tags=as_text({**known, "outcome": outcome}),
        files=(str(model / ABOUT),) if has_model else (),
        model=str(model) if has_model else "",
        registered=registered,
    )


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as text; what is empty or unknown is left out.

    >>> as_text({"depth": 50, "why": "", "generation": None})
    {'depth': '50'}
    """
    return {name: str(value) for name, value in values.items() if value is not None and value != ""}


def as_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers among values, under names that a tracking server takes.

    >>> as_numbers({"a b": 1, "popular [7 days]": 0.5, "auc": float("nan")})
    {'a b': 1.0, 'popular _7 days_': 0.5}
    """
    return {
        re.sub(r"[^\w .:/-]", "_", name, flags=re.ASCII): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
