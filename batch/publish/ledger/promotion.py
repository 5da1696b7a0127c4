"""Which generation is served: promotion, rollback and quarantine, each one atomic write, and their history.

None of them waits for a run that is publishing: whoever must go back must go back now.
"""

import logging

import redis

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.ledger.flip import Flip, NothingBefore, Refused, flip
from batch.publish.ledger.history import Why
from batch.store import read
from batch.store.lease import Lease

__all__ = ["Flip", "NotServable", "NothingBefore", "promote", "quarantine", "rollback"]

FIRST_BYTES = 24  # of the key `users`: the first id is in them

log = logging.getLogger(__name__)


class NotServable(ValueError):
    """A generation cannot be served in its state, or must not without `force`."""


def promote(
    client: redis.Redis,
    keys: Keys,
    generation: int,
    now_s: int,
    *,
    force: bool = False,
    lease: Lease | None = None,
) -> Flip:
    """Make a sealed generation current for its variant, by one write.

    Args:
        client: The store.
        keys: Names of the keys.
        generation: What to serve.
        now_s: Epoch seconds, for the history.
        force: Serve it though the gate did not let it through, though it is quarantined, or though its
            users' lists have come to the end of their life. Logged as `gate.overridden`.
        lease: Held by a run, which may promote only while it holds it; people need none.

    Raises:
        NotServable: It is not sealed, or needs `force`.
        LeaseLost: The run no longer holds its lease.
    """
    manifest = _manifest(client, keys, generation)
    closed = _closed(client, keys, manifest)
    if closed and not force:
        raise NotServable(f"generation {generation} {closed}: give --force to serve it all the same")
    forced = force and (closed is not None or _state(client, keys, generation) == "quarantined")
    why: Why = "forced" if forced else "promoted"
    try:
        done = flip(
            client, keys, manifest.variant, "promote", generation, now_s, why, flag=force, lease=lease
        )
    except Refused as exc:
        raise NotServable(_refused(generation, exc.state)) from exc
    assert done is not None
    extra = {"generation": generation, "previous": done.before, "variant": manifest.variant}
    if forced:
        log.warning("gate.overridden", extra={**extra, "why": closed or "is quarantined"})
    log.info("generation.promoted", extra=extra)
    return done


def rollback(client: redis.Redis, keys: Keys, variant: str, now_s: int, *, quarantine: bool = False) -> Flip:
    """Serve the generation that was served before, by one write; `quarantine` bars the current one.

    Before is the newest of those with a lower number that were current once and are still sealed, so that
    rolling back twice goes back twice, and never to a quarantined or retired one. It takes one round trip.

    Raises:
        NothingBefore: There is none.
    """
    done = flip(client, keys, variant, "rollback", None, now_s, "rolled-back", flag=quarantine)
    assert done is not None
    _tell_rollback(done, quarantined=quarantine)
    return done


def quarantine(client: redis.Redis, keys: Keys, generation: int, now_s: int) -> Flip | None:
    """Bar a sealed generation from being served; if it is current, roll back in the same write.

    Returns:
        The rollback, where there was one.

    Raises:
        NotServable: It is not sealed.
        NothingBefore: It is current, and there is none to roll back to.
    """
    variant = _manifest(client, keys, generation).variant
    try:
        done = flip(client, keys, variant, "quarantine", generation, now_s, "rolled-back")
    except Refused as exc:
        raise NotServable(_refused(generation, exc.state)) from exc
    if done:
        _tell_rollback(done, quarantined=True)
    else:
        log.warning("generation.quarantined", extra={"generation": generation})
    return done


def _tell_rollback(done: Flip, *, quarantined: bool) -> None:
    extra = {"generation": done.generation, "from": done.before, "variant": done.variant}
    log.warning("generation.rolled_back", extra=extra)
    if quarantined:
        log.warning("generation.quarantined", extra={"generation": done.before})


def _closed(client: redis.Redis, keys: Keys, manifest: Manifest) -> str | None:
    """Return why a generation must not be served without force; None if it may."""
    outcome = (manifest.gate or {}).get("outcome", "proceed")
    if outcome != "proceed":
        return f"was not let through by the gate ({outcome}: {(manifest.gate or {}).get('why', '')})"
    start = read.narrow(client.getrange(keys.users(manifest.generation), 0, FIRST_BYTES))
    users = decode(start.partition(b" ")[0])
    if users and not client.exists(keys.list(users[0], manifest.generation)):
        return "has lists that came to the end of their life (ALMANAC_LIST_TTL_S)"
    return None


def _manifest(client: redis.Redis, keys: Keys, generation: int) -> Manifest:
    text = read.value(client, keys.manifest(generation))
    if text is None:
        raise NotServable(_refused(generation, _state(client, keys, generation)))
    return Manifest.from_json(text)


def _state(client: redis.Redis, keys: Keys, generation: int) -> str:
    """Return a generation's state; empty for one that was never numbered."""
    state = client.hget(keys.states(), str(generation))
    return "" if state is None else read.narrow(state).decode()


def _refused(generation: int, state: str) -> str:
    if not state:
        return f"generation {generation} is unknown: `almanac generations list` shows those that are"
    return f"generation {generation} is {state}: only a sealed one can be served or quarantined"
