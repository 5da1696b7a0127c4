"""`almanac report`: the data, the model and some users as one file for a browser."""

import csv
import time
from pathlib import Path
from typing import Annotated

import typer

from batch.cli.options import Json, read_settings
from batch.cli.output import Output


def report(
    out: Annotated[Path, typer.Option(help="HTML file to write; one that is there is replaced")],
    users: Annotated[
        str, typer.Option(help="whose histories and lists, with commas between; else three drawn")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="seed of who is drawn")] = 42,
    variant: Annotated[str, typer.Option(help="whose lists and metrics; else ALMANAC_VARIANT")] = "",
    json: Json = False,
) -> None:
    """Write one HTML file: the data of the newest run, the model's metrics, and histories beside lists."""
    from batch.extras import require_extra

    for module in ("jinja2", "starlette"):
        require_extra(module, "inspector")
    from batch.inspector.desk import Desk
    from batch.inspector.report import collect_report, write_report
    from batch.store.connection import open_store, store_url

    output, settings = Output(json=json), read_settings(variant=variant)
    chosen = [user.strip() for user in next(csv.reader([users], skipinitialspace=True), []) if user.strip()]
    with (
        store_url(settings, output.progress) as url,
        open_store(url, output.progress) as client,
        output.progress.step("report"),
    ):
        found = collect_report(Desk(settings, url, client, time.time), chosen, seed)
        n_bytes = write_report(found, out)
    about = {"generation": found["generation"], "run": (found["data"] or {}).get("run")}
    shown = [user["id"] for user in found["users"]]
    output.emit(
        {"out": str(out), "bytes": n_bytes, **about, "users": shown, "seconds": output.progress.seconds}
    )
