"""Taking posts down: a post that is taken down is in no answer from the next request on, on any path."""

from contextlib import suppress

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from api.auth import needs_admin
from api.errors import REFUSED, UNAVAILABLE
from api.schemas.parameter import PathPostId
from api.store.errors import DEGRADABLE_ERRORS
from api.store.store import Store

router = APIRouter(prefix="/posts", tags=["admin"], dependencies=[Depends(needs_admin)])


class Takedown(BaseModel):
    """Whether a post is taken down now, and whether that is new."""

    post_id: int
    taken_down: bool
    changed: bool


@router.put("/{post_id}/takedown", responses={**REFUSED, **UNAVAILABLE})
async def take_down(request: Request, post_id: PathPostId) -> Takedown:
    """Keep a post from every answer, fallbacks included, until it is put back; it need not be published."""
    store: Store = request.state.store
    changed = await store.journal.take_down(post_id, request.state.clock())
    with suppress(*DEGRADABLE_ERRORS):  # so that memory, which answers on a bad day, knows of it
        await store.read_current()
    return Takedown(post_id=post_id, taken_down=True, changed=changed)


@router.delete("/{post_id}/takedown", responses={**REFUSED, **UNAVAILABLE})
async def put_back(request: Request, post_id: PathPostId) -> Takedown:
    """Let a post be answered again."""
    store: Store = request.state.store
    now_s: float = request.state.clock()
    return Takedown(post_id=post_id, taken_down=False, changed=await store.journal.put_back(post_id, now_s))
