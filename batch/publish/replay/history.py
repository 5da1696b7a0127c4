"""What a variant's past holds: what was current when, what was made for the past, takedowns."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import redis

from api.contract.keys import Keys
from batch.publish.ledger.history import Promotion, promotions
from batch.store import read

Name = int | str  # of a generation: its number in the store, or where it lies on disk


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Everything that has a time of its own, read once; epoch seconds.

    Attributes:
        served: What was current when, oldest first.
        made: First second of each generation made for the past, and its number; of one that lies on disk
            only, its folder's name. Ascending.
        takedowns: Second, post and whether it went down, in that order.
        taken_down: What is taken down now.
    """

    served: tuple[Promotion, ...]
    made: tuple[tuple[int, Name], ...]
    takedowns: tuple[tuple[int, int, bool], ...]
    taken_down: frozenset[int]

    def current_at(self, at_s: int) -> Promotion | None:
        """Return what was current at a time; None before the first promotion."""
        place = bisect_right(self.served, at_s, key=lambda promotion: promotion.from_s)
        return self.served[place - 1] if place else None

    def made_for(self, at_s: int) -> Name | None:
        """Return the newest generation made for a time not after this one; None where there is none."""
        place = bisect_right(self.made, at_s, key=lambda pair: pair[0])
        return self.made[place - 1][1] if place else None

    def taken_down_at(self, at_s: int) -> frozenset[int]:
        """Return what was taken down at a time; a post without a note of it counts as always taken down."""
        noted = {post_id for _, post_id, _ in self.takedowns}
        down = set(self.taken_down - noted)
        for second, post_id, is_down in self.takedowns:
            if second <= at_s:
                (down.add if is_down else down.discard)(post_id)
        return frozenset(down)


def chronicle(
    client: redis.Redis, keys: Keys, variant: str, on_disk: Iterable[tuple[int, str]] = ()
) -> Chronicle:
    """Read all that the store keeps of a variant's past.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Whose generations.
        on_disk: First second and name of generations made for the past that lie on disk.
    """
    stored: dict[int, Name] = {at_s: int(member) for member, at_s in _timed(client, keys.past(variant))}
    log = [member.split() for member, _ in _timed(client, keys.takedown_log())]
    return Chronicle(
        served=tuple(promotions(client, keys, variant)),
        made=tuple(
            sorted([*(pair for pair in on_disk if pair[0] not in stored), *stored.items()], key=_second)
        ),
        takedowns=tuple((int(at_ms) // 1000, int(post), what == b"down") for at_ms, post, what in log),
        taken_down=frozenset(int(read.narrow(post)) for post in client.smembers(keys.takedowns())),
    )


def _second(pair: tuple[int, Name]) -> int:
    return pair[0]


def _timed(client: redis.Redis, key: str) -> list[tuple[bytes, int]]:
    found = cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True))
    return [(member, int(score)) for member, score in found]
