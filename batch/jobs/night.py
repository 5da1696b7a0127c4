"""A full run or a refresh with its record: what commands and the schedule call."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import redis

from api.contract.buckets import epoch
from batch.features import asof
from batch.jobs.full import PublishBy, Result, learn, run
from batch.jobs.overview import keep_overview
from batch.jobs.refresh.incremental import run_incremental
from batch.jobs.resume import ANEW, From, NothingKept, prune_models, start_night
from batch.jobs.warm import Start
from batch.learn.baselines.named import find_baseline
from batch.learn.chosen import describe_choice
from batch.learn.split import Split
from batch.progress import Progress
from batch.runs.record import BY_HAND, Asked, Kind
from batch.runs.recorded import Record, recorded
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.turn import hold_turn

Part = Literal["preprocess", "train"]
Connect = Callable[[], AbstractContextManager[redis.Redis]]


def run_full(
    settings: Settings,
    connect: Connect,
    location: str,
    progress: Progress,
    asked: Asked = BY_HAND,
    *,
    split: Split | None = None,
    evaluated: bool = True,
    given: Path | None = None,
    begin: From = "",
    publish_by: PublishBy | None = None,
    kind: Kind = "full",
) -> Result:
    """Run in full, as `batch.jobs.full.run` does, and keep the record of it.

    After a run that did not end well, it goes on from what that one had read and learnt.

    Args:
        settings: Frozen settings of this run.
        connect: Gives a client of the store; a store that is away is the run's failure too.
        location: Folder or URL of the facts.
        progress: Where to show the steps.
        asked: Who began it, and for which time.
        split: As `run` takes it.
        evaluated: As `run` takes it.
        given: As `run` takes it.
        begin: Stage to begin at, see `batch.jobs.resume.start_night`.
        publish_by: As `run` takes it.
        kind: As its record names it.

    Raises:
        RunStopped: Somebody wanted it to end; RunGoesOn: another run goes on, here or on another host.
        Exception: What `run` and the store raise.
    """
    with begun(settings, connect, progress, kind, asked) as (record, store):
        night = start_night(settings, store, location, progress, record, _how(split, evaluated), begin)
        with progress.step("count"):
            keep_overview(settings, night.facts, location, record)
        if night.model is not None and given is None:
            progress.skip("evaluate", "estimate", "train")
        result = run(
            settings,
            store,
            location,
            progress,
            split=split,
            evaluated=evaluated,
            facts=night.facts,
            given=given,
            trained=night.model,
            anew=begin in ANEW,
            keep=night.keep_model,
            publish_by=publish_by,
        )
        _tell(record, asdict(result))
        prune_models(settings.state_dir, settings.models_kept)
    return result


def run_part(
    settings: Settings,
    connect: Connect,
    location: str,
    progress: Progress,
    part: Part,
    asked: Asked = BY_HAND,
) -> None:
    """Run a full run up to its facts, or from these up to its model, and keep that for what follows.

    Args:
        settings: Frozen settings of this run.
        connect: Gives a client of the store.
        location: Folder or URL of the facts.
        progress: Where to show the steps.
        part: `preprocess` reads and checks the facts; `train` tests and trains on those that are kept. What
            is left is `run_full` from `features` on.
        asked: Who began it, and for which time.

    Raises:
        NothingKept: Facts are not kept, before or after it.
        Exception: What `run_full` raises.
    """
    if part == "train" and find_baseline(settings.variant) is not None:
        raise ValueError(f"variant {settings.variant!r} is a peer's, which has no model to train apart")
    with begun(settings, connect, progress, part, asked) as (record, store):
        begin: From = "read" if part == "preprocess" else "train"
        night = start_night(settings, store, location, progress, record, _how(None, evaluated=True), begin)
        if night.kept is None:
            raise NothingKept(
                f"{part} leaves nothing behind: facts cannot be kept, since ALMANAC_RESUME_H is 0 or for "
                "the reason that the log gives as facts.unkept"
            )
        record.tell(as_of_s=night.facts.as_of_s)
        if part == "train":
            with progress.step("describe"):
                statics = asof.describe(night.facts, settings.seed)
            how: dict[str, Any] = {"split": None, "evaluated": True, "keep": night.keep_model}
            model = learn(settings, night.facts, location, Start(statics, None), progress, **how)
            record.tell(chosen=describe_choice(model.metrics))
            record.describe(model=model.fingerprint, metrics=model.metrics)


def run_refresh(
    settings: Settings,
    connect: Connect,
    location: str,
    progress: Progress,
    asked: Asked = BY_HAND,
    *,
    split: Split | None = None,
    evaluated: bool = True,
) -> dict[str, Any]:
    """Refresh what is served, as `run_incremental` does, and keep the record of it.

    Raises:
        RunStopped: Somebody wanted it to end; RunGoesOn: another run goes on, here or on another host.
        Exception: What `run_incremental` and the store raise.
    """
    with begun(settings, connect, progress, "refresh", asked) as (record, store):
        result = run_incremental(settings, store, location, progress, split=split, evaluated=evaluated)
        _tell(record, result)
    return result


def _how(split: Split | None, evaluated: bool) -> str:
    """Return what a model depends on beside facts, settings and code."""
    return f"{split} {evaluated}"


def _tell(record: Record, result: dict[str, Any]) -> None:
    record.result = result
    as_of_s, chosen = epoch(datetime.fromisoformat(result["as_of"])), result.get("chosen", "")
    record.tell(generation=result["generation"], as_of_s=as_of_s, chosen=chosen)
    record.describe(
        metrics=result.get("metrics", {}), **{name: result[name] for name in ("facts", "model", "root")}
    )


@contextmanager
def begun(
    settings: Settings, connect: Connect, progress: Progress, kind: Kind, asked: Asked = BY_HAND
) -> Iterator[tuple[Record, redis.Redis]]:
    """Give the record of a run and a client of the store, while no other run goes on."""
    runs, key = Runs(settings.state_dir), settings.keys.runs_now()
    with recorded(runs, progress, kind, settings.variant, asked, kept=settings.runs_kept) as record:
        record.describe(parameters=settings.plain)
        with connect() as store, hold_turn(store, key, kind, record.number):
            yield record, store
