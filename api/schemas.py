"""What comes in and goes out over HTTP: how parameters are read, what answers look like.

The `read_*` functions are plain, so that a route may call them by hand; the types beside them let FastAPI
call them, document them and answer 422 in its own shape.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.contract.buckets import Label, epoch
from api.feed import Degraded, Reason, Rung

INT64 = range(-(2**63), 2**63)
LIMITS = range(1, 101)
DEFAULT_LIMIT = 10
TIMES = ["2021-12-20 00:00:00", "2021-12-20T00:00", "2021-12-20T03:00:00+03:00"]

EXCLUDED_MOST = 1000

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_CURSOR = re.compile(r"[0-9]{1,18}\.-?[0-9]{1,18}(?:\.-?[0-9]{1,19}){2}\.[0-9]{1,9}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)"
    r"(?P<zone>Z|[+ -][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.IGNORECASE,
)


def read_user_id(text: str) -> int:
    """Read a user's id.

    Raises:
        ValueError: It is no integer of 64 bits.

    >>> read_user_id("200")
    200
    """
    if _INTEGER.fullmatch(text) and int(text) in INT64:
        return int(text)
    raise ValueError(f"id={text[:40]!r} is not a user id: an integer from -2^63 to 2^63-1, such as 200")


def read_post_id(text: str) -> int:
    """Read a post's id.

    Raises:
        ValueError: It is no integer of 64 bits.

    >>> read_post_id("17")
    17
    """
    if _INTEGER.fullmatch(text) and int(text) in INT64:
        return int(text)
    raise ValueError(f"post_id={text[:40]!r} is not a post id: an integer from -2^63 to 2^63-1, such as 17")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: at a place in the order that one generation gives a user at a time.

    >>> read_cursor(str(Cursor(42, 1640358100, 200, 1640359000, 10)))
    Cursor(generation=42, created_at_s=1640358100, user_id=200, at_s=1640359000, start=10)
    """

    generation: int
    created_at_s: int
    user_id: int
    at_s: int
    start: int

    def __str__(self) -> str:
        """Write as text that needs no escape in a URL."""
        return f"{self.generation}.{self.created_at_s}.{self.user_id}.{self.at_s}.{self.start}"


def read_cursor(text: str) -> Cursor:
    """Read what an earlier page named as `next`.

    Raises:
        ValueError: It is no cursor.
    """
    if _CURSOR.fullmatch(text):
        cursor = Cursor(*map(int, text.split(".")))
        if cursor.user_id in INT64 and cursor.at_s in INT64:
            return cursor
    raise ValueError(
        f"cursor={text[:60]!r} is not a cursor: give the `next` of the page before, as it stands"
    )


def read_exclude(text: str) -> frozenset[int]:
    """Read post ids separated by commas; empty is none.

    Raises:
        ValueError: It is no such list, or longer than 1,000.

    >>> sorted(read_exclude("17,2331"))
    [17, 2331]
    """
    parts = text.split(",") if text else []
    if len(parts) <= EXCLUDED_MOST and all(map(_INTEGER.fullmatch, parts)):
        return frozenset(map(int, parts))
    raise ValueError(
        f"exclude={text[:40]!r} is not a list of posts: at most {EXCLUDED_MOST} ids, such as 17,2331"
    )


def read_variant(text: str) -> str:
    """Read a variant's name.

    Raises:
        ValueError: It cannot be one.

    >>> read_variant("bold-2")
    'bold-2'
    """
    if _NAME.fullmatch(text):
        return text
    raise ValueError(f"variant={text[:40]!r} is not a name: 1 to 64 letters, digits, `_`, `-` or `.`")


def read_limit(text: str) -> int:
    """Read how many posts are wanted.

    Raises:
        ValueError: It is no integer, or outside 1..100.

    >>> read_limit("5")
    5
    """
    if _INTEGER.fullmatch(text) and int(text) in LIMITS:
        return int(text)
    raise ValueError(f"limit={text[:40]!r} is not a number of posts: an integer from 1 to 100, such as 10")


def read_time(text: str, name: str = "time") -> int:
    """Read a time as epoch seconds; without a zone it is UTC.

    A space before the zone was a `+` that the client did not escape.

    Raises:
        ValueError: It is no such time; the message shows the forms allowed.

    >>> read_time("2021-12-20 00:00:00"), read_time("2021-12-20T00:00Z"), read_time("2021-12-20")
    (1639958400, 1639958400, 1639958400)
    >>> read_time("2021-12-20T03:00:00 03:00")
    1639958400
    """
    forms = "write 2021-12-20 00:00:00 or 2021-12-20T00:00, with a zone such as Z or +03:00 if it is not UTC"
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}={text[:40]!r} is not a time: {forms}")
    zone = (match["zone"] or "").upper().replace(" ", "+")
    try:
        return epoch(datetime.fromisoformat(f"{match['date']}T{match['clock'] or '00:00'}{zone}"))
    except ValueError as exc:
        raise ValueError(f"{name}={text[:40]!r} is no such time, {exc}: {forms}") from exc


def read_at(text: str) -> int:
    """Read a time as `read_time` does, for a parameter named `at`.

    Raises:
        ValueError: It is no such time.
    """
    return read_time(text, "at")


def _said(read: Callable[[str], object], kind: str, *, kept: bool = False) -> BeforeValidator:
    """Let FastAPI call a reader and say its sentence as it stands; `kept` leaves the text to the route."""

    def validate(value: object) -> object:
        if not isinstance(value, str):  # a default
            return value
        try:
            read_as = read(value)
        except ValueError as exc:
            raise PydanticCustomError(kind, "{sentence}", {"sentence": str(exc)}) from exc
        return value if kept else read_as

    return BeforeValidator(validate)


UserId = Annotated[
    int,
    _said(read_user_id, "user_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [200]}),
    Query(alias="id", description="Whose feed. An unknown user gets what is popular."),
]
At = Annotated[
    int | None,
    _said(read_time, "time"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": TIMES}),
    Query(
        alias="time",
        description="The time of the feed: no post seen by then is in it. `T` or a space before the time "
        "of day, seconds and zone optional; no zone is UTC. Now, if left out.",
    ),
]
Limit = Annotated[
    int,
    _said(read_limit, "limit"),
    WithJsonSchema({"type": "integer", "minimum": LIMITS[0], "maximum": LIMITS[-1], "examples": [5]}),
    Query(description="How many posts at most; fewer come only when there are no more."),
]
PathUserId = Annotated[
    int,
    _said(read_user_id, "user_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [200]}),
    Path(alias="user_id", description="Whose feed. An unknown user gets what is popular."),
]
NativeAt = Annotated[
    int | None,
    _said(read_at, "time"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": TIMES}),
    Query(alias="at", description="As `time` of the feed checker's route. With a cursor it has no effect."),
]
CursorText = Annotated[
    str | None,
    _said(read_cursor, "cursor", kept=True),
    WithJsonSchema({"type": "string", "pattern": _CURSOR.pattern}),
    Query(
        alias="cursor",
        description="The `next` of the page before. All pages are of the first page's generation and time, "
        "so they neither repeat a post nor leave one out when another generation becomes current.",
    ),
]
Exclude = Annotated[
    str,
    _said(read_exclude, "exclude", kept=True),
    WithJsonSchema({"type": "string", "examples": ["17,2331"]}),
    Query(alias="exclude", description="Posts that are not wanted: ids separated by commas, at most 1,000."),
]
Variant = Annotated[
    str | None,
    _said(read_variant, "variant"),
    WithJsonSchema({"type": "string", "pattern": _NAME.pattern}),
    Query(
        alias="variant",
        description="Whose lists: the name of a published variant; the API's own, if left out. With a cursor "
        "it has no effect.",
    ),
]

PathPostId = Annotated[
    int,
    _said(read_post_id, "post_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [17]}),
    Path(alias="post_id", description="Which post; it need not be published."),
]
ShopUserId = Annotated[
    int,
    _said(read_user_id, "user_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [200]}),
    Query(alias="user_id", description="Whose recommendations. An unknown user gets what is popular."),
]
K = Annotated[
    int,
    _said(read_limit, "limit"),
    WithJsonSchema({"type": "integer", "minimum": LIMITS[0], "maximum": LIMITS[-1], "examples": [5]}),
    Query(alias="k", description="How many posts at most; fewer come only when there are no more."),
]


class Post(BaseModel):
    """A post, as it is answered."""

    id: int
    text: str
    topic: str


class Feed(BaseModel):
    """A page of a user's feed, and where it comes from."""

    user_id: int
    at: datetime
    variant: str
    generation: int
    bucket: datetime
    time: Label
    rung: Rung
    degraded: Degraded
    underfill: Reason | None
    posts: list[Post]
    next: str | None


class Ready(BaseModel):
    """What is being served."""

    variant: str
    generation: int
    as_of: datetime
    n_posts: int


class Health(BaseModel):
    """The process runs."""

    status: str


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
