"""A run that does as little as will do: a refresh of what moved, or a full run, and why."""

import logging
from dataclasses import asdict
from typing import Any

import redis

from batch.data.load import read_facts_now
from batch.jobs.full import run
from batch.jobs.refresh.refresh import refresh
from batch.jobs.refresh.start import FullRunNeeded
from batch.learn.split import Split
from batch.progress import Progress
from batch.settings import Settings

log = logging.getLogger(__name__)


def run_incremental(
    settings: Settings,
    store: redis.Redis,
    location: str,
    progress: Progress,
    *,
    split: Split | None = None,
    evaluated: bool = True,
) -> dict[str, Any]:
    """Refresh the served generation, or run in full where a refresh cannot stand for that.

    Returns:
        `incremental`, whether it was a refresh; `full_because`, a sentence, or None; and the fields of
        `batch.jobs.refresh.refresh.Outcome` or of `batch.jobs.full.Result`.

    Raises:
        Exception: What either of them raises.
    """
    facts = read_facts_now(settings, store, location, progress)
    try:
        outcome = refresh(settings, store, facts, progress)
    except FullRunNeeded as exc:
        log.warning("refresh.refused", extra={"why": str(exc)})
        result = run(settings, store, location, progress, split=split, evaluated=evaluated, facts=facts)
        return {"incremental": False, "full_because": str(exc), **asdict(result)}
    return {"incremental": True, "full_because": None, **asdict(outcome)}
