"""What few look-ups need beyond the user's own list, each in a round trip of its own."""

from dataclasses import replace

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.profile import Fields, segment, signature
from api.feed import Lookup
from api.store.cache import translate_errors
from api.store.commands import LookupCommands
from api.store.connection import ConnectionLost, Replies
from api.store.errors import StoreUnavailable
from api.store.lifeline import Lifeline
from api.store.pending import check_reply, read_ids


class Supplement:
    """Reads all posts that a user has seen, and the list of a profile."""

    def __init__(self, keys: Keys, lifeline: Lifeline) -> None:
        """Open nothing."""
        self._keys = keys
        self._lifeline = lifeline

    async def see_all(self, found: Lookup) -> Lookup:
        """Return the look-up with the user's segment and all posts seen by its time, as fallback lists need.

        Raises:
            StoreUnavailable: The store did not answer in time.
        """
        if found.sees_all:
            return found
        packed, n_replies = LookupCommands(self._keys, found.generation.manifest).pack_all(
            found.user_id, found.at_s
        )
        with translate_errors():
            stored, *seen = await self._call(packed, n_replies)
            name = None if found.degraded else check_reply(stored)  # then it is no hash, or not ours
            hidden = found.hidden | read_ids(seen)
        return replace(found, segment=name.decode() if name else found.segment, hidden=hidden, sees_all=True)

    async def introduce(self, found: Lookup, profile: Fields) -> Lookup:
        """Return the look-up with what a profile gives a user who has no list: its list, its segment.

        Raises:
            BadProfile: A field has a value that its column cannot have.
            StoreUnavailable: The store did not answer in time.
        """
        manifest = found.generation.manifest
        name = signature(manifest.profile, profile)
        if found.own or not profile:
            return found
        packed = LookupCommands(self._keys, manifest).pack_profile(name, found.bucket_s)
        with translate_errors():
            ranked = decode(check_reply((await self._call(packed, 1))[0]))
        return replace(found, segment=found.segment or segment(manifest.segment_by, profile), profile=ranked)

    async def _call(self, packed: bytes, n_replies: int) -> Replies:
        """Send packed reads, once more if the connection was lost."""
        for last in (False, True):
            try:
                return await (await self._lifeline.connect()).exchange(packed, n_replies)
            except ConnectionLost as exc:
                if last:
                    raise StoreUnavailable(exc) from exc
        raise AssertionError("the last attempt returns or raises")
