"""Commands that look back: how lists age, what somebody was shown, generations for the past. No logic."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer

from api.contract.buckets import epoch
from batch.settings import Settings
from batch.shell.console import Teller
from batch.shell.options import Data, Json


def evaluate(
    by_age: Annotated[bool, typer.Option("--by-age", help="quality of lists 0 to 72 hours old")] = False,
    data: Data = "",
    json: Json = False,
) -> None:
    """Measure on held-out sessions what lists are worth, from facts alone; nothing is published."""
    from batch.features import asof
    from batch.judge.by_age import AGES_H
    from batch.judge.by_age import by_age as measure
    from batch.judge.evaluate import Plan
    from batch.learn.split import last_week
    from batch.making import recipe
    from batch.run import read_facts
    from batch.shell.connection import facts_location
    from batch.show.ages import draw_ages

    if not by_age:
        raise typer.BadParameter("say what to measure: --by-age")
    teller, settings = Teller(json=json), Settings.from_env()
    with teller.progress.step("read") as advance:
        facts = read_facts(settings, data or facts_location(settings), advance)
    with teller.progress.step("describe"):
        known = asof.statics(facts, settings.seed)
    split = last_week(facts)
    if split is None:
        raise ValueError("no user of these facts comes back on a later day: nothing can be tested")
    with teller.progress.step("by age") as advance:
        curve = measure(facts, known, Plan(split, recipe(settings)), AGES_H, advance)
    teller.tell(curve.values(), lambda console: draw_ages(console, curve))


def replay(
    user: Annotated[int, typer.Option(help="user id")],
    at: Annotated[datetime, typer.Option(help="time, UTC")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="posts")] = 10,
    json: Json = False,
) -> None:
    """Show what a user was shown at a past time, or would have been, from what was known then."""
    from batch.publish.replay.open import replayer
    from batch.shell.connection import connected, events_location

    teller, settings = Teller(json=json), Settings.from_env()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with connected(settings) as store:
        found = replayer(
            settings.prefix, store, settings.variant, settings.state_dir, events_location(settings)
        )
        teller.tell(found.replay(user, epoch(at), limit).values())


def backfill(
    from_: Annotated[datetime | None, typer.Option("--from", help="first as_of, UTC")] = None,
    to: Annotated[datetime | None, typer.Option(help="last as_of, UTC")] = None,
    every: Annotated[str, typer.Option(help="step: 1h, 6h, 1d")] = "1d",
    load: Annotated[str, typer.Option(help="numbers to hold in the store, as in 1,2,5; or all")] = "",
    data: Data = "",
    json: Json = False,
) -> None:
    """Make generations for a past period on disk, and hold those that --load names in the store."""
    from batch import backfill as maker
    from batch.publish.past import listed
    from batch.shell.connection import connected, facts_location

    teller, settings = Teller(json=json), Settings.from_env()
    if (from_ is None) != (to is None) or (from_ is None and not load):
        raise typer.BadParameter("give --from and --to, or --load with what is on disk, or both")
    if from_ is not None and to is not None:
        period = maker.Period(epoch(from_), epoch(to), maker.every(every))
        maker.backfill(settings, data or facts_location(settings), period, teller.progress)
    made, loaded = listed(maker.folder_of(settings), settings.variant), {}
    if load:
        with connected(settings) as store:
            loaded = maker.load(settings, store, maker.numbers(load, made), teller.progress)
    rows = list(maker.rows(made, loaded))
    teller.tell({"generations": rows, "seconds": teller.progress.seconds})


COMMANDS: tuple[Callable[..., None], ...] = (evaluate, replay, backfill)
