"""The feed, in the shape that the feed checker asks for and in our own.

These routes document both and answer whatever `hot.py` leaves to them: all that is unusual or wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from api.auth import needs_read
from api.contract.buckets import moment
from api.contract.facets import Filter
from api.contract.ids import as_json, canonical
from api.contract.profile import BadProfile
from api.cursor import Cursor
from api.errors import GONE, UNAUTHORIZED, UNAVAILABLE, UNPUBLISHED, Responses
from api.feed import Answer
from api.log import request_id
from api.routes.answer import DESCRIBED, headers
from api.routes.head import ASKED
from api.routes.repeated import refuse_repeated
from api.routes.text import TEXT
from api.routes.wish import Wish, describe_fault, refuse_unfiltered
from api.schemas.answer import Feed, Grouped, Post
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
from api.schemas.value import DEFAULT_LIMIT, read_cursor, read_exclude, read_profile
from api.store.errors import NothingPublished
from api.store.store import Store

router = APIRouter(tags=["feed"], dependencies=[Depends(needs_read), Depends(refuse_repeated)])

RESPONSES: Responses = {
    200: {"description": "The posts, best first.", "headers": dict(DESCRIBED)},
    **UNPUBLISHED,
    **UNAUTHORIZED,
    **UNAVAILABLE,
}
NATIVE_RESPONSES: Responses = {
    **RESPONSES,
    200: {
        "description": "A page of posts, best first, and where it comes from.",
        "headers": dict(DESCRIBED),
    },
    **GONE,
}


@router.get("/post/recommendations/", response_model=list[Post] | Grouped, responses=RESPONSES)
@router.get("/post/recommendations", include_in_schema=False)
async def recommendations(
    request: Request,
    user_id: UserId,
    at_s: At = None,
    limit: Limit = DEFAULT_LIMIT,
    variant: Variant = None,
    profile: Profile = None,
    wish: Wish = None,
) -> Response:
    """Answer a user's feed at a time: ranked ahead of time, without what they have seen by then.

    While an experiment with the response `ab` runs, the posts stand beside the user's group.
    """
    store, now_s = find_store(request)
    at, fields = now_s if at_s is None else at_s, read_profile(profile or ())
    with translate_errors(store, variant):
        given = await store.experiments.answer(
            "checker",
            user_id,
            now_s,
            variant,
            lambda name: store.answer(
                user_id, at, limit, variant=name, profile=fields, wish=wish, is_now=at_s is None
            ),
        )
    return _give(request, given, checker_body(given), now_s)


@router.get(f"/users/{{user_id:{TEXT}}}/feed", response_model=Feed, responses=NATIVE_RESPONSES)
async def feed(
    request: Request,
    user_id: PathUserId,
    at_s: NativeAt = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
    exclude: Exclude = "",
    variant: Variant = None,
    profile: Profile = None,
    wish: Wish = None,
) -> Response:
    """Answer a page of a user's feed at a time, and name the next one."""
    store, now_s = find_store(request)
    begin = None if cursor is None else read_cursor(cursor)
    if begin is not None:
        _refuse_foreign(begin, user_id, wish)
    with translate_errors(store, variant):
        ask = partial(
            store.answer,
            user_id,
            now_s if at_s is None else at_s,
            limit,
            profile=read_profile(profile or ()),
            excluded=read_exclude(exclude),
            wish=wish,
            is_now=at_s is None,
            cursor=begin,
            paged=True,
        )
        given = await store.experiments.answer(
            "feed", user_id, now_s, variant, lambda name: ask(variant=name)
        )
    return _give(request, given, native_body(given), now_s)


def checker_body(given: Answer) -> bytes:
    """Write the posts as a JSON array; beside the user's group while an experiment answers in that form."""
    placed = given.placed
    if placed is None or placed.experiment.response != "ab":
        return given.body
    group = placed.experiment.group_of(placed.arm).encode()
    return b'{"exp_group":"%b","recommendations":%b}' % (group, given.body)


def native_body(given: Answer) -> bytes:
    """Write a page as a JSON object, its posts from their own JSON."""
    found, manifest, cursor = given.found, given.found.generation.manifest, given.cursor
    said: dict[str, Any] = {
        "user_id": as_json(found.user_id, manifest.user_ids),
        "at": moment(found.at_s).isoformat(),
        "variant": manifest.variant,
        "generation": manifest.generation,
        "bucket": moment(found.bucket_s).isoformat(),
        "time": given.label,
        "rung": given.rung,
        "degraded": found.degraded,
        "underfill": given.underfill,
        "next": None if cursor is None else str(cursor),
    }
    if given.pinned:
        said["pinned"] = given.pinned_ids
    if given.drawn:
        said["explored"] = given.drawn_ids
    return b'%b,"posts":%b}' % (orjson.dumps(said)[:-1], given.body)


def find_store(request: Request) -> tuple[Store, int]:
    clock: Callable[[], float] = request.state.clock
    store: Store = request.state.store
    return store, int(clock())


@contextmanager
def translate_errors(store: Store, variant: str | None) -> Iterator[None]:
    """Answer 404 where nothing is published under the name, 422 where a profile or a filter cannot be."""
    try:
        with refuse_unfiltered():
            yield
    except BadProfile as exc:
        raise HTTPException(422, [describe_fault("profile", str(exc))]) from exc
    except NothingPublished as exc:
        if variant in (None, store.variant):
            raise
        raise HTTPException(404, str(exc)) from exc


def respond(content: bytes, said: list[tuple[bytes, bytes]]) -> Response:
    response = Response(content, media_type="application/json")
    response.raw_headers.extend(said)
    return response


def _give(request: Request, given: Answer, content: bytes, now_s: int) -> Response:
    """Answer, and leave a record of it where it is an experiment's."""
    if given.placed is not None and ASKED not in request.scope:
        request.state.store.exposures.note(given, request_id.get().encode(), request.state.clock)
    return respond(content, headers(given, now_s))


def _refuse_foreign(cursor: Cursor, user_id: str, wish: Filter | None) -> None:
    """Refuse a cursor of another user's feed, or of one with another filter: its place means nothing here."""
    why = ""
    if canonical(cursor.user_id, "numbers") != canonical(user_id, "numbers"):
        why = f"belongs to user {cursor.user_id}: ask for their feed, or without it"
    elif cursor.wish != (wish.digest if wish else ""):
        why = "belongs to another filter: give topic, not_topic and filter as with the page before"
    if why:
        fault = describe_fault("cursor", f"cursor={str(cursor)!r} {why}")
        raise HTTPException(422, [{**fault, "input": str(cursor)}])
