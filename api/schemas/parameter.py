"""The routes' parameters: FastAPI reads them with our readers, documents them, says 422 in its own shape."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.value import (
    CURSOR,
    LIMITS,
    NAME,
    TIMES,
    read_cursor,
    read_exclude,
    read_facets,
    read_limit,
    read_post_id,
    read_profile,
    read_time,
    read_topics,
    read_user_id,
    read_variant,
)


def _reads(read: Callable[[Any], object], kind: str, *, kept: bool = False) -> BeforeValidator:
    """Let FastAPI call a reader and say its sentence as it stands; `kept` leaves the text to the route."""

    def validate(value: object) -> object:
        try:
            read_as = read(value)
        except ValueError as exc:
            raise PydanticCustomError(kind, "{sentence}", {"sentence": str(exc)}) from exc
        return value if kept else read_as

    return BeforeValidator(validate)


_ID = {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}]}
_TIME = WithJsonSchema({"type": "string", "format": "date-time", "examples": TIMES})
_User = Annotated[str, _reads(read_user_id, "user_id"), WithJsonSchema({**_ID, "examples": [200]})]
UserId = Annotated[_User, Query(alias="id", description="Whose feed. An unknown user gets what is popular.")]
PathUserId = Annotated[_User, Path(description="Whose feed. An unknown user gets what is popular.")]
ShopUserId = Annotated[
    _User, Query(description="Whose recommendations. An unknown user gets what is popular.")
]
At = Annotated[
    int | None,
    _reads(read_time, "time"),
    _TIME,
    Query(
        alias="time",
        description="The time of the feed: no post seen by then is in it. `T` or a space before the time "
        "of day, seconds and zone optional; no zone is UTC. Now, if left out.",
    ),
]
SimilarUserId = Annotated[
    str | None,
    _reads(read_user_id, "user_id"),
    WithJsonSchema({**_ID, "examples": [200]}),
    Query(alias="user_id", description="Who asks: what they have seen is left out. Nobody, if left out."),
]
SimilarAt = Annotated[
    int | None,
    _reads(partial(read_time, name="at"), "time"),
    _TIME,
    Query(
        alias="at",
        description="The time asked for: what the user has seen by then, and what is closed, is left out. "
        "Now, if left out.",
    ),
]
Limit = Annotated[
    int,
    _reads(read_limit, "limit"),
    WithJsonSchema({"type": "integer", "minimum": LIMITS[0], "maximum": LIMITS[-1], "examples": [5]}),
    Query(description="How many posts at most; fewer come only when there are no more."),
]
NativeAt = Annotated[
    int | None,
    _reads(partial(read_time, name="at"), "time"),
    _TIME,
    Query(alias="at", description="As `time` of the feed checker's route. With a cursor it has no effect."),
]
CursorText = Annotated[
    str | None,
    _reads(read_cursor, "cursor", kept=True),
    WithJsonSchema(
        {"type": "string", "pattern": CURSOR.pattern, "examples": ["42.1640358100.200.1640359000.10"]}
    ),
    Query(
        description="The `next` of the page before. All pages are of the first page's generation and time, "
        "so they neither repeat a post nor leave one out when another generation becomes current.",
    ),
]
Exclude = Annotated[
    str,
    _reads(read_exclude, "exclude", kept=True),
    WithJsonSchema({"type": "string", "examples": ["17,2331"]}),
    Query(
        description="Posts that are not wanted: ids separated by commas, at most 1,000. A comma of an id "
        "is given as two."
    ),
]
Variant = Annotated[
    str | None,
    _reads(read_variant, "variant"),
    WithJsonSchema({"type": "string", "pattern": NAME.pattern, "examples": ["default"]}),
    Query(
        description="Whose lists: the name of a published variant; the API's own, if left out. With a cursor "
        "it has no effect.",
    ),
]
Profile = Annotated[
    list[str] | None,
    _reads(read_profile, "profile", kept=True),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["age=25"]}}),
    Query(
        description="What is known of an unknown user, a column and its value, once for each: "
        "`profile=gender=1&profile=age=25`. They get the model's list for that profile, else what is popular "
        "in their segment. A user who has an own list gets that. Give the same with each page.",
    ),
]
Topics = Annotated[
    list[str] | None,
    _reads(read_topics, "topic", kept=True),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["tech"]}}),
    Query(
        alias="topic",
        description="Only posts of this topic, or, given more than once, of one of these; at most 20. A "
        "topic that no post has leaves none. Give the same with each page.",
    ),
]
NotTopics = Annotated[
    list[str] | None,
    _reads(partial(read_topics, name="not_topic"), "topic", kept=True),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["sport"]}}),
    Query(alias="not_topic", description="No post of this topic, or of any of these; at most 20."),
]
Facets = Annotated[
    list[str] | None,
    _reads(read_facets, "filter", kept=True),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["brand=acme"]}}),
    Query(
        alias="filter",
        description="Only posts with this value in a column that the batch filters by (`ALMANAC_FILTER_BY`): "
        "`filter=brand=acme`. Values of one column are alternatives, columns narrow; at most 20. "
        "`topic=tech` is `filter=topic=tech`.",
    ),
]
PathVariant = Annotated[
    str,
    WithJsonSchema({"type": "string", "examples": ["default"]}),
    Path(description="Whose lists: the name of a published variant."),
]
PathPostId = Annotated[
    str,
    _reads(read_post_id, "post_id"),
    WithJsonSchema({**_ID, "examples": [17]}),
    Path(description="Which post; it need not be published."),
]
PublishedPostId = Annotated[
    str,
    _reads(read_post_id, "post_id"),
    WithJsonSchema({**_ID, "examples": [17]}),
    Path(description="Which post of the current generation."),
]
