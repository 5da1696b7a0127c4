"""Which posts a request wants by their columns: the parameters that all shapes of the feed share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends
from fastapi.exceptions import RequestValidationError

from api.contract.facets import Filter, NotFiltered
from api.schemas.parameter import Facets, NotTopics, Topics
from api.schemas.value import read_facets, read_topics


def read_wish(topics: Topics = None, not_topics: NotTopics = None, facets: Facets = None) -> Filter | None:
    """Read what is wanted of posts; None where it is nothing."""
    any_of = [*read_topics(topics or ()), *read_facets(facets or ())]
    return Filter.of(any_of, read_topics(not_topics or ()))


Wish = Annotated[Filter | None, Depends(read_wish)]


@contextmanager
def refuse_unfiltered() -> Iterator[None]:
    """Answer 422 where a filter names a column that the generation has no facets of."""
    try:
        yield
    except NotFiltered as exc:
        raise RequestValidationError([describe_fault("filter", str(exc))]) from exc


def describe_fault(parameter: str, message: str) -> dict[str, object]:
    """Return a parameter's fault as FastAPI says it."""
    return {"type": parameter, "loc": ["query", parameter], "msg": message, "input": None}
