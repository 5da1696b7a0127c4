"""Commands that look back: how lists age, what somebody was shown, generations for the past. No logic."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from api.contract.buckets import epoch
from batch.cli.options import Data, Json, Mapped, TestFrom, TestTo, read_settings, read_span
from batch.cli.output import Output


def evaluate(
    by_age: Annotated[bool, typer.Option("--by-age", help="quality of lists 0 to 72 hours old")] = False,
    data: Data = "",
    mapping: Mapped = "",
    test_from: TestFrom = None,
    test_to: TestTo = None,
    weeks: Annotated[int, typer.Option(min=1, help="so many tests of a week each")] = 1,
    cold: Annotated[bool, typer.Option("--cold", help="also on users and posts held out entirely")] = False,
    held: Annotated[float, typer.Option(min=0.01, max=0.5, help="share that --cold holds out")] = 0.1,
    json: Json = False,
) -> None:
    """Measure on what came later what lists are worth, from facts alone; nothing is published."""
    from batch.cli.draw import results
    from batch.evaluate import commands
    from batch.store.connection import facts_location
    from batch.tracking.measured import Measured

    output, settings = Output(json=json), read_settings(mapping=mapping)
    location = data or facts_location(settings)
    span, measured = read_span(test_from, test_to), Measured(settings, "evaluate")
    if by_age:
        report = commands.evaluate_by_age(settings, location, span, output.progress, measured.note)
        output.emit(report.values(), lambda console: results.draw_ages(console, report))
    else:
        share = held if cold else 0.0
        report = commands.evaluate(settings, location, span, weeks, share, output.progress, measured.note)
        values = {**report.values(), "seconds": output.progress.seconds}
        output.emit(values, lambda console: results.draw_evaluation(console, report))
    measured.tell_report(report)


def replay(
    user: Annotated[str, typer.Option(help="user id")],
    at: Annotated[datetime, typer.Option(help="time, UTC")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="posts")] = 10,
    json: Json = False,
) -> None:
    """Show what a user was shown at a past time, or would have been."""
    from batch.publish.replay.replay import open_replayer
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with connect_store(settings, output.progress) as store:
        found = open_replayer(settings.keys, store, settings.variant, settings.state_dir)
        output.emit(asdict(found.replay(user, epoch(at), limit)))


def backfill(
    from_: Annotated[datetime | None, typer.Option("--from", help="first as_of, UTC")] = None,
    to: Annotated[datetime | None, typer.Option(help="last as_of, UTC")] = None,
    every: Annotated[str, typer.Option(help="step: 1h, 6h, 1d")] = "1d",
    load: Annotated[str, typer.Option(help="numbers to hold in the store, as in 1,2,5; or all")] = "",
    data: Data = "",
    json: Json = False,
) -> None:
    """Make generations for a past period on disk, and hold those that --load names in the store."""
    from batch.jobs import backfill as maker
    from batch.publish.backfilled import list_backfilled
    from batch.store.connection import connect_store, facts_location

    output, settings = Output(json=json), read_settings()
    if (from_ is None) != (to is None) or (from_ is None and not load):
        raise typer.BadParameter("give --from and --to, or --load with what is on disk, or both")
    if from_ is not None and to is not None:
        period = maker.Period(epoch(from_), epoch(to), maker.parse_step(every))
        maker.backfill(settings, data or facts_location(settings), period, output.progress)
    made, loaded = list_backfilled(maker.folder_of(settings), settings.variant), {}
    if load:
        with connect_store(settings, output.progress) as store:
            loaded = maker.load(settings, store, maker.parse_numbers(load, made), output.progress)
    rows = list(maker.describe(made, loaded))
    output.emit({"generations": rows, "seconds": output.progress.seconds})
