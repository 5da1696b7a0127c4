"""Commands that stay up until Ctrl-C: the API, the embedded store, the demo."""

from typing import Annotated

import typer

from batch.cli.options import Data, Json, read_settings
from batch.cli.output import Teller
from batch.jobs.stop import told_to_stop


def serve(
    host: Annotated[str, typer.Option(envvar="ALMANAC_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="ALMANAC_PORT", min=1, max=65535)] = 8000,
    json: Json = False,
) -> None:
    """Serve the current generation over HTTP until Ctrl-C."""
    from batch.jobs.api_process import environment, serve_forever
    from batch.store.connection import store_url

    teller, settings = Teller(json=json), read_settings()
    with store_url(settings) as url:
        exit_code = serve_forever(environment(settings, url, host, port))
    teller.tell({"stopped": True})
    raise typer.Exit(exit_code)


def store(json: Json = False) -> None:
    """Keep the embedded store up, for `redis-cli`, until Ctrl-C."""
    from batch.store.connection import store_url

    teller, settings = Teller(json=json), read_settings()
    with store_url(settings) as url:
        teller.tell({"url": url, "look": f"redis-cli -u {url}"})
        told_to_stop().get()


def demo(
    data: Data = "",
    once: Annotated[bool, typer.Option("--once", help="end after the feeds are printed")] = False,
    users: Annotated[int, typer.Option(min=3, help="users of the made world")] = 1_000,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    json: Json = False,
) -> None:
    """Make a world (or read --data), train, publish, serve, and print three users' feeds."""
    from batch.cli.draw.demo import draw_demo
    from batch.jobs.demo import demo as show
    from batch.simulate.config import WorldConfig

    teller, settings = Teller(json=json), read_settings()
    with show(
        settings, data, WorldConfig(n_users=users, seed=settings.seed), teller.progress, host, port
    ) as shown:
        teller.tell(shown.values(), lambda console: draw_demo(console, shown))
        if not once:
            told_to_stop().get()
