"""The only place that knows which error becomes which HTTP status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.auth import TokenRefused
from api.schemas.answer import Problem
from api.schemas.event import BodyTooLarge
from api.store.errors import (
    GenerationGone,
    GenerationTooNew,
    GenerationUnreadable,
    NothingPublished,
    StoreUnavailable,
)

# Seconds after which asking again makes sense: a store restarts in one, a publication takes longer.
RETRY_AFTER_S: dict[type[Exception], int] = {
    NothingPublished: 5,
    GenerationUnreadable: 5,
    GenerationTooNew: 5,
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
GONE: dict[int | str, dict[str, Any]] = {
    410: {"model": Problem, "description": "The cursor's generation is no longer kept."}
}

UNAUTHORIZED: dict[int | str, dict[str, Any]] = {
    401: {
        "model": Problem,
        "description": "No token, or one that is not known.",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    }
}
REFUSED: dict[int | str, dict[str, Any]] = {
    **UNAUTHORIZED,
    403: {"model": Problem, "description": "The token does not allow it."},
}
TOO_LARGE: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "The body is larger than allowed."}
}


def register(app: FastAPI) -> None:
    """Make an app answer our errors."""
    for kind in (*RETRY_AFTER_S, GenerationGone, BodyTooLarge, TokenRefused):
        app.add_exception_handler(kind, _answer_error)


async def _answer_error(request: Request, exc: Exception) -> JSONResponse:  # noqa: ARG001 - as FastAPI calls it
    status, headers = find_status(exc)
    return JSONResponse({"detail": str(exc)}, status_code=status, headers=headers)


def find_status(exc: Exception) -> tuple[int, dict[str, str]]:
    """Return the status and headers of an error of ours."""
    match exc:
        case TokenRefused():
            return (403, {}) if exc.lack == "scope" else (401, {"WWW-Authenticate": "Bearer"})
        case GenerationGone():
            return 410, {}
        case BodyTooLarge():
            return 413, {}
    return 503, {"Retry-After": str(RETRY_AFTER_S[type(exc)])}
