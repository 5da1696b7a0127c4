"""What operators ask for: whether the process runs, whether it can answer, and what it has answered."""

from fastapi import APIRouter, Depends, Request, Response

from api.auth import needs_read
from api.contract.buckets import moment
from api.errors import UNAUTHORIZED, UNAVAILABLE
from api.metrics import TEXT, Metrics
from api.schemas.answer import Health, Ready
from api.store.errors import DEGRADABLE_ERRORS, StoreUnavailable
from api.store.store import Store

router = APIRouter(tags=["health"])

_TEXT = {TEXT: {"schema": {"type": "string"}}}


@router.get("/health", responses={200: {"description": "It runs."}})
async def health() -> Health:
    """Say that the process runs. Says nothing of the store: restarting us would not mend it."""
    return Health(status="ok")


@router.get("/ready", responses={200: {"description": "What is served."}, **UNAVAILABLE})
async def ready(request: Request) -> Ready:
    """Say what is served; 503 until a generation is current and loaded, and once we are stopping."""
    if request.state.life.ending:
        raise StoreUnavailable("this process is stopping")
    store: Store = request.state.store
    generation = await store.read_current()
    manifest = generation.manifest
    return Ready(
        variant=manifest.variant,
        generation=manifest.generation,
        as_of=moment(manifest.as_of_s),
        n_posts=len(generation.posts),
    )


@router.get(
    "/metrics",
    dependencies=[Depends(needs_read)],
    response_class=Response,
    responses={200: {"description": "Prometheus' text.", "content": _TEXT}, **UNAUTHORIZED},
)
async def metrics(request: Request) -> Response:
    """Say in Prometheus' text what this address has answered, and how old that is which it serves."""
    store: Store = request.state.store
    counts: Metrics = request.state.metrics
    up = True
    try:
        await store.read_current()
    except DEGRADABLE_ERRORS as exc:
        up = not isinstance(exc, StoreUnavailable)
    return Response(counts.text(store, up=up), media_type=TEXT)
