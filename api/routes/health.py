"""Whether the process runs, and whether it can answer."""

from fastapi import APIRouter, Request

from api.contract.buckets import moment
from api.errors import UNAVAILABLE
from api.schemas.answer import Health, Ready
from api.store.errors import StoreUnavailable
from api.store.store import Store

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> Health:
    """Say that the process runs. Says nothing of the store: restarting us would not mend it."""
    return Health(status="ok")


@router.get("/ready", responses=UNAVAILABLE)
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
