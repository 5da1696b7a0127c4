"""The only place that knows which error becomes which HTTP status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.auth import TokenRefused
from api.schemas.answer import Problem
from api.schemas.event import BodyTooLarge
from api.store.errors import DEGRADABLE_ERRORS, GenerationGone, RunRefused, RunUnknown, StoreUnavailable

Responses = dict[int | str, dict[str, Any]]  # as FastAPI documents them


def _describe(status: int, why: str, **headers: Any) -> Responses:
    return {status: {"model": Problem, "description": why, **headers}}


_RETRY_AFTER = {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}
UNAVAILABLE = _describe(
    503, "Nothing is published, or the store does not answer.", headers={"Retry-After": _RETRY_AFTER}
)
UNPUBLISHED = _describe(404, "Nothing is published under the variant's name.")
GONE = _describe(410, "The cursor's generation is no longer kept.")
RUN_UNKNOWN = _describe(404, "Nothing is known of such a run, or no longer.")
RUN_REFUSED = _describe(
    409, "A run goes on, as many wait as may, or the run has ended; the sentence says which."
)
TOO_LARGE = _describe(413, "The body is larger than allowed.")
UNAUTHORIZED = _describe(
    401, "No token, or one that is not known.", headers={"WWW-Authenticate": {"schema": {"type": "string"}}}
)
REFUSED = {**UNAUTHORIZED, **_describe(403, "The token does not allow it.")}


def register(app: FastAPI) -> None:
    """Make an app answer our errors."""
    for kind in (*DEGRADABLE_ERRORS, GenerationGone, BodyTooLarge, TokenRefused, RunUnknown, RunRefused):
        app.add_exception_handler(kind, _answer_error)


async def _answer_error(request: Request, exc: Exception) -> JSONResponse:  # noqa: ARG001 - as FastAPI calls it
    status, headers = find_status(exc)
    return JSONResponse({"detail": str(exc)}, status_code=status, headers=headers)


def find_status(exc: Exception) -> tuple[int, dict[str, str]]:
    """Return the status and headers of an error that `register` names."""
    match exc:
        case TokenRefused(lack="scope"):
            return 403, {}
        case TokenRefused():
            return 401, {"WWW-Authenticate": "Bearer"}
        case GenerationGone():
            return 410, {}
        case BodyTooLarge():
            return 413, {}
        case RunUnknown():
            return 404, {}
        case RunRefused():
            return 409, {}
    # Asking again makes sense after this many seconds: a store restarts in one, a publication takes longer.
    return 503, {"Retry-After": "1" if isinstance(exc, StoreUnavailable) else "5"}
