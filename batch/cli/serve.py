"""Commands that stay up until Ctrl-C: the API, the embedded store, the demo."""

from typing import Annotated

import typer

from batch.cli.options import Data, Json, read_settings
from batch.cli.output import Output
from batch.jobs.stop import stop_signal

Host = Annotated[str, typer.Option(envvar="ALMANAC_HOST", help="address to listen on")]
Port = Annotated[int, typer.Option(envvar="ALMANAC_PORT", min=1, max=65535, help="port to listen on")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    json: Json = False,
) -> None:
    """Serve the current generation over HTTP until Ctrl-C."""
    from batch.jobs.api_process import environment, find_port, serve_forever
    from batch.store.connection import store_url

    output, settings = Output(json=json), read_settings()
    find_port(host, port)
    with store_url(settings, output.progress) as url:
        serve_forever(environment(settings, url, host, port))
    output.emit({"stopped": True})


def store(json: Json = False) -> None:
    """Keep the embedded store up, for `redis-cli`, until Ctrl-C."""
    from api.address import hide_password
    from batch.store.connection import store_url

    output, settings = Output(json=json), read_settings()
    with store_url(settings, output.progress) as url:
        shown = hide_password(url)
        output.emit({"url": shown, "look": f"redis-cli -u {shown}"})
        stop_signal().get()


def demo(
    data: Data = "",
    once: Annotated[bool, typer.Option("--once", help="end after the feeds are printed")] = False,
    users: Annotated[int, typer.Option(min=3, help="users of the made world")] = 1_000,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    json: Json = False,
) -> None:
    """Make a world (or read --data), train, publish, serve, and print three users' feeds."""
    from batch.cli.draw.demo import draw_demo
    from batch.jobs.demo import demo as start
    from batch.simulate.config import WorldConfig

    output, settings = Output(json=json), read_settings()
    world = WorldConfig(n_users=users, seed=settings.seed)
    with start(settings, data, world, output.progress, host, port) as shown:
        output.emit(shown.values(), lambda console: draw_demo(console, shown))
        if not once:
            stop_signal().get()
