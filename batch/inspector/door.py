"""Who is let in: one-time links, the admin token, sessions. All is in memory and ends with the process."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from api.tokens import SCOPES, TokenRegistry
from batch.store.who import who_am_i

LINK_S = 600  # from the start of the process to the click
SESSION_S = 12 * 3600
MOST_SESSIONS = 100  # the oldest ends where one more begins


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who was let in.

    Attributes:
        key: What their cookie holds.
        csrf: What each of their forms must bring.
        ends_s: When it ends, epoch seconds.
        who: How notes name them: their token's name, or with a link whoever runs the process.
    """

    key: str
    csrf: str
    ends_s: float
    who: str


class Door:
    """Lets people in, and knows them again."""

    def __init__(self, registry: TokenRegistry, now: Callable[[], float]) -> None:
        """Open to nobody yet; `registry` knows the admin tokens, `now` is the clock, epoch seconds."""
        self._registry, self._now = registry, now
        self._links: dict[bytes, float] = {}
        self._sessions: dict[bytes, Session] = {}

    def make_link(self) -> str:
        """Return the code of a new link, which lets in once, within LINK_S."""
        code = secrets.token_urlsafe(32)
        self._links[_digest(code)] = self._now() + LINK_S
        return code

    def enter_by_link(self, code: str) -> Session | None:
        """Let in whoever brings the code of a link that was not used and has not expired, else nobody."""
        ends_s = self._links.pop(_digest(code), 0.0)
        return self._begin(who_am_i()) if ends_s > self._now() else None

    def enter_by_token(self, text: str) -> Session | None:
        """Let in whoever brings a token of scope admin, else nobody."""
        if not self.is_admin(text):
            return None
        return self._begin(self._registry.name_of(text.encode(errors="replace")))

    def is_admin(self, text: str) -> bool:
        """Say whether a text is a token of scope admin, by its file as it is now."""
        self._registry.refresh()
        return self._registry.rank(text.encode(errors="replace")) >= SCOPES.index("admin")

    def find(self, key: str) -> Session | None:
        """Return the session of a cookie; None where there is none, or it has ended."""
        found = self._sessions.get(_digest(key))
        return found if found is not None and found.ends_s > self._now() else None

    def leave(self, session: Session) -> None:
        """End a session."""
        self._sessions.pop(_digest(session.key), None)

    def _begin(self, who: str) -> Session:
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)), None)
        key, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        session = Session(key, csrf, self._now() + SESSION_S, who)
        self._sessions[_digest(session.key)] = session
        return session


def _digest(text: str) -> bytes:
    # Looked up by its hash, so that how long a look-up takes tells nothing of what is kept.
    return hashlib.sha256(text.encode(errors="replace")).digest()
