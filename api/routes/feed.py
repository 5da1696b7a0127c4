"""The feed, in the shape that the feed checker asks for and in our own.

These routes document both and answer whatever `hot.py` leaves to them: all that is unusual or wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from api.auth import needs_read
from api.contract.buckets import moment
from api.contract.profile import BadProfile
from api.errors import GONE, UNAUTHORIZED, UNAVAILABLE
from api.feed import LookUp, Page, body, underfill
from api.routes.answer import DESCRIBED, feed_for, headers, label, page_for
from api.schemas.answer import Feed, Post, Problem
from api.schemas.cursor import Cursor, read_cursor
from api.schemas.parameter import (
    At,
    CursorText,
    Exclude,
    Limit,
    NativeAt,
    PathUserId,
    Profile,
    UserId,
    Variant,
)
from api.schemas.value import DEFAULT_LIMIT, read_exclude, read_profile
from api.store.store import NothingPublished, Store

router = APIRouter(tags=["feed"], dependencies=[Depends(needs_read)])

OK: dict[str, Any] = {"headers": dict(DESCRIBED)}
UNPUBLISHED: dict[str, Any] = {
    "model": Problem,
    "description": "Nothing is published under the variant's name.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The posts, best first.", **OK},
    404: UNPUBLISHED,
    **UNAUTHORIZED,
    **UNAVAILABLE,
}
NATIVE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page of posts, best first, and where it comes from.", **OK},
    404: UNPUBLISHED,
    **GONE,
    **UNAUTHORIZED,
    **UNAVAILABLE,
}


@router.get("/post/recommendations/", response_model=list[Post], responses=RESPONSES)
@router.get("/post/recommendations", include_in_schema=False)
async def recommendations(
    request: Request,
    user_id: UserId,
    at_s: At = None,
    limit: Limit = DEFAULT_LIMIT,
    variant: Variant = None,
    profile: Profile = None,
) -> Response:
    """Answer a user's feed at a time: ranked ahead of time, without what he has seen by then."""
    store, now_s = _asked(request)
    with _refusing(store, variant):
        at, fields = now_s if at_s is None else at_s, read_profile(profile or ())
        found, choice = await feed_for(store, user_id, at, limit, variant, fields)
    return _respond(body(choice, found.generation.posts), headers(found, choice, limit, now_s))


@router.get("/users/{user_id}/feed", response_model=Feed, responses=NATIVE_RESPONSES)
async def feed(
    request: Request,
    user_id: PathUserId,
    at_s: NativeAt = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
    exclude: Exclude = "",
    variant: Variant = None,
    profile: Profile = None,
) -> Response:
    """Answer a page of a user's feed at a time, and name the next one."""
    store, now_s = _asked(request)
    begin = None if cursor is None else read_cursor(cursor)
    if begin is not None and begin.user_id != user_id:
        raise HTTPException(422, _foreign(begin))
    at, excluded = now_s if at_s is None else at_s, read_exclude(exclude)
    with _refusing(store, variant):
        found, shown = await page_for(
            store,
            user_id,
            at,
            limit,
            cursor=begin,
            excluded=excluded,
            variant=variant,
            profile=read_profile(profile or ()),
        )
    said = headers(found, shown.choice, limit, now_s, excluded)
    return _respond(native_body(found, shown, limit, excluded), said)


def native_body(found: LookUp, shown: Page, limit: int, excluded: frozenset[int] = frozenset()) -> bytes:
    """Write a page as a JSON object, its posts from their own JSON."""
    manifest = found.generation.manifest
    then = None
    if shown.then is not None:
        then = Cursor(manifest.generation, manifest.created_at_s, found.user_id, found.at_s, shown.then)
    said = {
        "user_id": found.user_id,
        "at": moment(found.at_s).isoformat(),
        "variant": manifest.variant,
        "generation": manifest.generation,
        "bucket": moment(found.bucket_s).isoformat(),
        "time": label(found),
        "rung": shown.choice.rung,
        "degraded": found.degraded,
        "underfill": underfill(found, shown.choice, limit, excluded),
        "next": None if then is None else str(then),
    }
    return b'%b,"posts":%b}' % (orjson.dumps(said)[:-1], body(shown.choice, found.generation.posts))


def _asked(request: Request) -> tuple[Store, int]:
    clock: Callable[[], float] = request.state.clock
    store: Store = request.state.store
    return store, int(clock())


@contextmanager
def _refusing(store: Store, variant: str | None) -> Iterator[None]:
    """Answer 404 where nothing is published under the name asked for, 422 where a profile cannot be."""
    try:
        yield
    except BadProfile as exc:
        fault = {"type": "profile", "loc": ["query", "profile"], "msg": str(exc), "input": None}
        raise HTTPException(422, [fault]) from exc
    except NothingPublished as exc:
        if variant in (None, store.variant):
            raise
        raise HTTPException(404, str(exc)) from exc


def _respond(content: bytes, said: list[tuple[bytes, bytes]]) -> Response:
    response = Response(content, media_type="application/json")
    response.raw_headers.extend(said)
    return response


def _foreign(cursor: Cursor) -> list[dict[str, object]]:
    message = f"cursor={str(cursor)!r} belongs to user {cursor.user_id}: ask for his feed, or without it"
    return [{"type": "cursor", "loc": ["query", "cursor"], "msg": message, "input": str(cursor)}]
