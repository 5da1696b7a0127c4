"""The headers that every shape of the feed shares: where an answer comes from."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args
from urllib.parse import quote

from api.contract.buckets import Label, moment
from api.feed import Answer, Reason, Rung
from api.found import Degraded
from api.routes.observed import NAME

Headers = list[tuple[bytes, bytes]]

_HEAD = b"".join(
    (
        b"HTTP/1.1 200 OK\r\n%b\r\n%bx-almanac-age: %d\r\nx-almanac-fact-age: %d\r\n",
        b"content-type: application/json\r\n%bcontent-length: %d\r\n",
        NAME + b": %b\r\n\r\n",
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
        "places of the user's own list; rest: its deeper places; topic: the user's own lists of the topics "
        "that are wanted; profile: the model's list for the profile that an unknown user gives; then the "
        "popular posts of their segment, those of everyone, and the whole catalogue.",
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
    "X-Almanac-Pinned": {
        "description": "Only where posts stand at a place because they are pinned there: their ids, by "
        "place, separated by commas, each percent-encoded.",
        "schema": {"type": "string"},
    },
    "X-Almanac-Experiment": {
        "description": "Only while an experiment runs on the route and no variant is asked for: its name.",
        "schema": {"type": "string"},
    },
    "X-Almanac-Arm": {
        "description": "Beside the experiment: the user's arm. Absent where the arm's variant could not "
        "answer, so that the API's own did.",
        "schema": {"type": "string"},
    },
    "X-Almanac-Explored": {
        "description": "Only where posts were drawn for exploration places: `id:propensity` of each, by "
        "place, separated by commas, each id percent-encoded; the chance that the post had, given those "
        "before.",
        "schema": {"type": "string"},
    },
    "X-Almanac-Overlay": {
        "description": "Only where what the user liked and passed over lately put posts further up than the "
        "list has them: `id:+places` of each, by place, separated by commas, each id percent-encoded.",
        "schema": {"type": "string"},
    },
    "X-Almanac-Underfill": {
        "description": "Only where fewer than `limit` posts came: what left too few.",
        "schema": {"type": "string", "enum": get_args(Reason)},
    },
}


def headers(given: Answer, now_s: int) -> Headers:
    """Return what an answer says of itself, as ASGI sends it."""
    found = given.found
    shared, _ = _share(found.pointer.generation, found.bucket_s, given.rung, given.label, *_name_arm(given))
    said = [
        *shared,
        (b"x-almanac-age", b"%d" % max(0, now_s - found.pointer.promoted_at_s)),
        (b"x-almanac-fact-age", b"%d" % max(0, found.at_s - found.generation.manifest.as_of_s)),
    ]
    if found.degraded:
        said.append((b"x-almanac-degraded", found.degraded.encode()))
    if given.pinned:
        said.append((b"x-almanac-pinned", name_pinned(given)))
    if given.drawn:
        said.append((b"x-almanac-explored", name_drawn(given)))
    if given.raised:
        said.append((b"x-almanac-overlay", name_raised(given)))
    if len(given.posts) < given.limit:
        said.append((b"x-almanac-underfill", str(given.underfill).encode()))
    return said


def head(given: Answer, now_s: int, n_bytes: int, date: bytes, request_id: bytes, *, closing: bool) -> bytes:
    """Write the status line and all headers of an answer from the own list.

    `date` is one whole header or some; `closing` says that the connection ends with this answer.
    """
    found = given.found
    _, shared = _share(found.pointer.generation, found.bucket_s, given.rung, given.label, *_name_arm(given))
    more = b"connection: close\r\n" if closing else b""
    if given.pinned:
        more += b"x-almanac-pinned: %b\r\n" % name_pinned(given)
    if given.drawn:
        more += b"x-almanac-explored: %b\r\n" % name_drawn(given)
    if given.raised:
        more += b"x-almanac-overlay: %b\r\n" % name_raised(given)
    return _HEAD % (
        date,
        shared,
        max(0, now_s - found.pointer.promoted_at_s),
        max(0, found.at_s - found.generation.manifest.as_of_s),
        more,
        n_bytes,
        request_id,
    )


def name_pinned(given: Answer) -> bytes:
    """Write the ids of the pinned posts as a header has them."""
    return ",".join(quote(str(post_id), safe="") for post_id in given.pinned_ids).encode()


def name_drawn(given: Answer) -> bytes:
    """Write the ids of the drawn posts as a header has them, each with its propensity."""
    id_of = given.found.generation.id_of
    said = (f"{quote(str(id_of(post)), safe='')}:{propensity:.6g}" for _, post, propensity in given.drawn)
    return ",".join(said).encode()


def name_raised(given: Answer) -> bytes:
    """Write the ids of the posts that a session put further up as a header has them, each with how far."""
    generation = given.found.generation
    if not generation.has_dictionary:
        return b",".join([b"%d:+%d" % moved for moved in given.raised])
    said = [f"{quote(str(generation.id_of(post)), safe='')}:+{n}" for post, n in given.raised]
    return ",".join(said).encode()


def _name_arm(given: Answer) -> tuple[str, ...]:
    """Return the names of an answer's experiment, if any, and of the arm, if that answered."""
    placed = given.placed
    if placed is None:
        return ()
    return (placed.experiment.name, placed.arm.name) if placed.by_arm else (placed.experiment.name,)


@lru_cache(maxsize=4096)
def _share(
    generation: int, bucket_s: int, rung: Rung, said: Label, experiment: str = "", arm: str = ""
) -> tuple[Headers, bytes]:
    """Return the headers that many answers share, and the same as text; nobody may change the list."""
    headers = [
        (b"x-almanac-generation", b"%d" % generation),
        (b"x-almanac-bucket", moment(bucket_s).isoformat().encode()),
        (b"x-almanac-rung", rung.encode()),
        (b"x-almanac-time", said.encode()),
    ]
    of_arm = ((b"x-almanac-experiment", experiment.encode()), (b"x-almanac-arm", arm.encode()))
    headers += [header for header in of_arm if header[1]]
    return headers, b"".join(b"%b: %b\r\n" % header for header in headers)
