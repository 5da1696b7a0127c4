"""The history of a variant: what was current when, what was made for the past, takedowns, pins."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import cast

import redis

from api.contract.history import Reach
from api.contract.ids import unquote
from api.contract.keys import Keys
from api.contract.pin import Pin, Pins, read_pins
from batch.publish.ledger.ledger import Ledger, Promotion
from batch.store import read

Name = int | str  # of a generation: its number in the store, or where it lies on disk
FOREVER_S = 1 << 62


@dataclass(frozen=True, slots=True)
class History:
    """Everything that has a time of its own, read once; epoch seconds.

    Attributes:
        current: Number of what is current; None where nothing is.
        as_of_s: Newest fact of what is current; FOREVER_S where nothing is.
        promotions: What was current when, oldest first.
        made: First second of each generation made for the past, and its number; of one that lies on disk
            only, its folder's name. Ascending.
        takedowns: Second, canonical id of a post, whether it went down, and who did it, in that order;
            empty: that was not noted.
        taken_down: Canonical ids of what is taken down now.
        pinnings: Second, canonical id of a post, what pins it from then on, None: nothing, and who did it.
        pins: What is pinned now.
    """

    current: int | None
    as_of_s: int
    promotions: tuple[Promotion, ...]
    made: tuple[tuple[int, Name], ...]
    takedowns: tuple[tuple[int, str, bool, str], ...]
    taken_down: frozenset[str]
    pinnings: tuple[tuple[int, str, Pin | None, str], ...]
    pins: Pins

    @property
    def reach(self) -> Reach:
        """Return the times that another generation than the current one may answer."""
        first_s, latest_s = (
            (self.promotions[0].from_s, self.promotions[-1].from_s) if self.promotions else (None, 0)
        )
        return Reach.of(first_s, latest_s, self.made[0][0] if self.made else None, self.as_of_s)

    def generation_at(self, at_s: int) -> Name | None:
        """Return the generation that answers a time, if it is kept; None where only what is current may."""
        if not self.reach.holds(at_s):
            return None
        promotion = self.promotion_at(at_s)
        if promotion is not None:
            return promotion.generation
        place = bisect_right(self.made, at_s, key=itemgetter(0))
        return self.made[place - 1][1]

    def promotion_at(self, at_s: int) -> Promotion | None:
        """Return the promotion that was the last one at a time; None before the first."""
        place = bisect_right(self.promotions, at_s, key=lambda promotion: promotion.from_s)
        return self.promotions[place - 1] if place else None

    def taken_down_at(self, at_s: int) -> frozenset[str]:
        """Return what was taken down at a time; a post without a note of it counts as always taken down."""
        noted = {post_id for _, post_id, _, _ in self.takedowns}
        down = set(self.taken_down - noted)
        for second, post_id, is_down, _ in self.takedowns:
            if second <= at_s:
                (down.add if is_down else down.discard)(post_id)
        return frozenset(down)

    def pins_at(self, at_s: int) -> Pins:
        """Return what was pinned at a time; a pin without a note of its post counts as always there."""
        noted = {post_id for _, post_id, _, _ in self.pinnings}
        then: dict[str, Pin | None] = {post: pin for post, pin in self.pins.items() if post not in noted}
        then |= {post_id: pin for second, post_id, pin, _ in self.pinnings if second <= at_s}
        return {post_id: pin for post_id, pin in then.items() if pin is not None}


def read_history(
    client: redis.Redis, keys: Keys, variant: str, on_disk: Iterable[tuple[int, str]] = ()
) -> History:
    """Read all that the store keeps of a variant's history.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Whose generations.
        on_disk: First second and name of generations made for the past that lie on disk.
    """
    ledger = Ledger(client, keys)
    current, _ = ledger.read_served(variant)
    manifest = None if current is None else ledger.manifest(current)
    stored: dict[int, Name] = {at_s: int(member) for member, at_s in _read_scored(client, keys.past(variant))}
    made = [*(pair for pair in on_disk if pair[0] not in stored), *stored.items()]
    return History(
        current=current if manifest else None,
        as_of_s=manifest.as_of_s if manifest else FOREVER_S,
        promotions=tuple(ledger.promotions(variant)),
        made=tuple(sorted(made, key=itemgetter(0))),
        takedowns=tuple(_read_takedown(member) for member, _ in _read_scored(client, keys.takedown_log())),
        taken_down=frozenset(read.narrow(post).decode() for post in client.smembers(keys.takedowns())),
        pinnings=tuple(_read_pinning(member) for member, _ in _read_scored(client, keys.pin_log())),
        pins=read_pins(read.fields(client, keys.pins()).items()),
    )


def _read_takedown(member: bytes) -> tuple[int, str, bool, str]:
    at_ms, post, what, *who = member.decode().split(" ")
    return int(at_ms) // 1000, unquote(post), what == "down", unquote("".join(who))


def _read_pinning(member: bytes) -> tuple[int, str, Pin | None, str]:
    at_ms, post, what = member.split(b" ", 2)
    who = b""
    if not what.startswith(b"{") and what != b"removed":  # JSON may hold blanks; older notes have no name
        who, _, what = what.partition(b" ")
    pin = None if what == b"removed" else Pin.from_json(what)
    return int(at_ms) // 1000, unquote(post.decode()), pin, unquote(who.decode())


def _read_scored(client: redis.Redis, key: str) -> list[tuple[bytes, int]]:
    found = cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True))
    return [(member, int(score)) for member, score in found]
