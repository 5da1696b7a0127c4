"""The right to write a shard of users: one process at a time, while the generation is being built."""

import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis
from redis.client import Pipeline

from batch.progress import Show
from batch.publish.ledger.ledger import Ledger
from batch.publish.sharded.ledger import SHARD_TTL_S
from batch.store.lease import Holder, Lease, LeaseLost, LeaseTaken
from batch.store.transaction import Decide, Write


class ShardTaken(LeaseTaken):
    """Another process writes this shard, and is alive."""


class ShardClosed(LeaseLost):
    """The generation is sealed or retired, or another attempt has the shard: this one may write no more."""

    is_away = False


class ShardLease(Lease):
    """The right to write a shard; it ends with the state `building`, too."""

    def __init__(self, ledger: Ledger, generation: int, shard: int, holder: Holder, ttl_s: float) -> None:
        """Prepare; `held` takes it."""
        super().__init__(ledger.client, ledger.keys.shard(generation, shard), holder, ttl_s)
        self._states, self._generation, self._shard = ledger.keys.states(), generation, shard
        self._is_closed = False

    def check(self) -> None:
        """Return if the right still runs; costs no round trip.

        Raises:
            ShardClosed: It does not.
        """
        if self._is_closed:
            self._refuse("it is sealed or retired")
        try:
            super().check()
        except LeaseLost as exc:
            self._refuse(f"this process stalled for longer than {self._ttl_s:g} s", exc)

    def _transact(self, client: redis.Redis, watched: Iterable[str], decide: Decide) -> None:
        def decide_while_open(pipe: Pipeline) -> Write:
            is_open = pipe.hget(self._states, str(self._generation)) == b"building"
            if not is_open and not self._over.is_set():  # given back it is whatever has become of it
                self._is_closed = True
                self.check()
            return decide(pipe)

        super()._transact(client, [self._states, *watched], decide_while_open)

    def _refused(self, value: bytes) -> LeaseTaken:
        taken = super()._refused(value)
        return ShardTaken(f"shard {self._shard} of generation {self._generation}: {taken}")

    def _refuse(self, why: str, cause: Exception | None = None) -> None:
        raise ShardClosed(
            f"shard {self._shard} of generation {self._generation} may not be written any more, since {why}; "
            "nothing of it counts that is not noted"
        ) from cause


@contextmanager
def hold_shard(
    ledger: Ledger, generation: int, shard: int, progress: Show
) -> Iterator[tuple[ShardLease, str]]:
    """Hold the right to write a shard; give it with the attempt's token.

    Raises:
        ShardTaken: Another process writes it; ShardClosed: the generation is not being built.
    """
    holder = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid(), int(time.time()))
    lease = ShardLease(ledger, generation, shard, holder, SHARD_TTL_S)
    with lease.held(progress):
        lease.commit(lambda _pipe: None)
        yield lease, holder.token
