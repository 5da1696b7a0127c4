"""What pins ask of a user beside their own list: which pinned posts they saw long ago, and their segment.

An own list holds no post that was seen before it was made, so a look-up need not read those; a pinned post
may be one. To ask of the pinned posts alone costs a fraction of reading all that was seen.
"""

from collections.abc import Iterable
from typing import Any

from api.contract.ids import LONGEST
from api.contract.seen import read_seen_by
from api.store.commands import LookupCommands, check_reply
from api.store.connection import Replies, pack


class PinCommands:
    """What to ask of one generation while some posts are pinned, given by their numbers."""

    def __init__(self, commands: LookupCommands, posts: Iterable[int]) -> None:
        """Take what asks for the own list."""
        self._commands = commands
        self._posts = tuple(posts)
        self._templates: dict[int, bytes] = {}
        self._asks_segment = not commands.layout.is_packed  # there the list tells it
        self.n_replies = self._asks_segment + len(commands.seen_keys("")[:1]) + len(commands.old_keys(""))

    def pack(self, user_id: str) -> bytes:
        """Pack what is asked of a user; from a template, as their own list."""
        user = self._commands.tag(user_id)
        template = self._templates.get(len(user))
        if template is None:
            template = self._make_template(len(user))
            if len(user) <= LONGEST:
                self._templates[len(user)] = template
        return template % ((user,) * self.n_replies)

    def read(self, replies: Replies, own: Any, at_s: int) -> tuple[str | None, frozenset[int]]:
        """Return the user's segment, and which pinned posts they saw by a time.

        `own` is the reply of the own list; where that is packed it tells the segment, and nothing else does.

        Raises:
            ValueError: A key holds another type.
            StoreUnavailable: The server did not carry out a command.
        """
        told = list(map(check_reply, replies))
        segment = told.pop(0) if self._asks_segment else own
        scores = zip(self._posts, told[0], strict=True) if told else ()
        hidden = frozenset([post for post, score in scores if score is not None and float(score) <= at_s])
        if told[1:] and told[1]:
            hidden |= frozenset(self._posts).intersection(read_seen_by(told[1], at_s))
        return self._commands.layout.read_segment(segment), hidden

    def _make_template(self, n_bytes: int) -> bytes:
        """Return the commands with a place for the user in each, whose id has so many bytes."""
        user = "u" * n_bytes
        told = self._commands.layout.ask_segment(self._commands.list_key(user))
        seen = [pack("ZMSCORE", key, *self._posts) for key in self._commands.seen_keys(user)[:1]]
        old = [pack("GET", key) for key in self._commands.old_keys(user)]
        packed = b"".join([*([pack(*told)] if self._asks_segment else []), *seen, *old]).replace(b"%", b"%%")
        return packed.replace(f"{{{user}}}".encode(), b"{%b}")
