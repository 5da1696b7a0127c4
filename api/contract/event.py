"""A live event: what the API accepts, as it stands in the stream, until the batch drains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Action = Literal["view", "like"]

# What clients call it, and what it means to a feed. A shop's cart and purchase are its likes.
ACTIONS: Mapping[str, Action] = {"view": "view", "like": "like", "addtocart": "like", "transaction": "like"}


@dataclass(frozen=True, slots=True)
class Event:
    """Somebody saw or liked a post. Times are epoch seconds, UTC.

    Attributes:
        event_id: Whoever sends it again sends the same one.
        user_id: Who, as the client says it; see `ids.py`.
        post_id: What, likewise.
        kind: The client's word, one of ACTIONS.
        occurred_at_s: When it happened.
        accepted_at_s: When we were told.
        transaction: A shop's number of the purchase; empty where there is none.
    """

    event_id: str
    user_id: str
    post_id: str
    kind: str
    occurred_at_s: int
    accepted_at_s: int
    transaction: str = ""

    @property
    def action(self) -> Action:
        """Return what it means to a feed."""
        return ACTIONS[self.kind]

    def to_fields(self) -> dict[str, str]:
        """Return the fields of its entry in the stream.

        >>> Event("e1", "200", "17", "view", 1640361720, 1640361721).to_fields()["occurred_at"]
        '1640361720'
        """
        return {
            "id": self.event_id,
            "user": self.user_id,
            "post": self.post_id,
            "kind": self.kind,
            "occurred_at": str(self.occurred_at_s),
            "accepted_at": str(self.accepted_at_s),
            "transaction": self.transaction,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> "Event":
        """Read what `to_fields` wrote.

        Raises:
            ValueError: The entry is no event.
        """
        try:
            text = {name.decode(): value.decode() for name, value in fields.items()}
            event = cls(
                event_id=text["id"],
                user_id=text["user"],
                post_id=text["post"],
                kind=text["kind"],
                occurred_at_s=int(text["occurred_at"]),
                accepted_at_s=int(text["accepted_at"]),
                transaction=text["transaction"],
            )
        except (KeyError, ValueError) as exc:
            raise ValueError(f"this entry is no event: {dict(fields)!r}") from exc
        if event.kind not in ACTIONS:
            raise ValueError(f"this entry is no event, its kind is none of {', '.join(ACTIONS)}: {event}")
        return event
