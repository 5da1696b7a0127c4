"""The command that publishes lists which somebody else made."""

from typing import Annotated

import typer

from api.contract.buckets import DAY_S
from batch.cli.listen import tracked
from batch.cli.options import AsOf, Json, read_settings
from batch.cli.output import Output

LONGEST_S = 366 * DAY_S


def publish(
    lists: Annotated[
        str, typer.Argument(help="Parquet, CSV or JSON lines: file, glob, folder; with --query a URL")
    ] = "",
    query: Annotated[
        str, typer.Option("--query", help="SQL, asked of LISTS or of where `almanac run` reads facts")
    ] = "",
    variant: Annotated[str, typer.Option(help="publish under this name")] = "",
    items: Annotated[
        str,
        typer.Option("--items", help="table of all items: id, text, topic; else what is current knows them"),
    ] = "",
    as_of: AsOf = None,
    valid_for: Annotated[
        int, typer.Option(min=0, max=LONGEST_S, help="seconds that the lists hold; 0: ALMANAC_LIST_TTL_S")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check the lists, say what is wrong, and change nothing")
    ] = False,
    json: Json = False,
) -> None:
    """Publish lists that somebody else made: users, items, and a rank or a score."""
    from batch.cli.draw.lists import draw_lists
    from batch.publish.lists import publish_lists

    output, settings = Output(json=json), read_settings(variant=variant)
    with tracked(settings):
        found = publish_lists(
            lists,
            query=query,
            items=items or None,
            as_of=as_of,
            valid_for_s=valid_for or None,
            dry_run=dry_run,
            settings=settings,
            progress=output.progress,
        )
    output.emit(found.values(), lambda console: draw_lists(console, found))
    if found.refused:
        raise typer.Exit(3)
