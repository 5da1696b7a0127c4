"""`almanac pins`: posts that stand at a place of their own, now or later. Parse, call, print."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from api.contract.buckets import epoch
from batch.cli.options import Json, read_settings
from batch.cli.output import Output, as_table

if TYPE_CHECKING:
    import redis

    from api.contract.keys import Keys

app = typer.Typer(help="Posts that stand at a place of their own, for some time.", no_args_is_help=True)

Post = Annotated[str, typer.Argument(help="post id; no generation need know it yet")]


@contextmanager
def _desk(output: Output) -> Iterator[tuple["redis.Redis", "Keys", str]]:
    """Give the store, the keys and the variant."""
    from batch.store.connection import connect_store

    settings = read_settings()
    with connect_store(settings, output.progress) as store:
        yield store, settings.keys, settings.variant


@app.command(name="set")
def set_(
    post: Post,
    place: Annotated[int, typer.Option(help="of the first page, from 1 to 100")] = 1,
    from_: Annotated[datetime | None, typer.Option("--from", help="first time it holds at, UTC")] = None,
    to: Annotated[datetime | None, typer.Option(help="time that it no longer holds at, UTC")] = None,
    topic: Annotated[str | None, typer.Option(help="only where this topic is asked for")] = None,
    segment: Annotated[str | None, typer.Option(help="only for users of this segment")] = None,
    json: Json = False,
) -> None:
    """Pin a post to a place, from the next request on; an earlier pin of it ends."""
    from api.contract.pin import Pin
    from batch.publish.pins import set_pin
    from batch.store.who import who_am_i

    output = Output(json=json)
    from_s, to_s = (None if at is None else epoch(at) for at in (from_, to))
    pin = Pin(place, from_s, to_s, topic, segment)
    with _desk(output) as desk:
        output.emit(set_pin(*desk, post, pin, time.time(), who_am_i()))


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List the pins by place, those of other times too."""
    from batch.publish.pins import list_pins

    output = Output(json=json)
    with _desk(output) as desk:
        rows = list_pins(*desk)
        output.emit({"pins": rows}, lambda c: c.print(as_table({"pins": rows or "none"})))


@app.command()
def remove(post: Post, json: Json = False) -> None:
    """End a post's pin, from the next request on."""
    from batch.publish.pins import remove_pin
    from batch.store.who import who_am_i

    output = Output(json=json)
    with _desk(output) as desk:
        remove_pin(*desk, post, time.time(), who_am_i())
        output.emit({"removed": post})
