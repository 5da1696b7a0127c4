"""The commands of experiments. No logic."""

import typer

from batch.cli.verdicts import plan, report

app = typer.Typer(help="Compare variants on users, and say which is better.", no_args_is_help=True)
app.command()(report)
app.command()(plan)
