"""Which generation is served: promotion, rollback and quarantine, each one atomic write, and their history.

None of them waits for a run that is publishing: whoever must go back must go back now.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import redis
from redis.client import Pipeline

from api.contract.codec import decode
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish.ledger.history import Promotion, Why, promotions
from batch.publish.retire import served
from batch.publish.store import read
from batch.publish.store.lease import Lease
from batch.publish.store.transaction import Decide, Write, transact

REMEMBERED = 100  # promotions that a rollback looks through; the history itself is kept whole

log = logging.getLogger(__name__)


class NotServable(ValueError):
    """A generation cannot be served in its state, or must not without `force`."""


class NothingBefore(LookupError):
    """There is no older generation to roll back to."""


@dataclass(frozen=True, slots=True)
class Flip:
    """What a write to `current` changed: the generation served now, and the one before it."""

    variant: str
    generation: int
    before: int | None


def promote(
    client: redis.Redis,
    keys: Keys,
    generation: int,
    now_s: int,
    *,
    force: bool = False,
    lease: Lease | None = None,
) -> Flip:
    """Make a sealed generation current for its variant, by one transaction.

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
    """
    manifest = _manifest(client, keys, generation)
    closed = _closed(client, keys, manifest)
    if closed and not force:
        raise NotServable(f"generation {generation} {closed}: give --force to serve it all the same")

    def choose(ledger: "_Now") -> int:
        state = ledger.states.get(generation)
        if state != "sealed" and not (force and state == "quarantined"):
            raise NotServable(_refused(generation, state))
        return generation

    forced = force and (closed is not None or _state(client, keys, generation) == "quarantined")
    flip = _flip(
        client, keys, manifest.variant, choose, now_s, "forced" if forced else "promoted", lease=lease
    )
    extra = {"generation": generation, "previous": flip.before, "variant": manifest.variant}
    if forced:
        log.warning("gate.overridden", extra={**extra, "why": closed or "is quarantined"})
    log.info("generation.promoted", extra=extra)
    return flip


def rollback(client: redis.Redis, keys: Keys, variant: str, now_s: int, *, quarantine: bool = False) -> Flip:
    """Serve the generation that was served before, in one transaction; `quarantine` bars the current one.

    Before is the newest of those with a lower number that were current once and are still sealed, so that
    rolling back twice goes back twice, and never to a quarantined or retired one.

    Raises:
        NothingBefore: There is none.
    """
    flip = _flip(client, keys, variant, _older, now_s, "rolled-back", quarantined=quarantine)
    extra = {"generation": flip.generation, "from": flip.before, "variant": variant}
    log.warning("generation.rolled_back", extra=extra)
    if quarantine:
        log.warning("generation.quarantined", extra={"generation": flip.before})
    return flip


def quarantine(client: redis.Redis, keys: Keys, generation: int, now_s: int) -> Flip | None:
    """Bar a sealed generation from being served; if it is current, roll back in the same transaction.

    Returns:
        The rollback, where there was one.

    Raises:
        NotServable: It is not sealed.
        NothingBefore: It is current, and there is none to roll back to.
    """
    variant = _manifest(client, keys, generation).variant
    if served(client, keys, variant)[0] == generation:
        return rollback(client, keys, variant, now_s, quarantine=True)

    def decide(pipe: Pipeline) -> Write:
        now = _read(pipe, keys, variant)
        if now.states.get(generation) != "sealed":
            raise NotServable(_refused(generation, now.states.get(generation)))
        if now.current == generation:
            raise NotServable(f"generation {generation} has just become current: quarantine it again")
        rest = [number for number in now.candidates if number != generation]
        return lambda queue: (
            queue.hset(keys.states(), str(generation), "quarantined"),
            queue.hset(keys.current(variant), "previous", _text(max(rest, default=None)))
            if now.previous == generation
            else None,
        )

    transact(client, _watched(keys, variant), decide)
    log.warning("generation.quarantined", extra={"generation": generation})
    return None


@dataclass(frozen=True, slots=True)
class _Now:
    """What a decision rests on, read inside its transaction."""

    states: dict[int, str]
    current: int | None
    previous: int | None
    promoted_at_s: int
    history: list[Promotion]

    @property
    def candidates(self) -> list[int]:
        """Return what a rollback may go to: older, once current, still sealed."""
        once = {promotion.generation for promotion in self.history} | {self.previous}
        return sorted(
            number
            for number in once
            if number is not None and number < (self.current or 0) and self.states.get(number) == "sealed"
        )


def _flip(
    client: redis.Redis,
    keys: Keys,
    variant: str,
    choose: Callable[[_Now], int],
    now_s: int,
    why: Why,
    *,
    quarantined: bool = False,
    lease: Lease | None = None,
) -> Flip:
    """Write `current`, the history and the states together; readers see all of it or nothing."""
    flips: list[Flip] = []

    def decide(pipe: Pipeline) -> Write:
        now = _read(pipe, keys, variant)
        chosen = choose(now)
        flips[:] = [Flip(variant, chosen, now.current)]
        return partial(_write, keys, variant, now, chosen, now_s, why, quarantined)

    run: Callable[[tuple[str, ...], Decide], None] = lease.transact if lease else partial(transact, client)
    run(_watched(keys, variant), decide)
    return flips[0]


def _write(
    keys: Keys, variant: str, now: _Now, chosen: int, now_s: int, why: Why, quarantined: bool, pipe: Pipeline
) -> None:
    states = {str(chosen): "sealed"}
    if quarantined and now.current is not None:
        states[str(now.current)] = "quarantined"
    # Written even where nothing changes: a retirement that read the states before now begins anew.
    pipe.hset(keys.states(), items=[part for pair in states.items() for part in pair])
    before = _previous(now, chosen, barred=now.current if quarantined else None)
    last = now.history[-1] if now.history else None
    number = last.number if last else 0
    if last is None and now.current is not None:  # a store from before there was a history
        number += 1
        pipe.zadd(keys.promotions(variant), {f"{number:07d} {now.current} promoted": now.promoted_at_s})
    at_s = max(now_s, last.from_s if last else now.promoted_at_s)  # a clock set back must not reorder history
    pipe.zadd(keys.promotions(variant), {f"{number + 1:07d} {chosen} {why}": at_s})
    items = ["generation", str(chosen), "promoted_at", str(at_s)]
    if before is not None or now.previous is not None:
        items += ["previous", _text(before)]
    pipe.hset(keys.current(variant), items=items)


def _previous(now: _Now, chosen: int, barred: int | None) -> int | None:
    """Return what stands before `chosen`: going forward the current one, going back one yet older."""
    if now.current is not None and now.current < chosen and now.current != barred:
        return now.current
    return max((number for number in now.candidates if number < chosen and number != barred), default=None)


def _older(now: _Now) -> int:
    if not now.candidates:
        raise NothingBefore(
            f"nothing to roll back to from generation {now.current}: "
            "no older one that was served is still sealed in the store"
        )
    return now.candidates[-1]


def _read(pipe: Pipeline, keys: Keys, variant: str) -> _Now:
    states = {int(number): state.decode() for number, state in read.fields(pipe, keys.states()).items()}
    pointer = read.fields(pipe, keys.current(variant))
    current, previous = (int(pointer.get(name) or 0) or None for name in (b"generation", b"previous"))
    history = promotions(pipe, keys, variant, REMEMBERED)
    return _Now(states, current, previous, int(pointer.get(b"promoted_at") or 0), history)


def _watched(keys: Keys, variant: str) -> tuple[str, ...]:
    return keys.current(variant), keys.states(), keys.promotions(variant)


def _closed(client: redis.Redis, keys: Keys, manifest: Manifest) -> str | None:
    """Return why a generation must not be served without force; None if it may."""
    outcome = (manifest.gate or {}).get("outcome", "proceed")
    if outcome != "proceed":
        return f"was not let through by the gate ({outcome}: {(manifest.gate or {}).get('why', '')})"
    users = decode((read.value(client, keys.users(manifest.generation)) or b"").partition(b" ")[0])
    if users and not client.exists(keys.list(users[0], manifest.generation)):
        return "has lists that came to the end of their life (ALMANAC_LIST_TTL_S)"
    return None


def _manifest(client: redis.Redis, keys: Keys, generation: int) -> Manifest:
    text = read.value(client, keys.manifest(generation))
    if text is None:
        raise NotServable(_refused(generation, _state(client, keys, generation)))
    return Manifest.from_json(text)


def _state(client: redis.Redis, keys: Keys, generation: int) -> str | None:
    state = client.hget(keys.states(), str(generation))
    return None if state is None else read.narrow(state).decode()


def _refused(generation: int, state: str | None) -> str:
    if state is None:
        return f"generation {generation} is unknown: `almanac generations list` shows those that are"
    return f"generation {generation} is {state}: only a sealed one can be served or quarantined"


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
