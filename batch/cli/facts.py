"""Commands that bring facts: make a world, copy tables."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from batch.cli.options import Json, Mapped, Replace, To, read_settings
from batch.cli.output import Output

app = typer.Typer(invoke_without_command=True)


@app.callback()
def simulate(
    context: typer.Context,
    users: Annotated[int, typer.Option(min=1)] = 2_000,
    posts: Annotated[int, typer.Option(min=100)] = 7_023,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    taste: Annotated[float, typer.Option(min=0.0, help="strength of tastes; 1: as in the real rows")] = 1.0,
    regime: Annotated[str, typer.Option(help="gaussian, typed or moving")] = "gaussian",
    days: Annotated[int, typer.Option(min=1, help="of the feed; 421 posts seen a user in 90")] = 90,
    most_words: Annotated[int, typer.Option(min=0, help="of a text; 0: as many as in the real rows")] = 0,
    to: To = "",
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Make a world of users, posts and a feed, calibrated to the StartML rows."""
    if context.invoked_subcommand is not None:
        return
    from batch.data.write import write
    from batch.simulate.config import WorldConfig
    from batch.simulate.feed import tables
    from batch.store.connection import facts_location

    output, settings = Output(json=json), read_settings()
    start = WorldConfig().end - timedelta(days)
    config = WorldConfig(users, posts, seed, regime, taste, start, most_words=most_words)  # type: ignore[arg-type] # checked by the class
    with output.progress.step("simulate") as advance:
        rows = write(
            to or facts_location(settings),
            tables(config),
            replace=replace,
            stall_s=settings.database_stall_s,
            advance=advance,
        )
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    (settings.state_dir / "world.json").write_text(config.to_json())
    output.emit({"rows": rows, "seconds": output.progress.seconds})


@app.command()
def traffic(
    experiment: Annotated[str, typer.Option(help="whose answers are wanted: it must run")],
    url: Annotated[str, typer.Option(help="of the API")] = "http://127.0.0.1:8000",
    token: Annotated[
        str, typer.Option(envvar="ALMANAC_TOKEN", help="of scope write; else that of the API's first start")
    ] = "",
    users: Annotated[int, typer.Option(min=1, help="of the world's users, how many come")] = 1_000,
    minutes: Annotated[float, typer.Option(min=0.01, help="how long")] = 5.0,
    per_s: Annotated[float, typer.Option(min=0.1, max=200.0, help="visits a second, of two requests")] = 20.0,
    visits: Annotated[int, typer.Option(min=0, help="how many at most; 0: as many as fit")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="seed of who comes and what they like")] = 42,
    json: Json = False,
) -> None:
    """Let users of the world made last ask an API during an experiment, and tell it what they like."""
    from batch.jobs.traffic import Load, find_token, load_truth, play
    from batch.simulate.guests import Guests

    output, settings = Output(json=json), read_settings()
    with output.progress.step("simulate"):
        guests = Guests.draw(load_truth(settings.state_dir), users, seed)
    told = token or find_token(settings.state_dir)
    load = Load(url, told, experiment, per_s, 60 * minutes, visits or None)
    played = play(guests, load, output.progress)
    output.emit({**played.values(), "seconds": output.progress.seconds})


def import_(
    source: Annotated[str, typer.Argument(help="folder or SQLAlchemy URL to read")],
    to: To = "",
    mapping: Mapped = "",
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be read and rejected, and guess a mapping")
    ] = False,
    write_mapping: Annotated[
        str, typer.Option(help="a dry run that writes the guessed mapping to this TOML file")
    ] = "",
    json: Json = False,
) -> None:
    """Check facts and copy them to where runs read them."""
    from batch.cli.draw.look import draw_look
    from batch.data.load import copy_facts, look_at
    from batch.store.connection import facts_location

    output, settings = Output(json=json), read_settings(mapping=mapping)
    if dry_run or write_mapping:
        with output.progress.step("look") as advance:
            looked = look_at(settings, source, write_mapping, advance)
        output.emit(asdict(looked), lambda console: draw_look(console, looked))
        if looked.problem:
            raise typer.Exit(3)
        return
    with output.progress.step("import") as advance:
        report = copy_facts(settings, source, to or facts_location(settings), advance, replace=replace)
    output.emit({**asdict(report), "seconds": output.progress.seconds})
