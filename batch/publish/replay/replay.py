"""What a user was shown at a past time: by the generation of that time, without the posts seen by then."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import redis

from api.contract.buckets import moment
from api.contract.ids import as_json
from api.contract.keys import Id, Keys
from api.feed import Rung, answer
from batch.publish.backfilled import FOLDER, list_backfilled
from batch.publish.replay.history import History, Name, read_history
from batch.publish.replay.kept import GenerationLost, Kept, from_disk, from_store
from batch.publish.replay.seen import hidden_by

HELD = 64  # generations in memory


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer of the past.

    Attributes:
        user_id: Who asked, as JSON has it.
        at: When, UTC.
        generation: What answered: its number, or where it lies on disk.
        was_served: Whether it was current then; else it was made for that time later.
        as_of: Newest fact that entered it.
        bucket: Start of the bucket that answered.
        time: How the time was answered: exact or nearest.
        rung: The lowest rung of the fallback ladder.
        post_ids: Best first.
        pinned: Those of them that were pinned to their places.
    """

    user_id: int | str
    at: str
    generation: Name
    was_served: bool
    as_of: str
    bucket: str
    time: str
    rung: Rung
    post_ids: tuple[int | str, ...]
    pinned: tuple[int | str, ...]


class Replayer:
    """Replays one variant's answers; its history is read once."""

    def __init__(
        self, client: redis.Redis, keys: Keys, history: History, load: Callable[[Name], Kept]
    ) -> None:
        """Load nothing yet. `load` gives a generation by name and raises GenerationLost."""
        self._client = client
        self._keys = keys
        self._history = history
        self._kept = lru_cache(maxsize=HELD)(load)

    def replay(self, user_id: Id, at_s: int, limit: int) -> Replayed:
        """Answer as the API did at a time, to the second: within it, events come before requests.

        What was current answers. Before anything was served, the newest generation made for a time not after
        it does, or what is current now, if all its facts are from before. A post is hidden if it was seen by
        the time, whenever that became known: an answer differs from what was given by posts whose event was
        accepted later, or whose fact no run had read yet. One that was degraded is not replayed as such.

        Raises:
            GenerationLost: No generation of that time is kept.
        """
        number = self._history.generation_at(at_s)
        if number is None and at_s >= self._history.as_of_s:
            number = self._history.current
        if number is None:
            raise GenerationLost(
                f"nothing was served at {moment(at_s).isoformat()} and no generation is kept for it: "
                "`almanac backfill` makes some"
            )
        kept = self._kept(number)
        manifest = kept.shared.manifest
        who = kept.user_key(str(user_id))
        hidden = hidden_by(self._client, self._keys, who, at_s, manifest)
        down, pins = self._history.taken_down_at(at_s), self._history.pins_at(at_s)
        given = answer(kept.look_up(str(user_id), at_s, hidden, down, pins), limit)
        return Replayed(
            user_id=as_json(str(user_id), manifest.user_ids),
            at=moment(at_s).isoformat(),
            generation=number,
            was_served=self._history.promotion_at(at_s) is not None,
            as_of=moment(manifest.as_of_s).isoformat(),
            bucket=moment(given.found.bucket_s).isoformat(),
            time=given.label,
            rung=given.rung,
            post_ids=given.post_ids,
            pinned=given.pinned_ids,
        )


def open_replayer(keys: Keys, client: redis.Redis, variant: str, state_dir: Path) -> Replayer:
    """Return what replays a variant's answers, from generations in the store and on disk, as recorded now."""
    backfilled = list_backfilled(state_dir / FOLDER, variant)
    on_disk = {f"{FOLDER}/{made.manifest.generation}": made for made in backfilled}
    made = [(one.manifest.as_of_s, name) for name, one in on_disk.items()]

    def load(name: Name) -> Kept:
        return from_store(client, keys, name) if isinstance(name, int) else from_disk(on_disk[name])

    return Replayer(client, keys, read_history(client, keys, variant, made), load)
