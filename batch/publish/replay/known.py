"""What was known at a time: what was current, what runs had learnt, what users had told, takedowns."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import redis

from api.contract.keys import Keys
from api.contract.manifest import SeenPolicy
from batch.data.columns import LIKE
from batch.data.live.events import LiveEvents
from batch.publish.ledger.history import Promotion, promotions
from batch.store import read

Name = int | str  # of a generation: its number in the store, or where it lies on disk


@dataclass(frozen=True, slots=True)
class Told:
    """A user's live event: its post, whether it is a like, and when we were told; it occurred no later."""

    post_id: int
    is_like: bool
    accepted_at_s: int


@dataclass(frozen=True, slots=True)
class Chronicle:
    """Everything that has a time of its own, read once; epoch seconds.

    Attributes:
        served: What was current when, oldest first.
        made: First second of each generation made for the past, and its number; of one that lies on disk
            only, its folder's name. Ascending.
        learnt: Second, generation and newest fact of each run that wrote seen sets, in that order.
        takedowns: Second, post and whether it went down, in that order.
        taken_down: What is taken down now.
        told: Live events by user.
    """

    served: tuple[Promotion, ...]
    made: tuple[tuple[int, Name], ...]
    learnt: tuple[tuple[int, int, int], ...]
    takedowns: tuple[tuple[int, int, bool], ...]
    taken_down: frozenset[int]
    told: dict[int, list[Told]] = field(default_factory=dict)

    def current_at(self, at_s: int) -> Promotion | None:
        """Return what was current at a time; None before the first promotion."""
        place = bisect_right(self.served, at_s, key=lambda promotion: promotion.from_s)
        return self.served[place - 1] if place else None

    def made_for(self, at_s: int) -> Name | None:
        """Return the newest generation made for a time not after this one; None where there is none."""
        place = bisect_right(self.made, at_s, key=lambda pair: pair[0])
        return self.made[place - 1][1] if place else None

    def learnt_by(self, at_s: int) -> tuple[int, int] | None:
        """Return the last run, and its newest fact, that had written seen sets by a time."""
        place = bisect_right(self.learnt, at_s, key=lambda note: note[0])
        return self.learnt[place - 1][1:] if place else None

    def taken_down_at(self, at_s: int) -> frozenset[int]:
        """Return what was taken down at a time; a post without a note of it counts as always taken down."""
        noted = {post_id for _, post_id, _ in self.takedowns}
        down = set(self.taken_down - noted)
        for second, post_id, is_down in self.takedowns:
            if second <= at_s:
                (down.add if is_down else down.discard)(post_id)
        return frozenset(down)

    def told_by(self, user_id: int, at_s: int, policy: SeenPolicy) -> dict[int, int]:
        """Return the posts that live events accepted by a time hide, and the second of the first of each."""
        return {post: told_s for post, told_s in self._told(user_id, policy).items() if told_s <= at_s}

    def _told(self, user_id: int, policy: SeenPolicy) -> dict[int, int]:
        first: dict[int, int] = {}
        for event in self.told.get(user_id, ()):
            if policy == "views" or (policy == "likes" and event.is_like):
                first[event.post_id] = min(first.get(event.post_id, event.accepted_at_s), event.accepted_at_s)
        return first


def chronicle(
    client: redis.Redis, keys: Keys, variant: str, live: LiveEvents, on_disk: Iterable[tuple[int, str]] = ()
) -> Chronicle:
    """Read all that the store keeps of a variant's past.

    Args:
        client: The store.
        keys: Names of the keys.
        variant: Whose generations.
        live: Accepted events, drained ones and those still in the stream.
        on_disk: First second and name of generations made for the past that lie on disk.
    """
    learnt = [(at_s, *map(int, member.split())) for member, at_s in _timed(client, keys.learnt())]
    stored: dict[int, Name] = {at_s: int(member) for member, at_s in _timed(client, keys.past(variant))}
    log = [member.split() for member, _ in _timed(client, keys.takedown_log())]
    return Chronicle(
        served=tuple(promotions(client, keys, variant)),
        made=tuple(
            sorted([*(pair for pair in on_disk if pair[0] not in stored), *stored.items()], key=_second)
        ),
        learnt=tuple((at_s, generation, as_of_s) for at_s, generation, as_of_s in learnt),
        takedowns=tuple((int(at_ms) // 1000, int(post), what == b"down") for at_ms, post, what in log),
        taken_down=frozenset(int(read.narrow(post)) for post in client.smembers(keys.takedowns())),
        told=_by_user(live),
    )


def _second(pair: tuple[int, Name]) -> int:
    return pair[0]


def _timed(client: redis.Redis, key: str) -> list[tuple[bytes, int]]:
    found = cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True))
    return [(member, int(score)) for member, score in found]


def _by_user(live: LiveEvents) -> dict[int, list[Told]]:
    columns = (live.user, live.post, np.equal(live.action, LIKE), live.accepted)
    told: defaultdict[int, list[Told]] = defaultdict(list)
    for user, *event in zip(*(column.tolist() for column in columns), strict=True):
        told[user].append(Told(*event))
    return dict(told)
