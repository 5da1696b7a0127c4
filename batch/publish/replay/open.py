"""Opens what a replay reads: generations of the store and of the disk."""

from pathlib import Path

import redis

from api.contract.keys import Keys
from batch.publish.backfilled import FOLDER, list_backfilled
from batch.publish.replay.history import Name, read_history
from batch.publish.replay.kept import Kept, from_disk, from_store
from batch.publish.replay.replay import Replayer


def replayer(prefix: str, client: redis.Redis, variant: str, state_dir: Path) -> Replayer:
    """Return what replays a variant's answers, as of what is recorded now."""
    keys = Keys(prefix)
    backfilled = list_backfilled(state_dir / FOLDER, variant)
    on_disk = {f"{FOLDER}/{made.manifest.generation}": made for made in backfilled}
    made = [(one.manifest.as_of_s, name) for name, one in on_disk.items()]

    def load(name: Name) -> Kept:
        return from_store(client, keys, name) if isinstance(name, int) else from_disk(on_disk[name])

    return Replayer(client, keys, read_history(client, keys, variant, made), load)
