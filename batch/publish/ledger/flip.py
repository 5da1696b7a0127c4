"""The one write that changes what is served: a script, so that it is one round trip, and whole or nothing."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

from batch.publish.ledger.ledger import Ledger, Why
from batch.store.lease import Lease

Act = Literal["promote", "rollback", "quarantine"]

_SCRIPT = (files("batch.publish.ledger") / "flip.lua").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Flip:
    """What a write to `current` changed: the generation served now, and the one before it."""

    variant: str
    generation: int
    before: int | None


class Refused(ValueError):
    """Nothing was written: `state` of the generation does not allow it (empty: unknown)."""

    def __init__(self, state: str) -> None:
        """Keep the state that was found."""
        self.state = state
        super().__init__(state)


class NothingBefore(LookupError):
    """There is no older generation to roll back to."""


def flip(
    ledger: Ledger,
    variant: str,
    act: Act,
    generation: int | None,
    now_s: int,
    why: Why,
    *,
    flag: bool = False,
    lease: Lease | None = None,
) -> Flip | None:
    """Promote, roll back or quarantine, as `flip.lua` says; readers see all of it or nothing.

    Returns:
        None where a generation that is not served was quarantined.

    Raises:
        Refused: The generation's state does not allow it.
        NothingBefore: There is nothing to roll back to.
        LeaseLost: `lease` is given and no longer held.
    """
    keys = ledger.keys
    names = (keys.current(variant), keys.states(), keys.promotions(variant), keys.lease())
    arguments = ("" if generation is None else str(generation), str(now_s), why, "1" if flag else "")
    held = lease.proof() if lease else b""
    reply = ledger.client.register_script(_SCRIPT)(names, (act, *arguments, held))
    kind, *rest = [part.decode() for part in cast("list[bytes]", reply)]
    if kind == "lease" and lease:
        lease.lose()
    if kind == "state":
        raise Refused(rest[0])
    if kind == "nothing":
        raise NothingBefore(
            f"nothing to roll back to from generation {rest[0] or None}: "
            "no older one that was served is still sealed in the store"
        )
    return None if kind == "barred" else Flip(variant, int(rest[0]), int(rest[1]) if rest[1] else None)
