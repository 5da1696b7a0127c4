"""What a user was shown at a past time: by the generation of that time, without the posts seen by then."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, cast

import redis

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.contract.manifest import SeenPolicy
from api.feed import LookUp, Pointer, Rung, answer
from batch.publish.replay.history import Chronicle, Name
from batch.publish.replay.kept import GenerationLost, Kept

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
        it does. A post is hidden if it was seen by the time, whenever that became known: an answer differs
        from what was given by posts whose event was accepted later, or whose fact no run had read yet. One
        that was degraded is not replayed as such.

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
        hidden = self._hidden(user_id, at_s, manifest.seen_policy)
        found = LookUp(
            user_id, at_s, bucket_s, pointer, shared, own.ranked, own.segment, hidden, sees_all=True
        )
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

    def _hidden(self, user_id: int, at_s: int, policy: SeenPolicy) -> frozenset[int]:
        """Return the posts that a user had seen by a time, by their earliest times in the store."""
        keys = {
            "views": (self._keys.seen, self._keys.seen_live),
            "likes": (self._keys.likes, self._keys.likes_live),
            "none": (),
        }[policy]
        found = [self._client.zrange(key(user_id), at_s, "-inf", byscore=True, desc=True) for key in keys]
        return frozenset(int(post) for posts in cast("list[list[bytes]]", found) for post in posts)
