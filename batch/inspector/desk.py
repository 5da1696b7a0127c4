"""What every page works with: the store, the runs' record, and the generations that were read last."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import redis

from api.contract.keys import Keys
from batch.publish.replay.kept import Kept, from_store
from batch.publish.store import GenerationStore
from batch.runs.runs import Runs
from batch.settings import Settings

MOST_KEPT = 4  # generations in memory: some 20 MB each at 7,023 posts


@dataclass(frozen=True, slots=True)
class Desk:
    """The places that pages read from; nothing is opened before it is asked."""

    settings: Settings
    url: str
    client: redis.Redis
    now: Callable[[], float]
    _shelf: "OrderedDict[tuple[int, int, str], Kept]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def keys(self) -> Keys:
        """Return the names of the keys."""
        return self.settings.keys

    @property
    def store(self) -> GenerationStore:
        """Return the store's generations."""
        return GenerationStore(self.client, self.keys)

    @property
    def folder(self) -> Path:
        """Return where generations lie on disk."""
        return self.settings.state_dir / "generations"

    @property
    def runs(self) -> Runs:
        """Return the record of runs."""
        return Runs(self.settings.state_dir)

    def read_kept(self, client: redis.Redis, keys: Keys, number: int) -> Kept:
        """Return a generation as `from_store` reads it; one that was read before is not read again.

        Raises:
            GenerationLost: It is not in the store any more.
        """
        store = GenerationStore(client, keys)
        manifest = store.manifest(number)
        name = (number, manifest.created_at_s, manifest.root) if manifest else None
        if name is None or store.state(number) != "sealed" or name not in self._shelf:
            kept = from_store(client, keys, number)
            if name is None:
                return kept
        else:
            kept = self._shelf[name]
        with self._lock:
            self._shelf[name] = kept
            self._shelf.move_to_end(name)
            while len(self._shelf) > MOST_KEPT:
                self._shelf.popitem(last=False)
        return kept
