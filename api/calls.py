"""What our client asks, how an answer is read, when to ask again: pure, since sync and async share it."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import orjson
from pydantic import TypeAdapter, ValidationError

from api.schemas.answer import Feed, Similar
from api.schemas.event_body import NewEvent, Results

Id = int | str
T = TypeVar("T")

UNAVAILABLE = 503
DEFAULT_PAUSE_S = 1.0  # where a 503 does not say when to ask again


class RequestFailed(Exception):
    """There is no answer: the status and the API's own sentence; status None where nobody answered."""

    def __init__(self, status: int | None, sentence: str) -> None:
        super().__init__(sentence if status is None else f"{status}: {sentence}")
        self.status = status
        self.sentence = sentence


class Wishes(TypedDict, total=False):
    """What may be asked of a feed.

    Attributes:
        at: The time of the feed; without a zone it is UTC. Now, if left out.
        limit: How many posts at most, 1 to 100.
        exclude: Ids of posts that are not wanted.
        topic: The topic that a post must have, or some of which it must have one.
        not_topic: A topic that no post may have, or some of these.
        filter: Column to the value that a post must have in it, or some of which it must have one.
        variant: Whose lists.
        profile: What is known of an unknown user, a column and its value.
    """

    at: datetime
    limit: int
    exclude: Iterable[Id]
    topic: str | Iterable[str]
    not_topic: str | Iterable[str]
    filter: Mapping[str, str | Iterable[str]]
    variant: str
    profile: Mapping[str, object]


class SimilarWishes(TypedDict, total=False):
    """What may be asked of posts like a post.

    Attributes:
        user_id: Who asks: what they have seen is left out.
        at: By when that counts, as in `Wishes`.
        limit: How many posts at most, 1 to 100.
        variant: Whose posts.
    """

    user_id: Id
    at: datetime
    limit: int
    variant: str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and the shape of its answer."""

    method: str
    path: str
    shape: TypeAdapter[T]
    params: Sequence[tuple[str, str]] = ()
    content: bytes | None = None

    def read(self, status: int, body: bytes) -> T:
        """Return the answer.

        Raises:
            RequestFailed: It is none.
        """
        if status != 200:
            raise RequestFailed(status, read_sentence(body))
        try:
            return self.shape.validate_json(body)
        except ValidationError as exc:
            what = f"{self.method} {self.path} was not answered by an Almanac of this version"
            raise RequestFailed(status, f"{what}: {exc.errors()[0]['msg']}") from exc


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is asked in all, and the longest wait between two times, seconds."""

    tries: int
    longest_s: float

    def pause_after(self, n_asked: int, status: int, retry_after: str | None) -> float | None:
        """Return how long to wait before asking again, as a 503 says; None where that is not to be.

        >>> [Patience(3, 10).pause_after(n_asked, 503, "5") for n_asked in (1, 2, 3)]
        [5.0, 5.0, None]
        >>> Patience(3, 2).pause_after(1, 503, "5") is Patience(3, 2).pause_after(1, 500, "1") is None
        True
        """
        if status != UNAVAILABLE or n_asked >= self.tries:
            return None
        said = retry_after or ""
        pause_s = float(said) if said.isdecimal() else DEFAULT_PAUSE_S
        return pause_s if pause_s <= self.longest_s else None


def ask_feed(user_id: Id, cursor: str | None, wishes: Wishes) -> Call[Feed]:
    """Ask for a page of a feed.

    >>> ask_feed("a/b", None, {"limit": 5, "exclude": [17, "x,y"], "filter": {"brand": "acme"}}).params
    [('limit', '5'), ('exclude', '17,x,,y'), ('filter', 'brand=acme')]
    """
    params = _spell({"cursor": cursor, **wishes})
    return Call("GET", f"/users/{quote(str(user_id), safe='')}/feed", _FEED, params)


def ask_similar(post_id: Id, wishes: SimilarWishes) -> Call[Similar]:
    """Ask for posts like a post.

    >>> ask_similar(17, {"user_id": 200, "limit": 5}).params
    [('user_id', '200'), ('limit', '5')]
    """
    return Call("GET", f"/posts/{quote(str(post_id), safe='')}/similar", _SIMILAR, _spell(wishes))


def tell_events(events: Iterable[NewEvent]) -> Call[Results]:
    """Tell of events; one without an id gets one, so that telling it again is safe."""
    named = [
        event.model_copy(update={"id": uuid.uuid4().hex} if event.id is None else {}) for event in events
    ]
    return Call(
        "POST",
        "/events",
        _RESULTS,
        content=orjson.dumps([event.model_dump(exclude_none=True) for event in named]),
    )


def read_sentence(body: bytes) -> str:
    """Return what an answer that is none says of itself.

    >>> read_sentence(b'{"detail":[{"msg":"limit=0 is none"}]}'), read_sentence(b'{"detail":"gone"}')
    ('limit=0 is none', 'gone')
    """
    try:
        detail = orjson.loads(body)["detail"]
        return detail if isinstance(detail, str) else "; ".join(str(fault["msg"]) for fault in detail)
    except (KeyError, TypeError, ValueError):
        return body[:200].decode(errors="replace") or "there is no sentence with it"


def _spell(named: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, text) for name, value in named.items() for text in _SPELLED.get(name, _one)(value)]


def _one(value: object) -> list[str]:
    return [] if value is None else [str(value)]


def _many(values: str | Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


_FEED, _SIMILAR, _RESULTS = TypeAdapter(Feed), TypeAdapter(Similar), TypeAdapter(Results)
_SPELLED: Mapping[str, Any] = {
    "at": lambda at: [at.isoformat()],
    "exclude": lambda ids: [",".join(str(post_id).replace(",", ",,") for post_id in ids)],
    "topic": _many,
    "not_topic": _many,
    "filter": lambda by: [f"{column}={value}" for column, values in by.items() for value in _many(values)],
    "profile": lambda fields: [f"{column}={value}" for column, value in fields.items()],
}
