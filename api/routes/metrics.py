"""What operators ask for."""

from fastapi import APIRouter, Depends, Request, Response

from api.auth import needs_read
from api.errors import UNAUTHORIZED
from api.metrics import TEXT, Metrics
from api.store.errors import GenerationUnreadable, NothingPublished, StoreUnavailable
from api.store.store import Store

router = APIRouter(tags=["health"], dependencies=[Depends(needs_read)])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {TEXT: {"schema": {"type": "string"}}}}, **UNAUTHORIZED},
)
async def metrics(request: Request) -> Response:
    """Say in Prometheus' text what this process has answered, and how old that is which it serves."""
    store: Store = request.state.store
    counts: Metrics = request.state.metrics
    up = True
    try:
        await store.read_current()
    except (NothingPublished, GenerationUnreadable):
        pass  # the store answers
    except StoreUnavailable:
        up = False
    return Response(counts.text(store.stats, store.list_current(), up=up), media_type=TEXT)
