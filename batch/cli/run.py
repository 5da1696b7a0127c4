"""Commands that publish: once, or at set times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from batch.cli.listen import notified, tracked, watched
from batch.cli.options import (
    Aim,
    Candidates,
    Data,
    Generation,
    Json,
    Mapped,
    PerUser,
    Place,
    TestFrom,
    TestTo,
    read_settings,
    read_span,
)
from batch.cli.output import Output

if TYPE_CHECKING:
    import redis

    from batch.jobs.full import PublishBy
    from batch.progress import Progress
    from batch.settings import Settings


def run(
    data: Data = "",
    mapping: Mapped = "",
    test_from: TestFrom = None,
    test_to: TestTo = None,
    evaluate: Annotated[bool, typer.Option(help="measure on the split before training on all")] = True,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="score only what moved since the last run, where that will do"),
    ] = False,
    variant: Annotated[
        str, typer.Option(help="publish under this name; a peer's name publishes that peer's lists")
    ] = "",
    candidates: Candidates = "",
    per_user: PerUser = 0,
    aim: Aim = "",
    model: Annotated[
        Path | None, typer.Option(help="rank by this LightGBM text, trained on what `almanac features` wrote")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="read the facts and fit anew, though earlier runs have left both")
    ] = False,
    from_: Annotated[
        str, typer.Option("--from", help="begin at a stage, such as train, by what a run has kept")
    ] = "",
    shard: Annotated[
        str, typer.Option(help="only score and write this part of users, such as 2/4, of what was prepared")
    ] = "",
    generation: Generation = None,
    on: Annotated[
        str, typer.Option(help="ray, or ray:<address>: its workers score and write users, in shards")
    ] = "",
    shards: Annotated[
        int, typer.Option(min=0, help="how many parts they are cut into; 0: two for each worker")
    ] = 0,
    to: Place = "",
    json: Json = False,
) -> None:
    """Read facts, train, score every user × post × bucket, and publish one generation."""
    if shard:
        _run_shard(shard, generation, variant, json=json)
        return
    from batch.jobs.night import run_full, run_refresh
    from batch.jobs.resume import From
    from batch.learn.split import Split
    from batch.store.connection import facts_location

    if incremental and model is not None:
        raise ValueError(
            "--incremental refreshes by the model that is served: run --model whole, then refresh"
        )
    begin = cast("From", "read" if fresh else from_)
    if begin not in get_args(From):
        raise ValueError(f"--from {begin} is no stage: give one of {', '.join(get_args(From)[1:])}")
    if incremental and begin:
        raise ValueError("--incremental reads the facts each time: leave out --fresh and --from")
    if (incremental and on) or ((shards or to) and not on):
        raise ValueError("--shards and --to go with --on, and --on with whole runs alone")
    output = Output(json=json)
    stages = {"candidates": candidates, "candidates_per_user": per_user, "ranker_aim": aim}
    settings = read_settings(mapping=mapping, variant=variant, **stages)
    span = read_span(test_from, test_to)
    split = Split(*span) if span else None
    location = data or facts_location(settings)
    what = (settings, partial(connect, settings, location, output.progress), location, output.progress)
    with notified(settings), tracked(settings):
        if incremental:
            output.emit(run_refresh(*what, split=split, evaluated=evaluate))
        else:
            by = _engine(on, shards, to) if on else None
            output.emit(
                asdict(
                    run_full(*what, split=split, evaluated=evaluate, given=model, begin=begin, publish_by=by)
                )
            )


def _engine(on: str, shards: int, to: str) -> "PublishBy":
    """Return what publishes by workers on several machines."""
    from batch.jobs.on_ray import parse_engine, publish_on_ray

    return publish_on_ray(parse_engine(on), shards, to)


def _run_shard(shard: str, generation: int | None, variant: str, *, json: bool) -> None:
    """Write one shard of a prepared generation."""
    from batch.jobs.shards import parse_shard, run_shard
    from batch.store.connection import connect_store

    output, settings, which = Output(json=json), read_settings(variant=variant), parse_shard(shard)
    opened = partial(connect_store, settings, output.progress)
    with notified(settings):
        output.emit(asdict(run_shard(settings, opened, which, output.progress, generation=generation)))


@contextmanager
def connect(settings: "Settings", location: str, progress: "Progress") -> Iterator["redis.Redis"]:
    """Give a client of the store; without facts to run on no store is started."""
    from batch.data.load import refuse_absent
    from batch.store.connection import connect_store

    refuse_absent(settings, location)
    with connect_store(settings, progress) as client:
        yield client


def features(
    out: Annotated[Path, typer.Option(help="folder to write to")],
    data: Data = "",
    mapping: Mapped = "",
    json: Json = False,
) -> None:
    """Write the rows that train our trees, as Parquet, for a model of your own."""
    from batch.data.load import refuse_absent
    from batch.jobs.features import write_features
    from batch.store.connection import facts_location

    output, settings = Output(json=json), read_settings(mapping=mapping)
    location = data or facts_location(settings)
    refuse_absent(settings, location)
    output.emit(asdict(write_features(settings, location, out, output.progress)))


def schedule(
    data: Data = "",
    at_start: Annotated[bool, typer.Option(help="run once before the first time of ALMANAC_SCHEDULE")] = True,
    json: Json = False,
) -> None:
    """Run and refresh at the times of the schedules, and when the API is asked to, until SIGTERM."""
    from batch.jobs.unattended import keep_up
    from batch.store.connection import facts_location, store_url

    output, settings = Output(json=json), read_settings()
    location, progress = data or facts_location(settings), output.progress
    with (
        notified(settings),
        tracked(settings),
        store_url(settings, progress) as url,
        watched(settings, url),
    ):
        keep_up(settings, url, location, progress, at_start=at_start)
    output.emit({"stopped": True})
