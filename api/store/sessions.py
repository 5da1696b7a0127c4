"""What the overlay asks of a user beside their own list: one hash, in the same round trip."""

from collections.abc import Mapping

from api.contract.keys import Keys
from api.session import Session, read_counts
from api.store.connection import Refusal, Replies

_USER = "u"


class SessionCommands:
    """What to ask of users' sessions while the overlay is on."""

    def __init__(self, keys: Keys, n_places: int) -> None:
        """Take how many places a post may move."""
        self._n_places = n_places
        before, after = keys.session(_USER).split(f"{{{_USER}}}")
        self._before, self._after = f"{before}{{".encode(), f"}}{after}".encode()
        self._n_bytes = len(self._before) + len(self._after)

    def pack(self, user: bytes) -> bytes:
        """Pack what is asked of a user, given as they stand in keys; it has one reply."""
        key = self._before + user + self._after
        return b"*2\r\n$7\r\nHGETALL\r\n$%d\r\n%b\r\n" % (self._n_bytes + len(user), key)

    def read(self, reply: Mapping[bytes, bytes] | Replies | Refusal, at_s: int) -> Session | None:
        """Return a user's session as of a time; None where it moves nothing, or cannot be read."""
        if not reply or isinstance(reply, Refusal):
            return None
        fields = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
        counts = read_counts(fields, at_s)
        session = Session.of(counts, self._n_places) if counts else None
        return None if session is None or session.is_idle else session
