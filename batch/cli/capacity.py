"""The command that says what a load would take."""

from typing import Annotated

import typer

from batch.cli.options import Json, read_settings
from batch.cli.output import Output


def capacity(
    users: Annotated[int, typer.Option(min=1, help="users with lists")] = 163_205,
    posts: Annotated[int, typer.Option(min=1, help="posts to rank")] = 7_023,
    events_per_day: Annotated[int, typer.Option(min=0, help="views and likes")] = 850_000,
    rps: Annotated[float, typer.Option(min=0.0, help="feed requests a second at the busiest time")] = 100.0,
    days: Annotated[int, typer.Option(min=1, help="of events that a night reads")] = 90,
    text_bytes: Annotated[int, typer.Option(min=0, help="length of a post as it is answered")] = 1_200,
    distinct: Annotated[
        float | None,
        typer.Option(
            min=1.0, help="lists of a user that differ by hour; 1: without trees", show_default="all"
        ),
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="of a machine")] = 2,
    memory_gb: Annotated[float, typer.Option(min=1.0, help="of a machine")] = 24.0,
    json: Json = False,
) -> None:
    """Say what a load would take: the store's bytes, a night's minutes and memory, machines."""
    from batch.publish.capacity import Load, Machine, find_capacity

    output, settings = Output(json=json), read_settings()
    load = Load(
        users,
        posts,
        events_per_day,
        rps,
        days=days,
        buckets=settings.n_buckets,
        depth=settings.depth,
        text_bytes=text_bytes,
        kept=settings.generations_kept,
        layout=settings.layout,
        distinct=distinct,
    )
    output.emit(find_capacity(load, Machine(cores, memory_gb)).values())
