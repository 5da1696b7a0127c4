"""Options that several commands share."""

from datetime import datetime
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="print one JSON object as the last line")]
Data = Annotated[
    str, typer.Option("--data", help="folder or SQLAlchemy URL of facts; else ALMANAC_DATABASE_URL")
]
Mapped = Annotated[str, typer.Option("--mapping", help="mapping of a foreign schema: a name or a TOML file")]
Replace = Annotated[bool, typer.Option("--replace", help="write over facts that lie there")]
At = Annotated[datetime | None, typer.Option("--at", help="time, UTC; now where not given")]
