"""A pinned post: an editor's wish that it stands at a place of the first page, for some time, for some users.

What may live here: how a pin is written and read, and which pins a request has. No I/O, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

MOST = 20  # every request looks at each of them
PLACES = range(1, 101)  # of a page
TYPES = {"place": int, "from_s": int, "to_s": int, "topic": str, "segment": str}

Pins = Mapping[str, "Pin"]  # a post's canonical id to its pin


@dataclass(frozen=True, slots=True)
class Pin:
    """Where a post is pinned, when, and for whom.

    Attributes:
        place: Of the first page, from 1 on.
        from_s: The first second asked for that it holds at, epoch seconds; None: all before the end.
        to_s: The first one that it no longer holds at; None: all from the begin on.
        topic: The only topic that must be asked for; None: whatever is.
        segment: The segment that the user must be of; None: whoever asks.
    """

    place: int
    from_s: int | None = None
    to_s: int | None = None
    topic: str | None = None
    segment: str | None = None

    def __post_init__(self) -> None:
        """Check what is told.

        Raises:
            ValueError: The place is none of a page, the time is empty, or a name is.
        """
        if self.place not in PLACES:
            raise ValueError(f"place {self.place} is none of a page: a whole number from 1 to {PLACES[-1]}")
        if self.from_s is not None and self.to_s is not None and self.from_s >= self.to_s:
            raise ValueError("a pin must end after it begins: give --to a later time than --from")
        if "" in (self.topic, self.segment):
            raise ValueError("an empty topic or segment is none: leave it out, or give a name")

    def holds_at(self, at_s: int) -> bool:
        """Say whether it holds when a time is asked for; from the begin on, and before the end.

        >>> [Pin(1, from_s=10, to_s=12).holds_at(at_s) for at_s in (9, 10, 11, 12)], Pin(1).holds_at(0)
        ([False, True, True, False], True)
        """
        return (self.from_s is None or self.from_s <= at_s) and (self.to_s is None or at_s < self.to_s)

    def to_json(self) -> bytes:
        """Write as JSON, without what is not told.

        >>> Pin(1, to_s=1640390400).to_json()
        b'{"place":1,"to_s":1640390400}'
        """
        told = {name: getattr(self, name) for name in TYPES}
        return orjson.dumps({name: value for name, value in told.items() if value is not None})

    @classmethod
    def from_json(cls, text: bytes) -> "Pin":
        """Read what `to_json` wrote; fields that are not known are left out.

        Raises:
            ValueError: The text is no pin.
        """
        try:
            raw = orjson.loads(text)
            told = {name: raw[name] for name in TYPES if raw.get(name) is not None}
            pin = cls(**told)
        except (AttributeError, TypeError, ValueError) as exc:
            raise ValueError(f"{text[:80]!r} is no pin: {exc}") from exc
        wrong = [name for name, value in told.items() if type(value) is not TYPES[name]]
        if wrong:
            raise ValueError(f"{text[:80]!r} is no pin: {wrong[0]} is no {TYPES[wrong[0]].__name__}")
        return pin


def in_order(pins: Pins) -> list[tuple[str, Pin]]:
    """Return pins by place; of one place the shorter id first, then the one of lower bytes, as of numbers.

    >>> [post for post, _ in in_order({"b": Pin(2), "10": Pin(1), "9": Pin(1)})]
    ['9', '10', 'b']
    """

    def place_of(item: tuple[str, Pin]) -> tuple[int, int, bytes]:
        spelled = item[0].encode()
        return item[1].place, len(spelled), spelled

    return sorted(pins.items(), key=place_of)


def read_pins(stored: Iterable[tuple[bytes, bytes]]) -> Pins:
    """Read the fields of a hash that anyone may have written to; what is no pin is left out."""
    pins: dict[str, Pin] = {}
    for post_id, text in stored:
        try:
            pins[post_id.decode()] = Pin.from_json(text)
        except ValueError:
            continue
    return pins
