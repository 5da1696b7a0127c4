"""`almanac forget`: all that is kept of one user."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from batch.cli.options import Json, read_settings
from batch.cli.output import Output


def forget(
    user: Annotated[str, typer.Argument(help="user id")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask first")] = False,
    json: Json = False,
) -> None:
    """Take a user out of store, kept generations, models and live events for good; the facts stay yours."""
    from batch.jobs.forget import forget as forget_user
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody is here to be asked: give --yes")
        typer.confirm("Forget this user for good, in all variants?", abort=True)
    with connect_store(settings, output.progress) as client:
        output.emit(asdict(forget_user(settings, client, user, output.progress)))
