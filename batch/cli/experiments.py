"""The commands of experiments. No logic."""

import typer

from batch.cli.registry import archive, create, list_, show, start, stop
from batch.cli.verdicts import plan, report

app = typer.Typer(help="Compare variants on users, and say which is better.", no_args_is_help=True)
for command in (create, show, start, stop, archive, report, plan):
    app.command()(command)
app.command(name="list")(list_)
