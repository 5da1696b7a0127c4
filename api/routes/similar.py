"""Posts like a post: by look-up, as the feed is."""

from typing import Any, get_args

import orjson
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from api.auth import needs_read
from api.errors import UNAUTHORIZED, UNAVAILABLE, Responses
from api.routes.answer import DESCRIBED
from api.routes.feed import find_store, respond, translate_errors
from api.routes.repeated import refuse_repeated
from api.routes.text import TEXT
from api.schemas.answer import Problem, Similar
from api.schemas.parameter import Limit, PublishedPostId, SimilarAt, SimilarUserId, Variant
from api.schemas.value import DEFAULT_LIMIT
from api.similar import SimilarPosts, Step
from api.store.similar import PostUnknown

router = APIRouter(tags=["feed"], dependencies=[Depends(needs_read), Depends(refuse_repeated)])

_SAID = ("X-Almanac-Generation", "X-Almanac-Age", "X-Almanac-Degraded", "X-Almanac-Underfill")
_RUNG: dict[str, Any] = {
    "description": "The lowest rung that was needed. similar: the post's own neighbours; then the most "
    "popular posts of its topic, and the whole catalogue.",
    "schema": {"type": "string", "enum": get_args(Step)},
}
RESPONSES: Responses = {
    200: {
        "description": "Posts, nearest first.",
        "headers": {**{name: DESCRIBED[name] for name in _SAID}, "X-Almanac-Rung": _RUNG},
    },
    404: {"model": Problem, "description": "No such post, or nothing under the variant's name."},
    **UNAUTHORIZED,
    **UNAVAILABLE,
}


@router.get(f"/posts/{{post_id:{TEXT}}}/similar", response_model=Similar, responses=RESPONSES)
async def similar(
    request: Request,
    post_id: PublishedPostId,
    user_id: SimilarUserId = None,
    at_s: SimilarAt = None,
    limit: Limit = DEFAULT_LIMIT,
    variant: Variant = None,
) -> Response:
    """Answer posts like a post: never itself, none taken down or closed, none that the user has seen."""
    store, now_s = find_store(request)
    with translate_errors(store, variant):
        try:
            given = await store.answer_similar(
                post_id, limit, user_id, now_s if at_s is None else at_s, variant
            )
        except PostUnknown as exc:
            raise HTTPException(404, str(exc)) from exc
    return respond(_write_body(given), _write_headers(given, now_s))


def _write_body(given: SimilarPosts) -> bytes:
    found, manifest = given.found, given.found.generation.manifest
    said = {
        "post_id": orjson.loads(found.text)["id"],
        "variant": manifest.variant,
        "generation": manifest.generation,
        "rung": given.rung,
        "degraded": found.degraded,
        "underfill": given.underfill,
    }
    return b'%b,"posts":%b}' % (orjson.dumps(said)[:-1], given.body)


def _write_headers(given: SimilarPosts, now_s: int) -> list[tuple[bytes, bytes]]:
    found, underfill = given.found, given.underfill
    said = [
        (b"x-almanac-generation", b"%d" % found.pointer.generation),
        (b"x-almanac-rung", given.rung.encode()),
        (b"x-almanac-age", b"%d" % max(0, now_s - found.pointer.promoted_at_s)),
    ]
    said += [(b"x-almanac-degraded", found.degraded.encode())] if found.degraded else []
    return said + ([(b"x-almanac-underfill", underfill.encode())] if underfill else [])
