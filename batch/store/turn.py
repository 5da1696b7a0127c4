"""One run at a time, on whatever host: a softer lease, held from a run's begin to its end.

It keeps two hosts from doing a night's work twice. What is served is guarded by the lease that a run takes
besides while it publishes, so a run whose turn lapsed, as while the store was away, goes on.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from redis.client import Pipeline

from api.contract.asked import Going
from api.contract.buckets import moment
from batch.progress import silent
from batch.store import read
from batch.store.lease import Holder, Lease, LeaseTaken

TTL_S = 6.0  # a run that is killed keeps another host waiting this long


class RunGoesOn(LeaseTaken):
    """Another run goes on, here or on another host."""


@dataclass(frozen=True, slots=True)
class Runner(Holder):
    """Who runs, and what: its kind, and its number in the record of its host."""

    kind: str
    run: int | None


class Turn(Lease):
    """The right to run; one that lapsed is taken again where nobody else has taken it."""

    def _is_ours(self, value: object) -> bool:
        return value is None or value == self._value

    def _extend(self, pipe: Pipeline) -> None:
        pipe.set(self._key, self._value, px=int(self._ttl_s * 1000))

    def _refused(self, value: bytes) -> LeaseTaken:
        return RunGoesOn(
            f"another run goes on ({_describe(value)}): wait until it has ended, or end it there"
        )


@contextmanager
def hold_turn(client: redis.Redis, key: str, kind: str, run: int | None) -> Iterator[None]:
    """Hold the right to run; wait for that of a run that was killed to end, refuse beside a living one.

    Raises:
        RunGoesOn: Another run goes on.
    """
    runner = Runner(uuid.uuid4().hex, socket.gethostname(), os.getpid(), int(time.time()), kind, run)
    _drop_dead(client, key)
    with Turn(client, key, runner, TTL_S).held(silent):
        yield


def _drop_dead(client: redis.Redis, key: str) -> None:
    """Take the right from a process of this host that is gone, for which nobody need wait."""
    value = read.value(client, key)
    try:
        going = None if value is None else Going.from_json(value)
    except ValueError:
        return
    if going is None or going.host != socket.gethostname() or _lives(going.pid):
        return
    with client.pipeline(transaction=True) as pipe:
        try:
            pipe.watch(key)  # type: ignore[no-untyped-call]
            if pipe.get(key) == value:
                pipe.multi()
                pipe.delete(key)
                pipe.execute()
        except redis.WatchError:
            return


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _describe(value: bytes) -> str:
    try:
        going = Going.from_json(value)
    except ValueError:
        return repr(value)
    run = "" if going.run is None else f"run {going.run}, "
    since = f"{moment(going.since_s):%Y-%m-%d %H:%M:%S} UTC"
    return f"{run}{going.kind}, process {going.pid} on {going.host}, since {since}"
