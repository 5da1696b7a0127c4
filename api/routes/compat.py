"""The feed in the shapes that other services' clients send; the same core answers."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.auth import TokenRefused, needs_read, needs_token
from api.contract.ids import as_json
from api.errors import UNAUTHORIZED, UNAVAILABLE, Responses, find_status
from api.feed import Answer
from api.routes.answer import DESCRIBED, headers
from api.routes.repeated import refuse_repeated
from api.routes.text import TEXT
from api.routes.wish import Wish, refuse_unfiltered
from api.schemas.parameter import Limit, PathUserId, PathVariant, ShopUserId
from api.schemas.value import DEFAULT_LIMIT, read_variant
from api.store.errors import GenerationUnreadable, NothingPublished, StoreUnavailable
from api.store.store import Store

log = logging.getLogger(__name__)

N_ITEMS = 10  # of the course service
LARGEST_USER_ID = 10**9


class Reco(BaseModel):
    """A user's items, best first."""

    user_id: int | str
    items: list[int | str]


class EnvelopeError(BaseModel):
    """What went wrong."""

    error_key: str
    error_message: str
    error_loc: list[str | int] | None = None


class Envelope(BaseModel):
    """The course service's answer to whatever it cannot answer."""

    errors: list[EnvelopeError]


class Recommendations(BaseModel):
    """A user's posts, best first."""

    user_id: int | str
    recs: list[int | str]


class NotFound(LookupError):
    """There is no variant of that name, or no user of that id; `key` says so to programs."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


class Enveloped(APIRoute):
    """A route whose errors come in the course service's envelope."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is one
        """Return a handler that answers its own errors."""
        handle = super().get_route_handler()

        async def handle_or_envelop(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as exc:
                return _answer_error(exc)

        return handle_or_envelop


router = APIRouter(tags=["compatible"], dependencies=[Depends(needs_read), Depends(refuse_repeated)])
course = APIRouter(route_class=Enveloped, tags=["compatible"], dependencies=[Depends(needs_token)])


def _describe(why: str) -> dict[str, Any]:
    return {"model": Envelope, "description": why}


COURSE: Responses = {
    200: {
        "description": "Ten items, best first; fewer only if there are no more.",
        "headers": dict(DESCRIBED),
    },
    401: _describe("No token, or one that is not known."),
    404: _describe(
        "`model_not_found`: no such variant. `user_not_found`: a number over 10^9 that nobody has."
    ),
    422: _describe("The user's id is missing, or a filter cannot be read."),
    500: _describe("A fault of ours."),
    503: {**UNAVAILABLE[503], "model": Envelope},
}


@course.get(f"/reco/{{model_name}}/{{user_id:{TEXT}}}", responses=COURSE)
async def reco(
    request: Request, response: Response, model_name: PathVariant, user_id: PathUserId, wish: Wish = None
) -> Reco:
    """Answer a user's ten items now, by the variant of a name."""
    store: Store = request.state.store
    now_s, user_id = _now_s(request), user_id.removesuffix("/")  # as if there were none, as in any path
    try:
        with refuse_unfiltered():
            given = await store.answer(
                user_id, now_s, N_ITEMS, variant=read_variant(model_name), wish=wish, is_now=True
            )
    except RequestValidationError:
        raise
    except (ValueError, NothingPublished) as exc:
        if isinstance(exc, NothingPublished) and model_name == store.variant:
            raise
        raise NotFound("model_not_found", f"Model {model_name} not found") from exc
    shown = _show_user(given)
    if isinstance(shown, int) and shown > LARGEST_USER_ID and not (given.found.own or given.found.degraded):
        raise NotFound("user_not_found", f"User {user_id} not found")
    response.raw_headers.extend(headers(given, now_s))
    return Reco(user_id=shown, items=list(given.post_ids))


SHOP: Responses = {
    200: {"description": "The posts' ids, best first.", "headers": dict(DESCRIBED)},
    **UNAUTHORIZED,
    **UNAVAILABLE,
}


@router.post("/recommendations/", responses=SHOP, operation_id="shop_recommendations")
@router.post("/recommendations", include_in_schema=False)
async def recommendations(
    request: Request, response: Response, user_id: ShopUserId, k: Limit = DEFAULT_LIMIT, wish: Wish = None
) -> Recommendations:
    """Answer a user's posts now, by id."""
    store: Store = request.state.store
    now_s = _now_s(request)
    with refuse_unfiltered():
        given = await store.answer(user_id, now_s, k, wish=wish, is_now=True)
    response.raw_headers.extend(headers(given, now_s))
    return Recommendations(user_id=_show_user(given), recs=list(given.post_ids))


def _show_user(given: Answer) -> int | str:
    return as_json(given.found.user_id, given.found.generation.manifest.user_ids)


def _now_s(request: Request) -> int:
    clock: Callable[[], float] = request.state.clock
    return int(clock())


def _answer_error(exc: Exception) -> Response:
    """Return the envelope of an error, with the status and headers that it has elsewhere."""
    key, sentence = "server_error", "Internal Server Error"
    status: tuple[int, dict[str, str]] = (500, {})
    match exc:
        case RequestValidationError():
            errors = [
                EnvelopeError(error_key=one["type"], error_message=one["msg"], error_loc=list(one["loc"]))
                for one in exc.errors()
            ]
            return _envelope(errors, 422)
        case NotFound():
            key, sentence, status = exc.key, str(exc), (404, {})
        case TokenRefused():
            key, sentence, status = "unauthorized", str(exc), find_status(exc)
        case NothingPublished() | GenerationUnreadable() | StoreUnavailable():
            key, sentence, status = "unavailable", str(exc), find_status(exc)
        case _:
            log.error("request.failed", exc_info=exc)
    return _envelope([EnvelopeError(error_key=key, error_message=sentence)], *status)


def _envelope(
    errors: list[EnvelopeError], status: int, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(Envelope(errors=errors).model_dump(), status_code=status, headers=headers)
