"""Live events as clients send them: read one by one, so that a bad one keeps no other from being recorded.

What may live here: pure functions over what was sent. No store, no clock, no HTTP.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Literal, TypeGuard
from urllib.parse import quote

import orjson

from api.contract.event import ACTIONS, Event
from api.contract.ids import LONGEST, check_id
from api.schemas.value import read_time

MOST_EVENTS = 1000  # in one request
LARGEST_BODY = 1 << 20  # bytes: a thousand events take 200 KB
LATEST_S = 253_402_300_799  # the last second of the year 9999
AHEAD_S = 60  # a clock that is further ahead than this is wrong
MILLISECONDS_FROM = 10**11  # as seconds this is the year 5138, as milliseconds 1973

Status = Literal["accepted", "late", "unknown", "duplicate", "forgotten", "malformed"]

# The names under which clients send the same thing: ours, then a shop's.
Names = tuple[str, ...]
USER, POST = ("user_id", "visitorid"), ("post_id", "itemid")
KIND, TIME = ("action", "event"), ("time", "timestamp")
ID, TRANSACTION = ("id", "event_id"), ("transactionid", "transaction_id")

_NAME, _NAME_OR_NOTHING = re.compile(r"[\x21-\x7e]{1,128}"), re.compile(r"[\x21-\x7e]{0,128}")


class BodyTooLarge(ValueError):
    """A body is longer than LARGEST_BODY."""

    def __init__(self) -> None:
        super().__init__(f"the body is larger than {LARGEST_BODY} bytes: send the events in several requests")


class Malformed(ValueError):
    """What cannot be read: which field, as the client calls it, and its value; the event's id, if read."""

    def __init__(self, field: str, value: object, why: str) -> None:
        super().__init__(why)
        self.field = field
        self.value = value
        self.event_id: str | None = None


def read_events(body: bytes, now_s: int, new_id: Callable[[], str]) -> list[Event | Malformed]:
    """Read the events of a request, each for itself, in their order.

    Args:
        body: JSON: one event, an array of events, or an object whose `events` is such an array.
        now_s: Epoch seconds: when the events are told; also when one without a time occurred.
        new_id: Makes an id for an event that brings neither an id nor a time.

    Raises:
        Malformed: It is none of these, holds no event, or more than MOST_EVENTS.
    """
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Malformed("", None, f"the body is no JSON: {exc}") from exc
    if isinstance(sent, dict):
        sent = sent.get("events", [sent])
    if not isinstance(sent, list):
        raise Malformed("", None, "the body must be an event, an array of events, or an object with `events`")
    if not 1 <= len(sent) <= MOST_EVENTS:
        why = f"{len(sent)} events are outside 1..{MOST_EVENTS}: send them in several requests"
        raise Malformed("", None, why)
    return [read_event(one, now_s, new_id) for one in sent]


def read_event(sent: object, now_s: int, new_id: Callable[[], str]) -> Event | Malformed:
    """Read one event.

    An event without an id gets one made of what it says, so that sending it again changes nothing; one that
    has no time either cannot be told from the next one like it.

    >>> read = read_event({"visitorid": 7, "itemid": "17", "event": "addtocart"}, 60, lambda: "e1")
    >>> isinstance(read, Event) and (read.user_id, read.post_id, read.action, read.occurred_at_s)
    ('7', '17', 'like', 60)
    """
    if not isinstance(sent, dict):
        return Malformed("", sent, f"{_show(sent)} is no event: an object with user_id, post_id and action")
    event_id = None
    try:
        event_id = _read_name(sent, ID, _NAME, "an id of an event")
        user_id, post_id = _read_id(sent, USER), _read_id(sent, POST)
        kind = _read_kind(sent)
        transaction = _read_name(sent, TRANSACTION, _NAME_OR_NOTHING, "the number of a purchase") or ""
        time_s = _read_time(sent, now_s)
    except Malformed as exc:
        exc.event_id = event_id
        return exc
    if event_id is None:
        who, what = quote(user_id, safe=""), quote(post_id, safe="")
        said = f"{who}:{what}:{kind}:{time_s}:{transaction}"
        event_id = new_id() if time_s is None else hashlib.sha256(said.encode()).hexdigest()[:32]
    # A time up to a minute ahead is now, by a clock that runs ahead.
    occurred_at_s = now_s if time_s is None else min(time_s, now_s)
    return Event(event_id, user_id, post_id, kind, occurred_at_s, now_s, transaction)


def status_of(event: Event, *, recorded: bool | None, as_of_s: int | None, known: Collection[str]) -> Status:
    """Say what became of an event.

    Args:
        event: What was sent.
        recorded: Whether it is new; else it was recorded before. None: not at all, the user is forgotten.
        as_of_s: The newest fact of what is served: an event no later came too late for its lists, yet is
            filtered as any other. None where nothing is served.
        known: Ids of those posts of what is served that were asked for; empty where nothing is.
    """
    if recorded is None:
        return "forgotten"
    if not recorded:
        return "duplicate"
    if as_of_s is None:
        return "accepted"
    if event.post_id not in known:
        return "unknown"
    return "late" if event.occurred_at_s <= as_of_s else "accepted"


def _find(sent: Mapping[str, object], names: Names) -> tuple[str, object]:
    """Return the first of the names that is there, and its value; None stands for nothing."""
    return next(((name, sent[name]) for name in names if sent.get(name) is not None), (names[0], None))


def _read_id(sent: Mapping[str, object], names: Names) -> str:
    name, value = _find(sent, names)
    text = str(value) if _is_int(value) else value
    try:
        if isinstance(text, str):
            return check_id(text)
    except ValueError:
        pass
    allowed = f"is not an id: an integer, or text of 1 to {LONGEST} bytes without control characters"
    raise _refuse(name, value, allowed)


def _read_kind(sent: Mapping[str, object]) -> str:
    name, value = _find(sent, KIND)
    if not isinstance(value, str) or value not in ACTIONS:
        raise _refuse(name, value, f"is not an action: {', '.join(ACTIONS)}")
    return value


def _read_time(sent: Mapping[str, object], now_s: int) -> int | None:
    """Return when it occurred, as the client says; None if it does not."""
    name, value = _find(sent, TIME)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            at_s = read_time(value, name)
        except ValueError as exc:
            raise _refuse(name, value, str(exc).partition(" ")[2]) from exc
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        at_s = int(value // 1000 if value >= MILLISECONDS_FROM else value // 1)
    else:
        raise _refuse(name, value, "is not a time: text such as 2021-12-20T00:00, or epoch seconds")
    if not 0 <= at_s <= LATEST_S:
        raise _refuse(name, value, "is not a time from 1970 to 9999")
    if at_s > now_s + AHEAD_S:
        raise _refuse(name, value, f"is in the future: it is {now_s} now, in epoch seconds")
    return at_s


def _read_name(sent: Mapping[str, object], names: Names, allowed: re.Pattern[str], what: str) -> str | None:
    """Return a text, or a number as text; None if there is none."""
    name, value = _find(sent, names)
    text = str(value) if _is_int(value) else value
    if text is not None and not (isinstance(text, str) and allowed.fullmatch(text)):
        raise _refuse(name, value, f"is not {what}: 1 to 128 visible ASCII characters")
    return text


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(name: str, value: object, wanted: str) -> Malformed:
    return Malformed(name, value, f"{name}={_show(value)} {wanted}")


def _show(value: object) -> str:
    if isinstance(value, (dict, list)):  # not as text: it may be nested deeper than Python can write
        return "an object" if isinstance(value, dict) else "an array"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
