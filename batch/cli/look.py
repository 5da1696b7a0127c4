"""Commands that look without changing anything: a user's list, what a run would take."""

import time
from typing import Annotated

import typer

from api.contract.buckets import epoch
from batch.cli.options import At, Json, read_settings
from batch.cli.output import Output


def inspect(user: Annotated[int, typer.Argument(help="user id")], at: At = None, json: Json = False) -> None:
    """Show a user's list at a time, what they have seen, and what the API would answer."""
    from batch.cli.draw.demo import draw_inspection
    from batch.jobs.inspect import inspect as look
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    with connect_store(settings) as client:
        found = look(client, settings, user, epoch(at) if at else int(time.time()))
    output.emit(found, lambda console: draw_inspection(console, found))


def plan(
    users: Annotated[int, typer.Option(min=1, help="users with lists")] = 163_205,
    posts: Annotated[int, typer.Option(min=1, help="posts to rank")] = 7_023,
    seen: Annotated[int, typer.Option(min=0, help="posts a user has seen")] = 421,
    likes: Annotated[int, typer.Option(min=0, help="posts a user has liked")] = 50,
    text_bytes: Annotated[int, typer.Option(min=0, help="length of a post as it is answered")] = 1_200,
    json: Json = False,
) -> None:
    """Predict what a run will take in this store, from a probe of a second or two, and whether it fits."""
    import numpy as np

    from api.contract.keys import Keys
    from batch.publish.memory.plan import Sizes
    from batch.publish.memory.probe import plan_memory
    from batch.publish.store import GenerationStore
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    sizes = Sizes.of_numbers(
        users=users,
        posts=posts,
        buckets=settings.n_buckets,
        depth=settings.depth,
        seen=seen,
        likes=likes,
        text_bytes=text_bytes,
    )
    with connect_store(settings) as client:
        rng = np.random.default_rng(settings.seed)
        store = GenerationStore(client, Keys(settings.prefix))
        found = plan_memory(store, sizes, settings.generations_kept, rng)
    output.emit(found.values())
    if found.refusal():
        raise typer.Exit(4)
