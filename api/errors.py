"""The only place that knows which error becomes which HTTP status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.schemas import Problem
from api.store import GenerationUnreadable, NothingPublished, StoreUnavailable

# Seconds after which asking again makes sense: a store restarts in one, a publication takes longer.
RETRY_AFTER_S: dict[type[Exception], int] = {
    NothingPublished: 5,
    GenerationUnreadable: 5,
    StoreUnavailable: 1,
}

UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Problem,
        "description": "Nothing is published, or the store does not answer.",
        "headers": {
            "Retry-After": {
                "description": "Seconds after which to ask again.",
                "schema": {"type": "integer"},
            }
        },
    }
}


def register(app: FastAPI) -> None:
    """Make an app answer our errors."""
    for kind in RETRY_AFTER_S:
        app.add_exception_handler(kind, _unavailable)


async def _unavailable(request: Request, exc: Exception) -> JSONResponse:  # noqa: ARG001 - as FastAPI calls it
    return JSONResponse(
        {"detail": str(exc)}, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S[type(exc)])}
    )
