"""Taking posts down: a post that is taken down is in no answer from the next request on, on any path."""

from contextlib import suppress

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from api.auth import needs_admin, token_in
from api.contract.ids import Kind, as_json, canonical, own_number
from api.errors import REFUSED, UNAVAILABLE, Responses
from api.routes.text import TEXT
from api.schemas.parameter import PathPostId
from api.store.errors import DEGRADABLE_ERRORS
from api.store.store import Store
from api.tokens import TokenRegistry

router = APIRouter(prefix="/posts", tags=["admin"], dependencies=[Depends(needs_admin)])


class Takedown(BaseModel):
    """Whether a post is taken down now, and whether that is new."""

    post_id: int | str
    taken_down: bool
    changed: bool


RESPONSES: Responses = {
    200: {"description": "What the post is now, and whether it was that before."},
    **REFUSED,
    **UNAVAILABLE,
}


@router.put(f"/{{post_id:{TEXT}}}/takedown", responses=RESPONSES)
async def take_down(request: Request, post_id: PathPostId) -> Takedown:
    """Keep a post from every answer, fallbacks included, until it is put back; it need not be published."""
    store: Store = request.state.store
    kind = await _find_kind(store, post_id)
    changed = await store.journal.take_down(canonical(post_id, kind), request.state.clock(), _who(request))
    with suppress(*DEGRADABLE_ERRORS):  # so that memory, which answers on a bad day, knows of it
        await store.read_current()
    return Takedown(post_id=as_json(post_id, kind), taken_down=True, changed=changed)


@router.delete(f"/{{post_id:{TEXT}}}/takedown", responses=RESPONSES)
async def put_back(request: Request, post_id: PathPostId) -> Takedown:
    """Let a post be answered again."""
    store: Store = request.state.store
    kind = await _find_kind(store, post_id)
    changed = await store.journal.put_back(canonical(post_id, kind), request.state.clock(), _who(request))
    return Takedown(post_id=as_json(post_id, kind), taken_down=False, changed=changed)


def _who(request: Request) -> str:
    """Return the name of the token that was let in."""
    tokens: TokenRegistry = request.state.tokens
    return tokens.name_of(token_in(request.scope["headers"]) or b"")


async def _find_kind(store: Store, post_id: str) -> Kind:
    """Return what ids of posts are; where nothing is published, what this one is by itself."""
    try:
        return (await store.read_current()).manifest.post_ids
    except DEGRADABLE_ERRORS:
        return "text" if own_number(post_id) is None else "numbers"
