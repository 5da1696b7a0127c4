"""Which generation is served: promotion, rollback and quarantine, each one atomic write, and their history.

None of them waits for a run that is publishing: whoever must go back must go back now.
"""

import logging

from api.contract.manifest import Manifest
from batch.publish.ledger.flip import Flip, NothingBefore, Refused, flip
from batch.publish.ledger.ledger import Why
from batch.publish.store import GenerationStore
from batch.store.lease import Lease

__all__ = ["Flip", "NotServable", "NothingBefore", "promote", "quarantine", "rollback"]

log = logging.getLogger(__name__)


class NotServable(ValueError):
    """A generation cannot be served in its state, or must not without `force`."""


def promote(
    store: GenerationStore,
    generation: int,
    now_s: int,
    *,
    force: bool = False,
    lease: Lease | None = None,
) -> Flip:
    """Make a sealed generation current for its variant, by one write.

    Args:
        store: Holds it.
        generation: What to serve.
        now_s: Epoch seconds, for the history.
        force: Serve it though the gate did not let it through, though it is quarantined, or though its
            users' lists have come to the end of their life. Logged as `gate.overridden`.
        lease: Held by a run, which may promote only while it holds it; people need none.

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
    try:
        done = flip(store, manifest.variant, "promote", generation, now_s, why, flag=force, lease=lease)
    except Refused as exc:
        raise NotServable(_why_refused(generation, exc.state)) from exc
    assert done is not None
    extra = {"generation": generation, "previous": done.before, "variant": manifest.variant}
    if forced:
        log.warning("gate.overridden", extra={**extra, "why": closed or "is quarantined"})
    log.info("generation.promoted", extra=extra)
    return done


def rollback(store: GenerationStore, variant: str, now_s: int, *, quarantine: bool = False) -> Flip:
    """Serve the generation that was served before, by one write; `quarantine` bars the current one.

    Before is the newest of those with a lower number that were current once and are still sealed, so that
    rolling back twice goes back twice, and never to a quarantined or retired one. It takes one round trip.

    Raises:
        NothingBefore: There is none.
    """
    done = flip(store, variant, "rollback", None, now_s, "rolled-back", flag=quarantine)
    assert done is not None
    _log_rollback(done, quarantined=quarantine)
    return done


def quarantine(store: GenerationStore, generation: int, now_s: int) -> Flip | None:
    """Bar a sealed generation from being served; if it is current, roll back in the same write.

    Returns:
        The rollback, where there was one.

    Raises:
        NotServable: It is not sealed.
        NothingBefore: It is current, and there is none to roll back to.
    """
    variant = _manifest(store, generation).variant
    try:
        done = flip(store, variant, "quarantine", generation, now_s, "rolled-back")
    except Refused as exc:
        raise NotServable(_why_refused(generation, exc.state)) from exc
    if done:
        _log_rollback(done, quarantined=True)
    else:
        log.warning("generation.quarantined", extra={"generation": generation})
    return done


def _log_rollback(done: Flip, *, quarantined: bool) -> None:
    extra = {"generation": done.generation, "from": done.before, "variant": done.variant}
    log.warning("generation.rolled_back", extra=extra)
    if quarantined:
        log.warning("generation.quarantined", extra={"generation": done.before})


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
