"""Answers to many users, as the API gives them one by one: read in pipelines, chosen by `answer`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import redis

from api.contract.ids import FEATURE
from api.contract.keys import Keys
from api.contract.layout import ListLayout
from api.contract.pin import Pins
from api.contract.seen import read_seen_by
from api.feed import Answer, answer
from api.found import Generation, Lookup, Pointer

USERS = 2048  # a round trip: some 5 MB of replies


def answer_all(
    client: redis.Redis,
    keys: Keys,
    served: Generation,
    pins: Pins,
    users: Sequence[str],
    at_s: int,
    limit: int,
) -> Iterator[list[Answer]]:
    """Yield the answers to users at a time, some at once, in their order.

    A list that holds no post seen by as_of needs only what was seen since; whoever is answered from below it,
    asks for an earlier time, or has a list that may hold seen posts needs all that they saw.

    Args:
        client: The store.
        keys: Names of the keys.
        served: A sealed generation, without the posts that are taken down.
        pins: What is pinned.
        users: Canonical ids; of who has no list too.
        at_s: The time, epoch seconds.
        limit: How many posts at most.
    """
    reader = _Reader(client, keys, served, pins, at_s)
    for low in range(0, len(users), USERS):
        found = reader.look_up(users[low : low + USERS])
        given = [answer(one, limit) for one in found]
        lower = [row for row, one in enumerate(given) if not one.is_final]
        for row, whole in zip(lower, reader.see_all([found[row] for row in lower]), strict=True):
            given[row] = answer(whole, limit)
        yield given


class _Reader:
    """Reads look-ups of one generation at one time, a round trip for many."""

    def __init__(self, client: redis.Redis, keys: Keys, served: Generation, pins: Pins, at_s: int) -> None:
        """Choose the seen sets by the manifest's policy; read nothing."""
        manifest = served.manifest
        self._client, self._keys, self._served, self._at_s = client, keys, served, at_s
        self._layout = ListLayout(manifest)
        self._bucket_s = manifest.horizon.bucket_for(at_s)
        self._pointer = Pointer(manifest.generation, manifest.created_at_s)
        sets = {
            "views": (keys.seen, keys.seen_live, keys.seen_old),
            "likes": (keys.likes, keys.likes_live, keys.likes_old),
            "none": (),
        }
        self._sets = sets[manifest.seen_policy]
        self._pins = served.number_pins(pins)
        self._since = f"({manifest.as_of_s}"
        self._sees_all = at_s < manifest.as_of_s or manifest.sees_all
        self._has_dictionary = FEATURE in manifest.needs

    def look_up(self, users: Sequence[str]) -> list[Lookup]:
        """Return what the generation holds for users, and what of it they may have seen by the time."""
        with self._client.pipeline(transaction=False) as pipe:
            for user_id in users:
                self._ask_list(pipe, user_id)
                self._ask_seen(pipe, user_id, whole=self._sees_all)
            replies = iter(pipe.execute())
        return [self._read(user_id, replies) for user_id in users]

    def see_all(self, found: Sequence[Lookup]) -> list[Lookup]:
        """Return look-ups with all that their users had seen by the time."""
        with self._client.pipeline(transaction=False) as pipe:
            for one in found:
                self._ask_seen(pipe, one.user_id, whole=True)
            replies = iter(pipe.execute())
        return [
            replace(one, hidden=one.hidden | self._read_seen(replies, whole=True), sees_all=True)
            for one in found
        ]

    def _ask_list(self, pipe: Any, user_id: str) -> None:
        key = self._keys.list(user_id, self._pointer.generation)
        pipe.execute_command(*self._layout.ask(key, self._bucket_s))

    def _ask_seen(self, pipe: Any, user_id: str, *, whole: bool) -> None:
        """Queue readings of the seen set and the live one; of neither where nothing is hidden.

        Of the live one all counts where posts may have had no number yet; else what came late, since
        numbers stand in the seen set too.
        """
        if not self._sets:
            return
        seen, live, old = (key(user_id) for key in self._sets)
        # From the newest down: from the oldest up it would pass all that was ever seen.
        pipe.zrange(seen, self._at_s, "-inf" if whole else self._since, byscore=True, desc=True)
        until_s = self._at_s if self._has_dictionary else min(self._at_s, self._served.manifest.as_of_s)
        pipe.zrange(live, "-inf", until_s, byscore=True)
        if whole:
            pipe.get(old)  # last: the batch moves pairs there

    def _read(self, user_id: str, replies: Iterator[Any]) -> Lookup:
        ranked, segment = self._layout.read(next(replies), self._bucket_s)
        return Lookup(
            user_id=user_id,
            at_s=self._at_s,
            bucket_s=self._bucket_s,
            pointer=self._pointer,
            generation=self._served,
            own=ranked,
            segment=segment,
            hidden=self._read_seen(replies, whole=self._sees_all),
            sees_all=self._sees_all,
            pins=self._pins,
        )

    def _read_seen(self, replies: Iterator[Any], *, whole: bool) -> frozenset[int]:
        if not self._sets:
            return frozenset()
        numbers, ids = next(replies), next(replies)
        old = next(replies) if whole else None
        hidden = frozenset(map(int, numbers)).union(read_seen_by(old or b"", self._at_s))
        return hidden | self._served.numbers_of(map(bytes.decode, ids)) if ids else hidden
