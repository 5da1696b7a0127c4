"""What few look-ups need beyond the user's own list, each in a round trip of its own."""

from dataclasses import replace

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.profile import Fields, segment, signature
from api.feed import LookUp
from api.store.cache import reading
from api.store.commands import Plan
from api.store.connection import LinkLost, Replies
from api.store.errors import StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.pending import ids_of, sound


class Supplement:
    """Reads all posts that a user has seen, and the list of a profile."""

    def __init__(self, keys: Keys, lifeline: Lifeline) -> None:
        """Open nothing."""
        self._keys = keys
        self._lifeline = lifeline

    async def see_all(self, found: LookUp) -> LookUp:
        """Return the look-up with the user's segment and all posts seen by its time, as fallback lists need.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        if found.sees_all:
            return found
        packed, n_replies = Plan(self._keys, found.generation.manifest).all(found.user_id, found.at_s)
        with reading():
            stored, *seen = await self._call(packed, n_replies)
            name = None if found.degraded else sound(stored)  # then it is no hash, or not ours
            hidden = found.hidden | ids_of(seen)
        return replace(found, segment=name.decode() if name else found.segment, hidden=hidden, sees_all=True)

    async def introduce(self, found: LookUp, profile: Fields) -> LookUp:
        """Return the look-up with what a profile gives a user who has no list: its list, its segment.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            StoreUnavailable: The store did not answer in time.
        """
        manifest = found.generation.manifest
        name = signature(manifest.profile, profile)
        if found.own or not profile:
            return found
        packed = Plan(self._keys, manifest).profile(name, found.bucket_s)
        with reading():
            ranked = decode(sound((await self._call(packed, 1))[0]))
        return replace(found, segment=found.segment or segment(manifest.segment_by, profile), profile=ranked)

    async def _call(self, packed: bytes, n_replies: int) -> Replies:
        """Send packed reads, once more if the connection was lost."""
        for last in (False, True):
            try:
                return await (await self._lifeline.link()).exchange(packed, n_replies)
            except LinkLost as exc:
                if last:
                    raise StoreUnavailable(exc) from exc
        raise AssertionError("the last attempt returns or raises")
