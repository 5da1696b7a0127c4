"""`almanac runs`: what was run, what runs, and how to end it. Parse, call, print."""

from typing import Annotated

import typer

from batch.cli.draw import runs as picture
from batch.cli.options import Json, read_settings
from batch.cli.output import Output
from batch.runs.record import describe_run

app = typer.Typer(help="What was run, and what runs: look, follow, cancel.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="run")]
Newest = Annotated[int | None, typer.Argument(help="run; the newest where not given")]


@app.command(name="list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="runs to list")] = 20,
    kind: Annotated[str, typer.Option(help="only runs of a kind: full, refresh, backfill …")] = "",
    json: Json = False,
) -> None:
    """List the newest runs: what, when, how long, how it ended."""
    from batch.runs.runs import Runs

    output, settings = Output(json=json), read_settings()
    found = Runs(settings.state_dir).recent(limit, kind=kind)
    output.emit({"runs": [describe_run(run) for run in found]}, lambda c: picture.draw_list(c, found))


@app.command()
def show(run: Number, json: Json = False) -> None:
    """Show one run: how it ended and why, and each of its stages."""
    from batch.runs.runs import Runs

    output, settings = Output(json=json), read_settings()
    found = Runs(settings.state_dir).show(run)
    output.emit(describe_run(found), lambda c: picture.draw_show(c, found))


@app.command()
def tail(
    run: Newest = None,
    lines: Annotated[int, typer.Option(min=1, help="last lines to print")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the run has ended")] = False,
    json: Json = False,
) -> None:
    """Print the last log lines of a run, which are JSON."""
    from batch.runs.runs import Runs
    from batch.runs.tail import tail as read_tail

    output, runs = Output(json=json), Runs(read_settings().state_dir)
    found = runs.show(run) if run is not None else runs.newest()
    for line in read_tail(runs, found.number, lines, follow=follow):
        typer.echo(line)
    if json:
        output.emit(describe_run(runs.show(found.number)))


@app.command()
def cancel(run: Number, json: Json = False) -> None:
    """Ask a run to end at its next checkpoint; what is served stays."""
    from batch.runs.runs import Runs

    output, settings = Output(json=json), read_settings()
    Runs(settings.state_dir).ask_stop(run, "cancelled", "`almanac runs cancel` asked for it")
    output.emit({"asked_to_end": run})
