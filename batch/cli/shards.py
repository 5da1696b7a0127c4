"""Commands of a night in shards: what begins it and what ends it; `almanac run --shard` is between them."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from batch.cli.listen import notified, tracked
from batch.cli.options import (
    Data,
    Generation,
    Json,
    Mapped,
    Place,
    TestFrom,
    TestTo,
    read_settings,
    read_span,
)
from batch.cli.output import Output
from batch.cli.run import connect


def prepare(
    shards: Annotated[int, typer.Option(min=1, help="how many parts users are cut into")],
    to: Place = "",
    data: Data = "",
    mapping: Mapped = "",
    test_from: TestFrom = None,
    test_to: TestTo = None,
    evaluate: Annotated[bool, typer.Option(help="measure on the split before training on all")] = True,
    variant: Annotated[str, typer.Option(help="publish under this name")] = "",
    json: Json = False,
) -> None:
    """Read facts and train; freeze what shards score by, and begin the generation that they write."""
    from batch.jobs.night import run_full
    from batch.jobs.shards import prepare_by
    from batch.learn.split import Split
    from batch.store.connection import facts_location

    output, settings = Output(json=json), read_settings(mapping=mapping, variant=variant)
    span = read_span(test_from, test_to)
    location = data or facts_location(settings)
    opened = partial(connect, settings, location, output.progress)
    with notified(settings), tracked(settings):
        made = run_full(
            settings,
            opened,
            location,
            output.progress,
            split=Split(*span) if span else None,
            evaluated=evaluate,
            publish_by=prepare_by(shards, to),
            kind="prepare",
        )
        output.emit(asdict(made) | {"lists_written": 0, "shards": shards})


def seal(
    variant: Annotated[str, typer.Option(help="of the generation")] = "",
    generation: Generation = None,
    json: Json = False,
) -> None:
    """Join the shards of the prepared generation, judge it, and make it current."""
    from batch.jobs.shards import run_seal
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings(variant=variant)
    with notified(settings), tracked(settings):
        opened = partial(connect_store, settings, output.progress)
        output.emit(run_seal(settings, opened, output.progress, generation=generation))
