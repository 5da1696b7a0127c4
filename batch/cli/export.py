"""`almanac export`: what would be served, in a file."""

import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.contract.buckets import epoch
from batch.cli.options import Json, read_settings
from batch.cli.output import Output


def export(
    variant: Annotated[str, typer.Option(help="whose lists; else ALMANAC_VARIANT")] = "",
    users: Annotated[
        Path | None, typer.Option(help="file of user ids, one a line; else all who have lists")
    ] = None,
    form: Annotated[
        Literal["parquet", "csv", "jsonl"], typer.Option("--format", help="how the file is written")
    ] = "parquet",
    posts: Annotated[bool, typer.Option("--posts", help="with text and topic of each post")] = False,
    out: Annotated[
        Path | None, typer.Option(help="file to write; else export-<variant>-<generation>.<format> here")
    ] = None,
    at: Annotated[
        datetime | None, typer.Option("--at", "--as-of", help="time, UTC; now where not given")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="posts a user")] = 10,
    json: Json = False,
) -> None:
    """Write what users would be answered at a time, one row a user and rank: for mails and pushes."""
    from batch.jobs.export import export as write
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings(variant=variant)
    with connect_store(settings, output.progress) as client:
        done = write(
            settings,
            client,
            output.progress,
            at_s=epoch(at) if at else int(time.time()),
            limit=limit,
            form=form,
            out=out,
            users_file=users,
            with_posts=posts,
        )
    output.emit(asdict(done))
