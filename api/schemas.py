"""What comes in and goes out over HTTP: how parameters are read, what answers look like.

The `read_*` functions are plain, so that a route may call them by hand; the types beside them let FastAPI
call them, document them and answer 422 in its own shape.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.contract.buckets import epoch

INT64 = range(-(2**63), 2**63)
LIMITS = range(1, 101)
DEFAULT_LIMIT = 10
TIMES = ["2021-12-20 00:00:00", "2021-12-20T00:00", "2021-12-20T03:00:00+03:00"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
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


def read_time(text: str) -> int:
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
        raise ValueError(f"time={text[:40]!r} is not a time: {forms}")
    zone = (match["zone"] or "").upper().replace(" ", "+")
    try:
        return epoch(datetime.fromisoformat(f"{match['date']}T{match['clock'] or '00:00'}{zone}"))
    except ValueError as exc:
        raise ValueError(f"time={text[:40]!r} is no such time, {exc}: {forms}") from exc


def _said(read: Callable[[str], int], kind: str) -> BeforeValidator:
    """Let FastAPI call a reader and say its sentence as it stands."""

    def validate(value: object) -> int | None:
        if not isinstance(value, str):  # a default
            return value  # type: ignore[return-value]  # checked by the annotated type
        try:
            return read(value)
        except ValueError as exc:
            raise PydanticCustomError(kind, "{sentence}", {"sentence": str(exc)}) from exc

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


class Post(BaseModel):
    """A post, as it is answered."""

    id: int
    text: str
    topic: str


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
