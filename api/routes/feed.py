"""The feed, in the shape that the feed checker asks for."""

from collections.abc import Callable
from typing import Any, get_args

from fastapi import APIRouter, Request, Response

from api.contract.buckets import Label, moment
from api.errors import UNAVAILABLE
from api.feed import Choice, LookUp, Rung, answer, body, stands
from api.schemas import DEFAULT_LIMIT, At, Limit, Post, UserId
from api.store import Store

router = APIRouter(tags=["feed"])

HEADERS = {
    "X-Almanac-Generation": {
        "description": "The generation that answered.",
        "schema": {"type": "integer"},
    },
    "X-Almanac-Bucket": {
        "description": "Start of the time bucket that answered, UTC.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "X-Almanac-Rung": {
        "description": "The lowest rung of the fallback ladder that was needed. own: the first `limit` "
        "places of the user's own list; rest: its deeper places; then the popular posts of his segment, "
        "those of everyone, and the whole catalogue.",
        "schema": {"type": "string", "enum": get_args(Rung)},
    },
    "X-Almanac-Time": {
        "description": "exact: the time lies in the generation's horizon. nearest: after it, so the same "
        "time of the nearest day answered. leaky: before the newest fact that entered the generation.",
        "schema": {"type": "string", "enum": get_args(Label)},
    },
    "X-Almanac-Age": {
        "description": "Seconds since the generation became current.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Almanac-Fact-Age": {
        "description": "Seconds from the newest fact that entered the generation to the time asked for.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
FEED_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The posts, best first.", "headers": HEADERS},
    **UNAVAILABLE,
}


@router.get("/post/recommendations/", response_model=list[Post], responses=FEED_RESPONSES)
@router.get("/post/recommendations", include_in_schema=False)
async def recommendations(
    request: Request, user_id: UserId, at_s: At = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """Answer a user's feed at a time: ranked ahead of time, without what he has seen by then."""
    clock: Callable[[], float] = request.state.clock
    store: Store = request.state.store
    now_s = int(clock())
    found = await store.look_up(user_id, now_s if at_s is None else at_s)
    choice = answer(found, limit)
    if not stands(found, choice):
        found = await store.see_all(found)
        choice = answer(found, limit)
    return Response(
        body(choice, found.generation.posts),
        media_type="application/json",
        headers=_headers(found, choice, now_s),
    )


def _headers(found: LookUp, choice: Choice, now_s: int) -> dict[str, str]:
    manifest = found.generation.manifest
    return {
        "X-Almanac-Generation": str(manifest.generation),
        "X-Almanac-Bucket": moment(found.bucket_s).isoformat(),
        "X-Almanac-Rung": choice.rung,
        "X-Almanac-Time": manifest.horizon.label_for(found.at_s, manifest.as_of_s),
        "X-Almanac-Age": str(max(0, now_s - found.pointer.promoted_at_s)),
        "X-Almanac-Fact-Age": str(max(0, found.at_s - manifest.as_of_s)),
    }
