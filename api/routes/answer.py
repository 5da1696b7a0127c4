"""What every shape of the feed shares: ask the store, choose, and say of the answer where it comes from.

On a bad day memory answers, and the answer says so.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args

from api.contract.buckets import Label, moment
from api.contract.manifest import Manifest
from api.contract.profile import Fields
from api.feed import (
    Choice,
    Degraded,
    LookUp,
    Page,
    Reason,
    Rung,
    answer,
    page,
    stands,
    underfill,
)
from api.routes.observed import MADE, NAME, number
from api.schemas.cursor import Cursor
from api.store.store import BAD_DAY, Store

Headers = list[tuple[bytes, bytes]]
NOTHING: Fields = {}

_HEAD = b"".join(
    (
        b"HTTP/1.1 200 OK\r\n%b%bx-almanac-age: %d\r\nx-almanac-fact-age: %d\r\n",
        b"content-type: application/json\r\n%bcontent-length: %d\r\n",
        NAME + b": " + MADE + b"\r\n\r\n",
    )
)

DESCRIBED: Mapping[str, dict[str, Any]] = {
    "X-Almanac-Generation": {
        "description": "The generation that answered.",
        "schema": {"type": "integer"},
    },
    "X-Almanac-Bucket": {
        "description": "Start of the time bucket that answered, UTC.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "X-Almanac-Rung": {
        "description": "The lowest rung of the fallback ladder that was needed. own: the first `limit` "
        "places of the user's own list; rest: its deeper places; profile: the model's list for the profile "
        "that an unknown user gives; then the popular posts of his segment, those of everyone, and the whole "
        "catalogue.",
        "schema": {"type": "string", "enum": get_args(Rung)},
    },
    "X-Almanac-Time": {
        "description": "exact: the time lies in the generation's horizon. nearest: after it, so the same "
        "time of the nearest day answered. leaky: before the newest fact that entered the generation.",
        "schema": {"type": "string", "enum": get_args(Label)},
    },
    "X-Almanac-Age": {
        "description": "Seconds since the generation became current.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Almanac-Fact-Age": {
        "description": "Seconds from the newest fact that entered the generation to the time asked for.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Almanac-Degraded": {
        "description": "Only on a bad day: what could not be read, so that the answer is from what else is "
        "known. value: the user's own list. generation: the one that is current. store: the store itself; "
        "then the popular posts are from memory and may hold some that the user has seen.",
        "schema": {"type": "string", "enum": [name for name in get_args(Degraded) if name]},
    },
    "X-Almanac-Underfill": {
        "description": "Only where fewer than `limit` posts came: what left too few.",
        "schema": {"type": "string", "enum": get_args(Reason)},
    },
}


async def feed_for(
    store: Store,
    user_id: int,
    at_s: int,
    limit: int,
    variant: str | None = None,
    profile: Fields = NOTHING,
) -> tuple[LookUp, Choice]:
    """Look up and choose; the choice stands. A `profile` counts where the user has no list.

    Raises:
        BadProfile: A field has a value that its column cannot have.
        NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
    """
    try:
        found = await store.look_up(user_id, at_s, variant)
        if profile:
            found = await store.introduce(found, profile)
        choice = answer(found, limit)
        if not stands(found, choice):
            found = await store.see_all(found)
            choice = answer(found, limit)
    except BAD_DAY as exc:
        found = store.remembered(user_id, at_s, exc, variant, profile)
        choice = answer(found, limit)
    return found, choice


async def page_for(
    store: Store,
    user_id: int,
    at_s: int,
    limit: int,
    *,
    cursor: Cursor | None,
    excluded: frozenset[int],
    variant: str | None,
    profile: Fields = NOTHING,
) -> tuple[LookUp, Page]:
    """Look up and choose a page. Only a first page can be from memory: a later one must not repeat it.

    Raises:
        BadProfile: A field has a value that its column cannot have.
        GenerationGone: The cursor's generation is no longer kept.
        NothingPublished, GenerationUnreadable, StoreUnavailable: And memory holds nothing either.
    """
    if cursor is not None:
        found = await store.look_up_pinned(user_id, cursor.at_s, cursor.generation, cursor.created_at_s)
        if profile:
            found = await store.introduce(found, profile)
        return found, page(found, limit, cursor.start, excluded)
    try:
        found = await store.look_up(user_id, at_s, variant)
        if profile:
            found = await store.introduce(found, profile)
        first = page(found, limit, 0, excluded)
        if not stands(found, first.choice):
            found = await store.see_all(found)
            first = page(found, limit, 0, excluded)
    except BAD_DAY as exc:
        found = store.remembered(user_id, at_s, exc, variant, profile)
        first = page(found, limit, 0, excluded)
    return found, first


def headers(
    found: LookUp, choice: Choice, limit: int, now_s: int, excluded: frozenset[int] = frozenset()
) -> Headers:
    """Return what an answer says of itself, as ASGI sends it."""
    manifest = found.generation.manifest
    said = [
        *lasting(found.pointer.generation, found.bucket_s, choice.rung, label(found)),
        (b"x-almanac-age", b"%d" % max(0, now_s - found.pointer.promoted_at_s)),
        (b"x-almanac-fact-age", b"%d" % max(0, found.at_s - manifest.as_of_s)),
    ]
    if found.degraded:
        said.append((b"x-almanac-degraded", found.degraded.encode()))
    if len(choice.post_ids) < limit:
        said.append((b"x-almanac-underfill", str(underfill(found, choice, limit, excluded)).encode()))
    return said


def label(found: LookUp) -> Label:
    """Say how the time asked for was answered."""
    manifest: Manifest = found.generation.manifest
    return manifest.horizon.label_for(found.at_s, manifest.as_of_s)


def head(
    found: LookUp,
    choice: Choice,
    now_s: int,
    n_bytes: int,
    more: tuple[tuple[bytes, bytes], ...],
    *,
    closing: bool,
) -> bytes:
    """Write the status line and all headers of an answer from the own list, with an id of its own.

    `more` are the server's own headers; `closing` says that the connection ends with this answer.
    """
    manifest, pointer = found.generation.manifest, found.pointer
    return _HEAD % (
        _text(more),
        _shared(pointer.generation, found.bucket_s, choice.rung, label(found)),
        max(0, now_s - pointer.promoted_at_s),
        max(0, found.at_s - manifest.as_of_s),
        b"connection: close\r\n" if closing else b"",
        n_bytes,
        number(),
    )


@lru_cache(maxsize=4096)
def lasting(generation: int, bucket_s: int, rung: Rung, said: Label) -> Headers:
    """Return the headers that many answers share; nobody may change the list."""
    return [
        (b"x-almanac-generation", b"%d" % generation),
        (b"x-almanac-bucket", moment(bucket_s).isoformat().encode()),
        (b"x-almanac-rung", rung.encode()),
        (b"x-almanac-time", said.encode()),
    ]


@lru_cache(maxsize=4096)
def _shared(generation: int, bucket_s: int, rung: Rung, said: Label) -> bytes:
    return _text(tuple(lasting(generation, bucket_s, rung, said)))


@lru_cache(maxsize=8)
def _text(said: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in said)
