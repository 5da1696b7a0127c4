"""Which generation is served: promotion, rollback and quarantine, each one atomic write, and their history.

None of them waits for a run that is publishing: whoever must go back must go back now.
"""

import logging
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

from api.contract.ids import quote
from api.contract.manifest import Manifest
from batch.publish.ledger.ledger import Why
from batch.publish.store import GenerationStore
from batch.store.lease import Lease

# The one write that changes what is served: a script, so that it is one round trip, and whole or nothing.
_FLIP = (files("batch.publish.ledger") / "flip.lua").read_text("utf-8")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flip:
    """What a write changed.

    Attributes:
        variant: Of the generations.
        generation: What is served now; None where nothing is.
        before: What was served until now.
        previous: What the ledger calls previous from now on: what a rollback would go back to.
    """

    variant: str
    generation: int | None
    before: int | None
    previous: int | None


class NotServable(ValueError):
    """A generation cannot be served in its state, or must not without `force`."""


class NothingBefore(LookupError):
    """There is no older generation to roll back to."""


def promote(
    store: GenerationStore,
    generation: int,
    now_s: int,
    *,
    force: bool = False,
    lease: Lease | None = None,
    who: str = "",
) -> Flip:
    """Make a sealed generation current for its variant, by one write.

    Args:
        store: Holds it.
        generation: What to serve.
        now_s: Epoch seconds, for the history.
        force: Serve it though the gate did not let it through, though it is quarantined, or though its
            users' lists have come to the end of their life. Logged as `gate.overridden`.
        lease: Held by a run, which may promote only while it holds it; people need none.
        who: Does it, for the history; empty: unknown.

    Raises:
        NotServable: It is not sealed, or needs `force`.
        LeaseLost: The run no longer holds its lease.
    """
    manifest = _manifest(store, generation)
    closed = _why_closed(store, manifest)
    if closed and not force:
        raise NotServable(f"generation {generation} {closed}: give --force to serve it all the same")
    forced = force and (closed is not None or store.state(generation) == "quarantined")
    why: Why = "forced" if forced else "promoted"
    done = _flip(store, manifest.variant, "promote", generation, now_s, why, who, flag=force, lease=lease)
    extra = {"generation": generation, "previous": done.previous, "variant": manifest.variant}
    if forced:
        log.warning("gate.overridden", extra={**extra, "why": closed or "is quarantined"})
    log.info("generation.promoted", extra=extra)
    return done


def rollback(
    store: GenerationStore, variant: str, now_s: int, *, quarantine: bool = False, who: str = ""
) -> Flip:
    """Serve the generation that was served before, by one write; `quarantine` bars the current one.

    Before is the newest of those with a lower number that were current once and are still sealed, so that
    rolling back twice goes back twice, and never to a quarantined or retired one. It takes one round trip.

    Raises:
        NothingBefore: There is none.
    """
    done = _flip(store, variant, "rollback", 0, now_s, "rolled-back", who, flag=quarantine)
    _log_rollback(done, quarantined=quarantine)
    return done


def quarantine(store: GenerationStore, generation: int, now_s: int, *, who: str = "") -> Flip | None:
    """Bar a sealed generation from being served; if it is current, roll back in the same write.

    Returns:
        The rollback, where there was one.

    Raises:
        NotServable: It is not sealed.
        NothingBefore: It is current, and there is none to roll back to.
    """
    variant = _manifest(store, generation).variant
    done = _flip(store, variant, "quarantine", generation, now_s, "rolled-back", who)
    if done.before == done.generation:
        left = {"current": done.generation, "previous": done.previous, "variant": variant}
        log.warning("generation.quarantined", extra={"generation": generation, **left})
        return None
    _log_rollback(done, quarantined=True)
    return done


def _flip(
    store: GenerationStore,
    variant: str,
    act: Literal["promote", "rollback", "quarantine"],
    generation: int,
    now_s: int,
    why: Why,
    who: str,
    *,
    flag: bool = False,
    lease: Lease | None = None,
) -> Flip:
    """Promote, roll back or quarantine, as `flip.lua` says; readers see all of it or nothing.

    A rollback finds its generation itself. Where one that is not served was quarantined, what is served is
    what was served before.

    Raises:
        NotServable: The generation's state does not allow it.
        NothingBefore: There is nothing to roll back to.
        LeaseLost: `lease` is given and no longer held.
    """
    keys = store.keys
    names = (keys.current(variant), keys.states(), keys.promotions(variant), keys.lease(), keys.state_log())
    held, by = lease.proof() if lease else b"", quote(who)
    arguments = (str(generation or ""), str(now_s), why, "1" if flag else "", held, by)
    reply = store.client.register_script(_FLIP)(names, (act, *arguments))
    kind, *rest = [part.decode() for part in cast("list[bytes]", reply)]
    if kind == "lease" and lease:
        lease.lose()
    if kind == "state":
        raise NotServable(_why_refused(generation, rest[0]))
    if kind == "nothing":
        raise NothingBefore(
            f"nothing to roll back to from generation {rest[0] or None}: "
            "no older one that was served is still sealed in the store"
        )
    served, *others = [int(part) if part else None for part in rest]
    before, previous = others if kind == "flipped" else (served, *others)
    return Flip(variant, served, before, previous)


def _log_rollback(done: Flip, *, quarantined: bool) -> None:
    about = {"previous": done.previous, "variant": done.variant}
    log.warning("generation.rolled_back", extra={"generation": done.generation, "from": done.before, **about})
    if quarantined:
        left = {"current": done.generation, **about}
        log.warning("generation.quarantined", extra={"generation": done.before, **left})


def _why_closed(store: GenerationStore, manifest: Manifest) -> str | None:
    """Return why a generation must not be served without force; None if it may."""
    report = manifest.gate or {}
    outcome, mode = report.get("outcome", "proceed"), report.get("mode", "on")
    if outcome != "proceed" and mode == "on":
        return f"was not let through by the gate ({outcome}: {report.get('why', '')})"
    if store.lists_expired(manifest.generation):
        return "has lists that came to the end of their life (ALMANAC_LIST_TTL_S)"
    return None


def _manifest(store: GenerationStore, generation: int) -> Manifest:
    manifest = store.manifest(generation)
    if manifest is None:
        raise NotServable(_why_refused(generation, store.state(generation)))
    return manifest


def _why_refused(generation: int, state: str) -> str:
    if not state:
        return f"generation {generation} is unknown: `almanac generations list` shows those that are"
    return f"generation {generation} is {state}: only a sealed one can be served or quarantined"
