"""Runs of the batch: asked for here, run by its scheduler, looked at and ended here."""

from fastapi import APIRouter, Depends, Request

from api.auth import needs_admin
from api.errors import REFUSED, RUN_REFUSED, RUN_UNKNOWN, UNAVAILABLE, Responses
from api.schemas.run import Name, Run, RunId, as_run
from api.store.store import Store

router = APIRouter(prefix="/pipelines", tags=["admin"], dependencies=[Depends(needs_admin)])

ASKED: Responses = {202: {"description": "It is asked for; the run as it is now."}}


@router.post("/{name}/runs", status_code=202, responses={**ASKED, **REFUSED, **RUN_REFUSED, **UNAVAILABLE})
async def ask_for_run(request: Request, name: Name) -> Run:
    """Ask for a run, which `almanac schedule` begins within seconds; 409 while one goes on or 16 wait."""
    store: Store = request.state.store
    return as_run(await store.desk.ask(name, request.state.clock()))


@router.get(
    "/runs/{run_id}",
    responses={200: {"description": "The run."}, **REFUSED, **RUN_UNKNOWN, **UNAVAILABLE},
)
async def see_run(request: Request, run_id: RunId) -> Run:
    """Say how far a run is, or how it ended, with its last log lines; known for a day."""
    store: Store = request.state.store
    return as_run(await store.desk.look(run_id, request.state.clock()))


@router.delete(
    "/runs/{run_id}",
    status_code=202,
    responses={**ASKED, **REFUSED, **RUN_UNKNOWN, **RUN_REFUSED, **UNAVAILABLE},
)
async def cancel_run(request: Request, run_id: RunId) -> Run:
    """Ask for a run's end at its next checkpoint, or that it does not begin; what is served stays."""
    store: Store = request.state.store
    return as_run(await store.desk.cancel(run_id, request.state.clock()))
