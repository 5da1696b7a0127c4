"""A query parameter that takes one value and is given twice: nobody can say which of them is meant."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

TAKE_MANY = frozenset({"profile", "topic", "not_topic", "filter"})


async def refuse_repeated(request: Request) -> None:
    """Depend on this where a route has query parameters; unknown ones are ignored, however often they come.

    Raises:
        RequestValidationError: Some that take one value are given more often; 422 names each.
    """
    route: APIRoute = request.scope["route"]
    query = request.query_params
    given = {field.alias: query.getlist(field.alias) for field in route.dependant.query_params}
    faults = [
        {
            "type": "repeated",
            "loc": ["query", name],
            "msg": f"{name} is given {len(texts)} times and takes one value",
            "input": texts[:2],
        }
        for name, texts in given.items()
        if len(texts) > 1 and name not in TAKE_MANY
    ]
    if faults:
        raise RequestValidationError(faults)
