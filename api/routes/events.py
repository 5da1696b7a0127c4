"""Live events: what was shown or liked a moment ago, left out of the very next answer."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError

from api.auth import needs_write
from api.contract.buckets import moment
from api.contract.event import Event
from api.errors import REFUSED, TOO_LARGE, UNAVAILABLE, Responses
from api.found import Generation
from api.schemas.event import (
    LARGEST_BODY,
    MOST_EVENTS,
    BodyTooLarge,
    Malformed,
    read_events,
    status_of,
)
from api.schemas.event_body import NewEvent, Result, Results, ShopEvent
from api.store.errors import GenerationUnreadable, NothingPublished
from api.store.store import Store

router = APIRouter(tags=["events"], dependencies=[Depends(needs_write)])


_KINDS = [NewEvent.model_json_schema(), ShopEvent.model_json_schema()]
_MANY = {"type": "array", "minItems": 1, "maxItems": MOST_EVENTS, "items": {"anyOf": _KINDS}}
_ONE = {"user_id": 200, "post_id": 17, "action": "view"}
_EXAMPLES = {
    "one": {"value": _ONE},
    "many": {"value": [{**_ONE, "action": "like", "id": "a1", "time": 1640361720}]},
    "shop": {"value": {"visitorid": 200, "itemid": 17, "event": "addtocart"}},
}
_CONTENT = {"application/json": {"schema": {"anyOf": [*_KINDS, _MANY]}, "examples": _EXAMPLES}}
_BODY = {"requestBody": {"required": True, "content": _CONTENT}}
RESPONSES: Responses = {
    200: {"description": "At least one event was recorded, now or before."},
    422: {
        "description": "No event can be read; each is named by its place.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    },
    **REFUSED,
    **TOO_LARGE,
    **UNAVAILABLE,
}


@router.post("/events", response_model=Results, responses=RESPONSES, openapi_extra=_BODY)
@router.post("/events/", include_in_schema=False)
async def events(request: Request) -> Results:
    """Record events, one or many, each for itself and each once; 422 only if none of them can be read.

    After a 503 send the same events again: those with an id or a time are not recorded twice.
    """
    clock: Callable[[], float] = request.state.clock
    store: Store = request.state.store
    body = await _read_body(request)
    try:
        sent = read_events(body, int(clock()), lambda: uuid.uuid4().hex)
    except Malformed as exc:
        raise RequestValidationError([_locate(exc)]) from exc
    good = [event for event in sent if isinstance(event, Event)]
    if not good:
        bad = [event for event in sent if isinstance(event, Malformed)]
        places = [(place,) for place in range(len(bad))] if len(bad) > 1 else [()]
        raise RequestValidationError(list(map(_locate, bad, places)))
    served = await _read_served(store)
    as_of_s = None if served is None else served.manifest.as_of_s
    known = _find_known(served, {event.post_id for event in good})
    recorded = iter(await store.journal.accept(good, served))
    results = [_make_result(event, recorded, as_of_s, known) for event in sent]
    counts = Counter(result.status for result in results)
    request.state.metrics.events.update(counts)
    return Results(results=results, counts=counts)


async def _read_body(request: Request) -> bytes:
    """Return the body, and read no further than allowed.

    Raises:
        BodyTooLarge: It is longer.
    """
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > LARGEST_BODY:
            raise BodyTooLarge
    return b"".join(parts)


async def _read_served(store: Store) -> Generation | None:
    """Return what is served; None where nothing is."""
    try:
        return await store.read_current()
    except (NothingPublished, GenerationUnreadable):
        return None


def _find_known(served: Generation | None, post_ids: set[str]) -> Collection[str]:
    """Return which of some posts are among those of what is served."""
    if served is None:
        return ()
    numbers = {post_id: served.number_of(post_id) for post_id in post_ids}
    # A post that is taken down is not unknown: the catalogue still has it.
    posts = served.posts if served.posts.keys() >= {*numbers.values()} else frozenset(served.catalogue)
    return {post_id for post_id, number in numbers.items() if number in posts}


def _make_result(
    event: Event | Malformed, recorded: Any, as_of_s: int | None, known: Collection[str]
) -> Result:
    if isinstance(event, Malformed):
        return Result(
            id=event.event_id, status="malformed", occurred_at=None, accepted_at=None, why=str(event)
        )
    return Result(
        id=event.event_id,
        status=status_of(event, recorded=next(recorded), as_of_s=as_of_s, known=known),
        occurred_at=moment(event.occurred_at_s).isoformat(),
        accepted_at=moment(event.accepted_at_s).isoformat(),
        why=None,
    )


def _locate(bad: Malformed, place: tuple[int, ...] = ()) -> dict[str, object]:
    """Return an error as FastAPI's are; `place` is that of its event, where there are several."""
    where = (*place, bad.field) if bad.field else place
    # An object or array may be nested deeper than can be written.
    shown = None if isinstance(bad.value, (dict, list)) else bad.value
    return {"type": "event", "loc": ("body", *where), "msg": str(bad), "input": shown}
