"""Options that several commands share."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.contract.buckets import epoch
from api.contract.facets import TOPIC, Filter, spell

if TYPE_CHECKING:
    from batch.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="print one JSON object as the last line")]
Data = Annotated[
    str, typer.Option("--data", help="folder or SQLAlchemy URL of facts; else ALMANAC_DATABASE_URL")
]
Mapped = Annotated[str, typer.Option("--mapping", help="mapping of a foreign schema: a name or a TOML file")]
Replace = Annotated[bool, typer.Option("--replace", help="write over facts that lie there")]
At = Annotated[datetime | None, typer.Option("--at", help="time, UTC; now where not given")]
AsOf = Annotated[datetime | None, typer.Option(help="when the lists were made, UTC; now where not given")]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="only posts of this topic, or of one of these")
]
NotTopics = Annotated[
    list[str] | None, typer.Option("--not-topic", help="no post of this topic, or of these")
]
Facets = Annotated[list[str] | None, typer.Option("--filter", help="only posts with a value: brand=acme")]
TestFrom = Annotated[datetime | None, typer.Option(help="first test day; else the last week's")]
TestTo = Annotated[datetime | None, typer.Option(help="day after the last test day")]
To = Annotated[str, typer.Option(help="folder, SQLite or PostgreSQL URL; else where `almanac run` reads")]
Generation = Annotated[int | None, typer.Option(help="number of the prepared one; else the newest")]
Place = Annotated[
    str, typer.Option("--to", help="folder that all machines see, or an fsspec URL; else the state folder")
]
Candidates = Annotated[str, typer.Option(help="peers, with commas between, whose posts `two_stage…` rank")]
PerUser = Annotated[int, typer.Option(min=0, help="posts that each of them gives a user; 0: the setting's")]
Aim = Annotated[str, typer.Option("--aim", help="of their ranker: classification or lambdarank")]


def read_span(test_from: datetime | None, test_to: datetime | None) -> tuple[int, int] | None:
    """Return the begin and the end of a test, epoch seconds; None where no begin is given."""
    return (epoch(test_from), epoch(test_to or datetime.max)) if test_from else None  # noqa: DTZ901 - no end


def read_wish(
    topics: list[str] | None, not_topics: list[str] | None, facets: list[str] | None
) -> Filter | None:
    """Read what is wanted of posts, as requests say it; None where it is nothing.

    Raises:
        ValueError: A filter is none.
    """
    for facet in facets or ():
        if "=" not in facet:
            raise ValueError(
                f"--filter {facet!r} is no filter: a column, `=` and a value, such as brand=acme"
            )
    any_of, none_of = ([spell(TOPIC, name) for name in names or ()] for names in (topics, not_topics))
    return Filter.of([*any_of, *(facets or ())], none_of)


def refuse_wish(wish: Filter | None) -> None:
    """Refuse a filter where the user's own list is looked at.

    Raises:
        ValueError: There is one.
    """
    if wish is not None:
        raise ValueError("--why looks at the whole list: leave --topic, --not-topic and --filter out")


def read_settings(**options: Any) -> "Settings":
    """Read the settings; an option that is not empty stands over its variable.

    Raises:
        ValueError: A value does not fit its setting; the message names the variable and the value.
    """
    from batch.settings import Settings

    return Settings(**{name: value for name, value in options.items() if value})
