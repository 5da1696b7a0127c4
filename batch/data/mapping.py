"""A mapping: what a foreign schema calls our tables, columns and events. Read from TOML, checked, frozen."""

import re
import tomllib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from batch.data.columns import ACTION, CLOCK, FEED, OPTIONAL, POSTS, REQUIRED, TARGET, TIMESTAMP, USERS
from batch.data.event_form import EventForm, parse_events
from batch.data.facts import Shown
from batch.data.tables.form import FileForm, parse_form
from batch.data.toml import refuse_unknown, take_list, take_section, take_text

TimeUnit = Literal["s", "ms", "us", "ns"]

KEYS = (
    "tables",
    "columns",
    "files",
    "events",
    "profile",
    "embeddings",
    "properties",
    "time",
    "like_within_s",
    "shown",
)
LISTS = (USERS, POSTS)  # whose columns may hold lists
DAY_S = 86_400
_NUMBERED = re.compile(r"f\d+")
_SHIPPED = files("batch.data") / "mappings"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How times are written.

    Attributes:
        unit: Unit of times that are numbers, since 1970-01-01 UTC; None guesses it from their size.
        format: Of times that are text or numbers, with the letters of `strptime`; empty: ISO 8601, or a unit.
        zone: IANA name of the zone of times without an offset, and of hours of the day; empty: UTC.
    """

    unit: TimeUnit | None = None
    format: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """How to read a schema as ours; `Mapping()` reads StartML's, which is ours.

    Attributes:
        tables: Our table name to theirs; an unnamed table keeps its name and may be absent.
        columns: Our table name to (our column to theirs); an unnamed column keeps its name.
        files: Our table name to how its files are written; what is not said is found out.
        events: What the feed's rows are.
        separators: Our table name to (our column to what stands between the values of its lists).
        profile: Our names of the profile columns to keep; None keeps every column but `user_id`.
        embeddings: The columns of embeddings to keep; None keeps every column but `post_id`.
        properties: Our columns of posts to their names of the properties that hold them, which stand in the
            table `post_properties`; empty: the posts' own table is read.
        time: How times are written.
        like_within_s: Where no `target` is given, a view counts as liked when the same user's like of
            the same post follows within this many seconds.
        post_columns: Further columns of posts to read, by our names.
        shown: What a view says: `impressions` of a feed, or the user's own `choices`; None: choices where
            the feed has neither an action nor a target, so that no row can be a no.
    """

    tables: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, FileForm] = field(default_factory=dict)
    events: EventForm = field(default_factory=EventForm)
    separators: dict[str, dict[str, str]] = field(default_factory=dict)
    profile: tuple[str, ...] | None = None
    embeddings: tuple[str, ...] | None = None
    properties: dict[str, str] = field(default_factory=dict)
    time: TimeForm = field(default_factory=TimeForm)
    like_within_s: int = DAY_S
    shown: Shown | None = None
    post_columns: tuple[str, ...] = ()

    def table(self, ours: str) -> str:
        """Return their name of our table."""
        return self.tables.get(ours, ours)

    def column(self, table: str, ours: str) -> str:
        """Return their name of our column in our table.

        >>> Mapping(columns={"feed_data": {"user_id": "personId"}}).column("feed_data", "user_id")
        'personId'
        """
        return self.columns.get(table, {}).get(ours, ours)

    def form(self, table: str) -> FileForm:
        """Return how the files of our table are written.

        Where all columns are called f0, f1, … and nothing else is said, the files name none.
        """
        form, theirs = self.files.get(table, FileForm()), self.columns.get(table, {}).values()
        if form.header is None and theirs and all(_NUMBERED.fullmatch(name) for name in theirs):
            return replace(form, header=())
        return form

    def required(self, table: str) -> tuple[str, ...]:
        """Return our names of the columns that our table must have."""
        by_name = table == FEED and self.events.only
        return (*REQUIRED[table], ACTION) if by_name else REQUIRED[table]

    @classmethod
    def load(cls, name_or_path: str | Path, post_columns: tuple[str, ...] = ()) -> "Mapping":
        """Load a shipped mapping by name or any other by its file; empty is the identity.

        `post_columns` are columns of posts to read beside ours, which a mapping may then name.

        Raises:
            ValueError: No such mapping, no TOML, or a key or value that a mapping does not have.
        """
        if not str(name_or_path):
            return cls(post_columns=post_columns)
        shipped = _SHIPPED / f"{name_or_path}.toml"
        path = shipped if shipped.is_file() else Path(name_or_path)
        if not path.is_file():
            ships = sorted(Path(file.name).stem for file in _SHIPPED.iterdir())
            raise ValueError(
                f"no mapping {str(name_or_path)!r}: give a TOML file or one of {', '.join(ships)}"
            )
        try:
            return cls.from_toml(tomllib.loads(path.read_text("utf-8")), post_columns)
        except ValueError as exc:  # tomllib's errors are ValueErrors too
            raise ValueError(f"mapping {name_or_path}: {exc}") from exc

    @classmethod
    def from_toml(cls, raw: dict[str, Any], post_columns: tuple[str, ...] = ()) -> "Mapping":
        """Check and freeze a parsed TOML document.

        Raises:
            ValueError: A key is unknown or a value has the wrong form; the message names both.
        """
        refuse_unknown("key", raw, KEYS)
        time, tables = (take_section(raw, name) for name in ("time", "tables"))
        columns, separators = _columns(take_section(raw, "columns"), post_columns)
        refuse_unknown("table in [tables]", tables, REQUIRED)
        events = parse_events(take_section(raw, "events")) if "events" in raw else EventForm()
        shown = _one_of("shown", raw["shown"], get_args(Shown)) if "shown" in raw else None
        if events.weights and shown != "choices":
            raise ValueError(
                'events.weights count where users choose: set shown = "choices", or leave them out'
            )
        return cls(
            tables={ours: take_text(f"tables.{ours}", theirs) for ours, theirs in tables.items()},
            columns=_with_target(columns, events),
            files=_files(take_section(raw, "files")),
            separators=separators,
            events=events,
            profile=_kept(raw, "profile"),
            embeddings=_kept(raw, "embeddings"),
            properties=_properties(take_section(raw, "properties"), post_columns),
            time=_time_form(time),
            like_within_s=_seconds(raw.get("like_within_s", DAY_S)),
            shown=shown,
            post_columns=post_columns,
        )


def _kept(raw: dict[str, Any], name: str) -> tuple[str, ...] | None:
    """Return the columns that a section keeps; None where it is not there."""
    section = take_section(raw, name)
    refuse_unknown(f"key in [{name}]", section, ("columns",))
    return tuple(_names(f"{name}.columns", section["columns"])) if section else None


def _names(where: str, value: object) -> list[str]:
    return [take_text(where, item) for item in take_list(where, value)]


def _properties(section: dict[str, Any], post_columns: tuple[str, ...]) -> dict[str, str]:
    refuse_unknown("column in [properties]", section, (*OPTIONAL[POSTS], *post_columns))
    return {ours: take_text(f"properties.{ours}", theirs) for ours, theirs in section.items()}


def _columns(
    section: dict[str, Any], post_columns: tuple[str, ...]
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return the tables' names of columns, and what separates the values of lists."""
    refuse_unknown("table in [columns]", section, REQUIRED)
    renames: dict[str, dict[str, str]] = {}
    separators: dict[str, dict[str, str]] = {}
    for table in section:
        names = take_section(section, table)
        if table != USERS:  # a profile column may have any name
            ours = (*REQUIRED[table], *OPTIONAL.get(table, ()), *(post_columns if table == POSTS else ()))
            refuse_unknown(f"column in [columns.{table}]", names, ours)
        if table == FEED and isinstance(names.get(TIMESTAMP), list):
            names = names | _date_and_clock(names[TIMESTAMP])
        if table in LISTS:
            lists = {ours: value for ours, value in names.items() if isinstance(value, dict)}
            split = {ours: _split(f"columns.{table}.{ours}", ours, value) for ours, value in lists.items()}
            names = names | {ours: theirs for ours, (theirs, _) in split.items()}
            if split:
                separators[table] = {ours: separator for ours, (_, separator) in split.items()}
        renames[table] = {
            ours: take_text(f"columns.{table}.{ours}", theirs) for ours, theirs in names.items()
        }
    return renames, separators


def _split(where: str, ours: str, value: dict[str, Any]) -> tuple[str, str]:
    """Return the name of a column of lists, and what separates their values."""
    refuse_unknown(f"key in {where}", value, ("column", "split"))
    theirs = take_text(f"{where}.column", value.get("column", ours))
    return theirs, take_text(f"{where}.split", value.get("split"))


def _files(section: dict[str, Any]) -> dict[str, FileForm]:
    refuse_unknown("table in [files]", section, REQUIRED)
    return {table: parse_form(table, take_section(section, table)) for table in section}


def _date_and_clock(names: list[object]) -> dict[str, object]:
    if len(names) != 2:
        raise ValueError(
            f"columns.{FEED}.{TIMESTAMP} = {names!r} must be a name, or two: date and time of day"
        )
    return dict(zip((TIMESTAMP, CLOCK), names, strict=True))


def _time_form(section: dict[str, Any]) -> TimeForm:
    refuse_unknown("key in [time]", section, ("unit", "format", "zone"))
    if "unit" in section and "format" in section:
        raise ValueError("[time] has a unit and a format: numbers follow one of them, leave the other out")
    return TimeForm(
        unit=_one_of("time.unit", section["unit"], get_args(TimeUnit)) if "unit" in section else None,
        format=_date_format(section["format"]) if "format" in section else "",
        zone=_zone(section["zone"]) if "zone" in section else "",
    )


def _date_format(value: object) -> str:
    """Return a format that says a whole date: without a year, times would lie in 1900."""
    pattern, probe = take_text("time.format", value), datetime(2021, 12, 29, tzinfo=UTC)
    try:
        told = datetime.strptime(probe.strftime(pattern), pattern).date()  # noqa: DTZ007 - a date alone
    except ValueError as exc:
        raise ValueError(f"time.format = {pattern!r} is no format of strptime: {exc}") from exc
    if told != probe.date():
        raise ValueError(f"time.format = {pattern!r} must hold a year, a month and a day")
    return pattern


def _zone(value: object) -> str:
    name = take_text("time.zone", value)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError(f"time.zone = {name!r} must be an IANA name such as Europe/Moscow") from exc
    return name


def _with_target(columns: dict[str, dict[str, str]], events: EventForm) -> dict[str, dict[str, str]]:
    """Return the names of columns, that which says what is liked as the feed's target."""
    name, feed = events.target.column, columns.get(FEED, {})
    if TARGET in feed and (name or events.mark):
        raise ValueError(
            f"columns.{FEED}.{TARGET} and [events] both say what is liked: leave one of them out"
        )
    return columns | {FEED: feed | {TARGET: name}} if name else columns


def _one_of(where: str, value: object, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{where} = {value!r} must be {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _seconds(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"like_within_s = {value!r} must be a whole number of seconds, 0 or more")
    return value
