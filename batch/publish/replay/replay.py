"""What a user was shown at a past time: by the generation of that time, with what was known then."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, cast

import redis

from api.contract.buckets import moment
from api.contract.hindsight import seen_as_known
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from api.feed import LookUp, Pointer, Rung, answer, stands
from batch.publish.replay.kept import GenerationLost, Kept, Own
from batch.publish.replay.known import Chronicle, Name

HELD = 64  # generations in memory


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer of the past.

    Attributes:
        user_id: Who asked.
        at: When, UTC.
        generation: What answered: its number, or where it lies on disk.
        was_served: Whether it was current then; else it was made for that time later.
        as_of: Newest fact that entered it.
        bucket: Start of the bucket that answered.
        time: How the time was answered: exact or nearest.
        rung: The lowest rung of the fallback ladder.
        post_ids: Best first.
    """

    user_id: int
    at: str
    generation: Name
    was_served: bool
    as_of: str
    bucket: str
    time: str
    rung: Rung
    post_ids: tuple[int, ...]

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


class Replayer:
    """Replays one variant's answers; what the past holds is read once."""

    def __init__(
        self, client: redis.Redis, keys: Keys, past: Chronicle, opened: Callable[[Name], Kept]
    ) -> None:
        """Open nothing yet. `opened` gives a generation by name and raises GenerationLost."""
        self._client = client
        self._keys = keys
        self._past = past
        self._kept = lru_cache(maxsize=HELD)(opened)

    def replay(self, user_id: int, at_s: int, limit: int) -> Replayed:
        """Answer as the API did at a time, to the second: within it, events come before requests.

        What was current answers. Before anything was served, the newest generation made for a time not after
        it does; then every fact counts as known when it occurred. An answer that was degraded is not
        replayed as such, and one given while a run wrote seen sets may differ by what it was writing.

        Raises:
            GenerationLost: No generation of that time is kept.
        """
        served = self._past.current_at(at_s)
        number: Name | None = served.generation if served else self._past.made_for(at_s)
        if number is None:
            raise GenerationLost(
                f"nothing was served at {moment(at_s).isoformat()} and no generation is kept for it: "
                "`almanac backfill` makes some"
            )
        kept = self._kept(number)
        manifest = kept.shared.manifest
        bucket_s = manifest.horizon.bucket_for(at_s)
        own = kept.own(user_id, bucket_s)
        pointer = Pointer(manifest.generation, served.from_s if served else manifest.as_of_s)
        down = self._past.taken_down_at(at_s)
        posts = {post_id: b"" for post_id in kept.shared.posts if post_id not in down}
        shared = replace(kept.shared, posts=posts)
        hidden, whole = self._hidden(user_id, at_s, bucket_s, own, manifest, was_served=served is not None)
        found = LookUp(
            user_id, at_s, bucket_s, pointer, shared, own.ranked, own.segment, hidden, sees_all=False
        )
        choice = answer(found, limit)
        if not stands(found, choice):
            found.hidden, found.sees_all = whole, True
            choice = answer(found, limit)
        return Replayed(
            user_id=user_id,
            at=moment(at_s).isoformat(),
            generation=number,
            was_served=served is not None,
            as_of=moment(manifest.as_of_s).isoformat(),
            bucket=moment(bucket_s).isoformat(),
            time=manifest.horizon.label_for(at_s, manifest.as_of_s),
            rung=choice.rung,
            post_ids=choice.post_ids,
        )

    def _hidden(
        self, user_id: int, at_s: int, bucket_s: int, own: Own, manifest: Manifest, *, was_served: bool
    ) -> tuple[frozenset[int], frozenset[int]]:
        """Return what is hidden of the own list, and what of all lists, as the API's two readings see it."""
        policy, as_of_s = manifest.seen_policy, manifest.as_of_s
        if policy == "none":
            return frozenset(), frozenset()
        seen = self._timed((self._keys.likes if policy == "likes" else self._keys.seen)(user_id))
        if not was_served:
            everything = seen_as_known(seen.items(), {}, own.ranked, as_of_s, at_s, None)
            everything |= own.left_out or frozenset()
            return everything, everything
        facts = self._facts(user_id, at_s, bucket_s, own, manifest, seen)
        told = self._past.told_by(user_id, at_s, policy)
        fresh = {post for post in facts if seen.get(post, as_of_s) > as_of_s}
        return frozenset(fresh | told.keys()), facts | told.keys()

    def _facts(
        self, user_id: int, at_s: int, bucket_s: int, own: Own, manifest: Manifest, seen: dict[int, int]
    ) -> frozenset[int]:
        """Return the posts that runs had taught the store by a time."""
        learnt = self._past.learnt_by(at_s)
        known = own.left_out
        if learnt is not None and learnt[0] != manifest.generation and known is not None:
            try:
                newer = self._kept(learnt[0]).own(user_id, bucket_s).left_out
            except GenerationLost:
                newer = None
            known = None if newer is None else known | newer
        if known is not None:
            return known
        policy, newest_s = manifest.seen_policy, learnt[1] if learnt else manifest.as_of_s
        told_key = self._keys.likes_told if policy == "likes" else self._keys.seen_told
        later = {post: told_s for post, told_s in self._timed(told_key(user_id)).items() if told_s > at_s}
        as_known = seen_as_known(seen.items(), later, own.ranked, manifest.as_of_s, at_s, newest_s)
        return as_known | (own.left_out or frozenset())

    def _timed(self, key: str) -> dict[int, int]:
        found = cast("list[tuple[bytes, float]]", self._client.zrange(key, 0, -1, withscores=True))
        return {int(post): int(second) for post, second in found}
