"""The routes' parameters: FastAPI reads them with our readers, documents them, says 422 in its own shape."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Path, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.cursor import CURSOR, read_cursor
from api.schemas.moment import TIMES, read_at, read_time
from api.schemas.value import (
    LIMITS,
    NAME,
    read_exclude,
    read_limit,
    read_post_id,
    read_profile,
    read_user_id,
    read_variant,
)


def _reads(read: Callable[[str], object], kind: str, *, kept: bool = False) -> BeforeValidator:
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


def _check_profile(value: object) -> object:
    """Check fields of a profile; the texts are kept for the route."""
    if isinstance(value, list):
        try:
            read_profile(value)
        except ValueError as exc:
            raise PydanticCustomError("profile", "{sentence}", {"sentence": str(exc)}) from exc
    return value


_User = Annotated[
    int,
    _reads(read_user_id, "user_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [200]}),
]
_Size = Annotated[
    int,
    _reads(read_limit, "limit"),
    WithJsonSchema({"type": "integer", "minimum": LIMITS[0], "maximum": LIMITS[-1], "examples": [5]}),
]
UserId = Annotated[
    _User,
    Query(alias="id", description="Whose feed. An unknown user gets what is popular."),
]
At = Annotated[
    int | None,
    _reads(read_time, "time"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": TIMES}),
    Query(
        alias="time",
        description="The time of the feed: no post seen by then is in it. `T` or a space before the time "
        "of day, seconds and zone optional; no zone is UTC. Now, if left out.",
    ),
]
Limit = Annotated[
    _Size,
    Query(description="How many posts at most; fewer come only when there are no more."),
]
PathUserId = Annotated[
    _User,
    Path(alias="user_id", description="Whose feed. An unknown user gets what is popular."),
]
NativeAt = Annotated[
    int | None,
    _reads(read_at, "time"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": TIMES}),
    Query(alias="at", description="As `time` of the feed checker's route. With a cursor it has no effect."),
]
CursorText = Annotated[
    str | None,
    _reads(read_cursor, "cursor", kept=True),
    WithJsonSchema({"type": "string", "pattern": CURSOR.pattern}),
    Query(
        alias="cursor",
        description="The `next` of the page before. All pages are of the first page's generation and time, "
        "so they neither repeat a post nor leave one out when another generation becomes current.",
    ),
]
Exclude = Annotated[
    str,
    _reads(read_exclude, "exclude", kept=True),
    WithJsonSchema({"type": "string", "examples": ["17,2331"]}),
    Query(alias="exclude", description="Posts that are not wanted: ids separated by commas, at most 1,000."),
]
Variant = Annotated[
    str | None,
    _reads(read_variant, "variant"),
    WithJsonSchema({"type": "string", "pattern": NAME.pattern}),
    Query(
        alias="variant",
        description="Whose lists: the name of a published variant; the API's own, if left out. With a cursor "
        "it has no effect.",
    ),
]
Profile = Annotated[
    list[str] | None,
    BeforeValidator(_check_profile),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["age=25"]}}),
    Query(
        alias="profile",
        description="What is known of an unknown user, a column and its value, once for each: "
        "`profile=gender=1&profile=age=25`. They get the model's list for that profile, else what is popular "
        "in their segment. A user who has an own list gets that. Give the same with each page.",
    ),
]

PathPostId = Annotated[
    int,
    _reads(read_post_id, "post_id"),
    WithJsonSchema({"type": "integer", "format": "int64", "examples": [17]}),
    Path(alias="post_id", description="Which post; it need not be published."),
]
ShopUserId = Annotated[
    _User,
    Query(alias="user_id", description="Whose recommendations. An unknown user gets what is popular."),
]
K = Annotated[
    _Size,
    Query(alias="k", description="How many posts at most; fewer come only when there are no more."),
]
