"""What was current when it was last read: what a look-up of it asks, and what the replies say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.contract.history import Reach
from api.contract.pin import Pin, Pins
from api.contract.profile import Fields, segment
from api.found import Degraded, Generation, Lookup, Pointer
from api.session import read_session
from api.store.commands import LookupCommands, check_reply, read_hidden
from api.store.connection import Replies
from api.store.errors import StoreUnavailable
from api.store.pinned import PinCommands


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was current when it was last read.

    Attributes:
        pointer: What was named.
        whole: The generation that it names.
        generation: The same without what is taken down.
        taken_down: Ids of posts that no answer may hold.
        commands: What to ask of the generation.
        reach: The times that another generation may answer.
        pins: What is pinned, by the post's id.
        numbered: The same, as look-ups have it.
        pin_commands: What to ask beside where a pin may hold; None where that is known without.
        asked_of_seen: Members of a seen set that matter beside the own list: what exploration places draw
            from, pinned posts. None: all matter, or the whole set is not read.
    """

    pointer: Pointer
    whole: Generation
    generation: Generation
    taken_down: frozenset[str]
    commands: LookupCommands
    reach: Reach
    pins: Pins
    numbered: Sequence[tuple[int, Pin]]
    pin_commands: PinCommands | None
    asked_of_seen: frozenset[bytes] | None

    def pack(
        self, user_id: str, at_s: int, bucket_s: int, *, with_session: bool = False
    ) -> tuple[bytes, int]:
        """Pack what a look-up of a user's own list asks, with their session or not; count replies."""
        packed, n_replies = self.commands.pack_own(user_id, at_s, bucket_s, with_session=with_session)
        if self.pin_commands is None or not self._may_pin(at_s):
            return packed, n_replies
        return packed + self.pin_commands.pack(user_id), n_replies + self.pin_commands.n_replies

    def read(
        self, user_id: str, at_s: int, bucket_s: int, replies: Replies, overlay_places: int = 0
    ) -> Lookup:
        """Return the look-up of which these are the replies to what `pack` packed.

        An own list that cannot be read is an empty one, and labelled so. `overlay_places` says how many
        places the session may move a post; 0: it was not asked for.

        Raises:
            StoreUnavailable: What the user has seen cannot be read, or a command was not carried out.
        """
        of_pins: Replies | None = None
        if self.pin_commands is not None and self._may_pin(at_s):
            n_own = len(replies) - self.pin_commands.n_replies
            replies, of_pins = replies[:n_own], replies[n_own:]
        told = replies.pop() if overlay_places else None
        session = read_session(told, at_s, overlay_places) if told else None
        degraded: Degraded = ""
        name: str | None = None
        try:
            ranked, name = self.commands.read_own(check_reply(replies[0]), bucket_s)
        except ValueError:  # somebody else's value: all but the own list is still known
            ranked, degraded = (), "value"
        among = None
        if self.asked_of_seen is not None and ranked:  # who has no list is answered from below it
            among = self.asked_of_seen.union(map(b"%d".__mod__, ranked))
        try:
            hidden = read_hidden(replies[1:], self.whole, at_s, among)
        except ValueError as exc:
            raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc
        found = Lookup(
            user_id=user_id,
            at_s=at_s,
            bucket_s=bucket_s,
            pointer=self.pointer,
            generation=self.generation,
            own=ranked,
            segment=name,
            hidden=hidden,
            sees_all=self.commands.sees_all and among is None,
            degraded=degraded,
            is_past=at_s < self.reach.end_s and self.reach.holds(at_s),
            pins=self.numbered,
            session=session,
            sees_pins=among is not None,
            sees_new=among is not None,
        )
        if of_pins is not None and not degraded:
            found.segment, seen = self._read_pins(of_pins, replies[0], at_s)
            found.hidden, found.sees_pins = hidden | seen, True
        return found

    def remember(self, user_id: str, at_s: int, why: Exception, profile: Fields) -> Lookup:
        """Return what memory has when the store cannot be read: popular posts, nothing of the user."""
        manifest = self.generation.manifest
        return Lookup(
            user_id=user_id,
            at_s=at_s,
            bucket_s=manifest.horizon.bucket_for(at_s),
            pointer=self.pointer,
            generation=self.generation,
            own=(),
            segment=segment(manifest.segment_by, profile),
            hidden=frozenset(),
            sees_all=True,
            degraded="store" if isinstance(why, StoreUnavailable) else "generation",
            pins=self.numbered,
        )

    def _may_pin(self, at_s: int) -> bool:
        return any(pin.holds_at(at_s) for _, pin in self.numbered)

    def _read_pins(self, replies: Replies, own: Any, at_s: int) -> tuple[str | None, frozenset[int]]:
        """Return the user's segment, and which pinned posts they have seen by a time."""
        assert self.pin_commands is not None, "it asked for them"
        try:
            return self.pin_commands.read(replies, own, at_s)
        except ValueError as exc:
            raise StoreUnavailable(f"it holds a value that cannot be read: {exc}") from exc


def prepare_pins(
    whole: Generation, commands: LookupCommands, pins: Pins
) -> tuple[Sequence[tuple[int, Pin]], PinCommands | None, frozenset[bytes] | None]:
    """Return the pins as look-ups have them, what to ask beside because of them, and `asked_of_seen`."""
    numbered, exploration = whole.number_pins(pins), whole.exploration
    posts = [post for post, _ in numbered]
    if exploration is not None and not whole.manifest.holds_seen:
        new = [post for weights in exploration.weights.values() for post in weights.posts]
        return numbered, None, frozenset(map(b"%d".__mod__, [*posts, *new]))
    if not numbered or commands.sees_all:
        return numbered, None, None
    return numbered, PinCommands(commands, posts), None
