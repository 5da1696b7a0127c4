"""What was published of somebody else's lists, on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # it loads the publisher, which a picture does not need
    from batch.publish.lists import Published


def draw_lists(console: Console, found: "Published") -> None:
    """Say what was read, what is wrong with it, a line a fault, and what became of it."""
    console.print(
        f"{found.rows:,} rows: {found.lists:,} lists of {found.users:,} users, up to {found.depth} items "
        f"each; {found.posts:,} posts, known by {found.known_by}"
    )
    if found.rows_cut:
        console.print(f"{found.rows_cut:,} rows stand deeper than ALMANAC_DEPTH and are left out")
    if found.faults:
        table = Table("fault", "n", "share", "allowed", "first", box=None, padding=(0, 2, 0, 0))
        for line in found.faults:
            share, limit = f"{line.share:.2%} of {line.of}", f"{line.limit:.2%}"
            table.add_row(line.fault, f"{line.n:,}", share, limit, escape(line.example))
        console.print(table)
    when = f"from {found.valid_from} to {found.valid_until}"
    if found.manifest is not None:
        console.print(f"generation {found.manifest.generation} is served as {found.variant}, {when}")
    elif found.refused:
        console.print(f"would be refused: {escape(found.refused)}")
    else:
        console.print(f"would be served as {found.variant}, {when}; nothing was changed")
