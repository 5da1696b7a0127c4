"""Commands to look with: a user's list, what a run would take, one command to the store."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from api.contract.buckets import epoch
from batch.cli.listen import tracked
from batch.cli.options import At, Facets, Json, NotTopics, Topics, read_settings, read_wish, refuse_wish
from batch.cli.output import Output, Values

if TYPE_CHECKING:
    from rich.console import Console

    from batch.settings import Settings


def inspect(
    user: Annotated[str | None, typer.Argument(help="user id; none with --web")] = None,
    at: At = None,
    topics: Topics = None,
    not_topics: NotTopics = None,
    facets: Facets = None,
    why: Annotated[str, typer.Option(help="a post: why it stands in the list, or why it does not")] = "",
    web: Annotated[
        bool, typer.Option("--web", help="serve the inspector, pages for a browser, until Ctrl-C")
    ] = False,
    host: Annotated[str, typer.Option(help="of --web: address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="of --web: port; 0: a free one")] = 8010,
    name: Annotated[
        list[str] | None, typer.Option(help="of --web: another name that browsers call it by")
    ] = None,
    no_link: Annotated[
        bool, typer.Option("--no-link", help="of --web: print no link that lets in: tokens alone do")
    ] = False,
    json: Json = False,
) -> None:
    """Show a user's list at a time, what they have seen, and what the API would answer; or pages."""
    if web:
        serve_pages(host, port, tuple(name or ()), with_link=not no_link, json=json)
        return
    if user is None:
        raise typer.BadParameter("say whose list: almanac inspect USER; or --web for pages")
    from batch.cli.draw.demo import draw_inspection
    from batch.jobs.inspect import inspect as look
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    wish, at_s = read_wish(topics, not_topics, facets), epoch(at) if at else int(time.time())
    if why:
        refuse_wish(wish)
        _tell_why(output, settings, user, why, at_s)
        return
    with connect_store(settings, output.progress) as client:
        found = look(client, settings, user, at_s, wish=wish)
    output.emit(found, lambda console: draw_inspection(console, found))


def _tell_why(output: Output, settings: "Settings", user: str, post: str, at_s: int) -> None:
    from batch.cli.draw.why import draw_why
    from batch.jobs.why import find_why
    from batch.store.connection import connect_store

    with connect_store(settings, output.progress) as client:
        told = find_why(client, settings, user, post, at_s)
    output.emit(told.values(), lambda console: draw_why(console, told))


def serve_pages(host: str, port: int, names: tuple[str, ...], *, with_link: bool, json: bool) -> None:
    """Serve the inspector until Ctrl-C; print the link that lets in, or where it is."""
    from batch.extras import require_extra
    from batch.store.connection import store_url

    output, settings = Output(json=json), read_settings()

    def draw(where: Values) -> Callable[["Console"], None]:
        who = (
            f"It lets in once, within {where['valid_s']} s."
            if with_link
            else "A token of scope admin lets in."
        )
        said = f"Open {where['url']}\n{who} Ctrl-C ends the inspector."
        return lambda console: console.print(said, soft_wrap=True, highlight=False, markup=False)

    def tell(where: Values) -> None:
        output.emit(where, draw(where))

    for module in ("jinja2", "starlette", "tea_tasting", "uvicorn"):
        require_extra(module, "inspector")
    from batch.inspector.serve import serve_inspector

    with tracked(settings), store_url(settings, output.progress) as url:
        serve_inspector(settings, url, (host, port), names, tell, with_link=with_link)
    output.emit({"stopped": True})


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
        similar=settings.similar,
        layout=settings.layout,
    )
    with connect_store(settings, output.progress) as client:
        rng = np.random.default_rng(settings.seed)
        store = GenerationStore(client, settings.keys)
        found = plan_memory(store, sizes, settings.generations_kept, rng)
    output.emit(found.values())
    if found.refusal():
        raise typer.Exit(4)


def redis_(
    args: Annotated[
        list[str], typer.Argument(help="the command and its arguments, as `redis-cli` takes them")
    ],
    url: Annotated[str, typer.Option("--url", "-u", help="another store: redis:// URL")] = "",
    raw: Annotated[
        bool | None, typer.Option(help="values as they are; so too where the output is no terminal")
    ] = None,
    json: Json = False,
) -> None:
    """Send one command to the store, for where no `redis-cli` is; our options stand before it."""
    from batch.cli.draw.reply import as_bytes, as_text, as_value
    from batch.store.connection import connect_store
    from batch.store.reply import Refusal, call

    output, settings = Output(json=json), read_settings(redis_url=url)
    with connect_store(settings, output.progress) as client:
        reply = call(client, *map(os.fsencode, args))
    if json:
        output.emit({"error" if isinstance(reply, Refusal) else "reply": as_value(reply)})
    else:
        bare = raw if raw is not None else not sys.stdout.isatty()
        sys.stdout.buffer.write((as_bytes(reply) if bare else as_text(reply)) + b"\n")
    if isinstance(reply, Refusal):
        raise typer.Exit(1)
