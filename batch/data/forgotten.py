"""Users who are forgotten: their tombstones in the state folder and the store, and facts without them.

The key of the tombstones is made in the state folder; the store has a copy, so that the API needs no file.
Both places know every tombstone: a new store, or a new folder, does not bring anybody back.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import redis

from api.contract.forgotten import tombstone
from api.contract.ids import Kind, canonical
from api.contract.keys import Keys
from batch.arrays import Bools
from batch.data.facts import Facts
from batch.data.live.events import LiveEvents
from batch.data.rows import renumber
from batch.store import read

FOLDER, KEY, TOMBSTONES = "forgotten", "key", "tombstones"  # in the state folder; files of mode 0600


class OtherKey(ValueError):
    """Store and state folder have tombstones by different keys."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Tombstones, and the key that they are made by; empty where nobody was ever forgotten."""

    key: bytes = b""
    tombstones: frozenset[str] = frozenset()

    def hold(self, user_ids: Sequence[str]) -> Bools:
        """Return bool (users,): which of these canonical ids are those of forgotten users."""
        if not self.tombstones:
            return np.zeros(len(user_ids), np.bool_)
        return np.array([tombstone(self.key, user_id) in self.tombstones for user_id in user_ids], np.bool_)

    def holds(self, user_id: str, kind: Kind) -> bool:
        """Tell whether a user is forgotten, by an id in whatever spelling."""
        return bool(self.tombstones) and tombstone(self.key, canonical(user_id, kind)) in self.tombstones


def load_forgotten(state_dir: Path) -> Forgotten:
    """Read what the state folder knows."""
    folder = state_dir / FOLDER
    if not (folder / KEY).is_file():
        return Forgotten()
    names = (folder / TOMBSTONES).read_text("ascii").split() if (folder / TOMBSTONES).is_file() else []
    return Forgotten((folder / KEY).read_bytes(), frozenset(names))


def read_forgotten(store: redis.Redis, keys: Keys) -> Forgotten:
    """Read what the store knows."""
    key = read.value(store, keys.forgotten_key()) or b""
    members = cast("set[bytes]", store.smembers(keys.forgotten())) if key else set()
    return Forgotten(key, frozenset(member.decode() for member in members))


def unite_forgotten(store: redis.Redis, keys: Keys, state_dir: Path, new: Sequence[str] = ()) -> Forgotten:
    """Let store and state folder know all tombstones of either, and those of `new` users; return them.

    Args:
        store: The store.
        keys: Names of its keys.
        state_dir: The state folder.
        new: Canonical ids of users who are forgotten from now on.

    Raises:
        OtherKey: Both have a key, and not the same.
    """
    here, there = load_forgotten(state_dir), read_forgotten(store, keys)
    if here.key and there.key and here.key != there.key:
        raise OtherKey(
            f"the key in {state_dir / FOLDER} is not the one in the store ({keys.forgotten_key()}), so users "
            "who are forgotten there would come back here: use the state folder that belongs to this store"
        )
    key = here.key or there.key or (secrets.token_hex(32).encode() if new else b"")
    if not key:
        return here
    added = frozenset(tombstone(key, user_id) for user_id in new)
    both = Forgotten(key, here.tombstones | there.tombstones | added)
    if both != here:
        _save(both, state_dir / FOLDER)
    if both != there:
        with store.pipeline(transaction=True) as pipe:
            pipe.set(keys.forgotten_key(), key)
            if both.tombstones:
                pipe.sadd(keys.forgotten(), *sorted(both.tombstones))
            pipe.execute()
    return both


def drop_forgotten(facts: Facts, forgotten: Forgotten) -> Facts:
    """Return facts without forgotten users: without their profiles, their events and their names."""
    if not forgotten.tombstones:
        return facts
    gone = forgotten.hold(facts.user_names.canonical(facts.user_ids))
    if not gone.any():
        return facts
    there, retired = ~gone, facts.retired
    stays = facts.select(there[facts.user])
    if retired is not None:
        kept = retired.where(there[retired.user])
        retired = replace(kept, user=renumber(kept.user, there))
    counts = {"users": int(gone.sum()), "events": len(facts.time) - len(stays.time)}
    return replace(
        stays,
        users=facts.users[there].reset_index(drop=True),
        user=renumber(stays.user, there),
        retired=retired,
        user_names=facts.user_names.where(facts.user_ids[there]),
        report=replace(facts.report, forgotten=counts),
    )


def drop_forgotten_live(live: LiveEvents, forgotten: Forgotten, kind: Kind) -> LiveEvents:
    """Return live events without those of forgotten users, whose ids are of a kind."""
    if not forgotten.tombstones or not len(live.time):
        return live
    encoded = live.user.dictionary_encode()
    gone = forgotten.hold([canonical(text, kind) for text in encoded.dictionary.to_pylist()])
    return live.where(~gone[np.asarray(encoded.indices)])


def _save(forgotten: Forgotten, folder: Path) -> None:
    """Write both files, each whole or not at all, for their owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "".join(f"{name}\n" for name in sorted(forgotten.tombstones))
    for name, content in ((KEY, forgotten.key), (TOMBSTONES, text.encode())):
        part = folder / f"{name}.part"
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        part.replace(folder / name)
