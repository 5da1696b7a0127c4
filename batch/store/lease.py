"""One publisher at a time: a key with an owner and a short life, renewed while the owner lives."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import NoReturn

import orjson
import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from api.contract.buckets import moment
from batch.progress import Show
from batch.store import read
from batch.store.cluster import ERRORS, connect_again
from batch.store.transaction import Decide, Write, transact

TTL_S = 10.0  # a killed run keeps the next one waiting this long; a stalled one loses its right after it
RENEWALS = 4  # within one TTL: one lost packet is no lost lease


class LeaseTaken(RuntimeError):
    """Another run is publishing and alive."""

    exit_code = 5


class LeaseLost(RuntimeError):
    """This run stalled for longer than its lease, and another may be publishing by now."""

    exit_code = 5
    is_away = True  # a store that was away for so long, most often


@dataclass(frozen=True, slots=True)
class Holder:
    """Who publishes: a token that nobody else has, and what a person needs to find the process."""

    token: str
    host: str
    pid: int
    since_s: int

    def __str__(self) -> str:
        """Name the process and since when it publishes."""
        since = f"{moment(self.since_s):%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.pid} on {self.host}, publishing since {since}"


class Lease:
    """The right to publish. Renewed by a thread of its own, since scoring a block may outlast it."""

    def __init__(self, client: redis.Redis, key: str, holder: Holder, ttl_s: float) -> None:
        """Prepare; `hold` takes the lease."""
        self._client, self._key, self._ttl_s = client, key, ttl_s
        self._renewing = _impatient(client, ttl_s / RENEWALS)
        self._value = orjson.dumps(asdict(holder))
        self._until = 0.0
        self._turn = threading.Lock()  # a renewal would spoil the WATCH of a commit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @contextmanager
    def held(self, progress: Show) -> Iterator["Lease"]:
        """Hold it; wait for a dead holder's to run out.

        Raises:
            LeaseTaken: Its holder lives.
        """
        self._take(progress)
        self._thread.start()
        try:
            yield self
        finally:
            self._release()

    def check(self) -> None:
        """Return if the lease still runs by this process's own clock; costs no round trip.

        Raises:
            LeaseLost: It has not been renewed in time.
        """
        if time.monotonic() >= self._until:
            raise LeaseLost(
                f"this run stalled for more than the {self._ttl_s:g} s of its lease {self._key}, so another "
                "may have begun: nothing was made current; run it again"
            )

    def proof(self) -> bytes:
        """Return what stands in the lease's key while it is ours: a script writes only where it still does.

        Raises:
            LeaseLost: It is not ours any more.
        """
        self.check()
        return self._value

    def lose(self) -> NoReturn:
        """Take note that the store has given the lease to another.

        Raises:
            LeaseLost: Always.
        """
        self._until = 0.0
        self.check()
        raise AssertionError("a lease that has run out is lost")

    def commit(self, write: Write) -> None:
        """Carry out the queued commands as one transaction, only if the lease is still ours.

        Raises:
            LeaseLost: It is not; nothing was written.
        """
        self.transact((), lambda _pipe: write)

    def transact(self, watched: Iterable[str], decide: Decide) -> None:
        """Decide on what the watched keys hold and write, only if the lease is still ours.

        Raises:
            LeaseLost: It is not; nothing was written.
        """

        self._transact(self._client, watched, decide)

    def _transact(self, client: redis.Redis, watched: Iterable[str], decide: Decide) -> None:
        def decide_as_holder(pipe: Pipeline) -> Write:
            if not self._is_ours(pipe.get(self._key)):
                self.lose()
            return decide(pipe)

        with self._turn:
            transact(client, [self._key, *watched], decide_as_holder)

    def _is_ours(self, value: object) -> bool:
        """Say whether what stands in the key lets us go on."""
        return value == self._value

    def _refused(self, value: bytes) -> LeaseTaken:
        """Return the error beside a living holder."""
        return LeaseTaken(
            f"another run is publishing ({_who(value)}): wait until it has ended; "
            f"if it is killed, its lease ends {self._ttl_s:g} s later"
        )

    def _take(self, progress: Show) -> None:
        """Wait for a dead holder's lease to run out, then take it.

        Raises:
            LeaseTaken: The holder renews its lease, so it lives.
        """
        before: tuple[bytes, int] | None = None
        while True:
            asked = time.monotonic()
            if self._client.set(self._key, self._value, px=int(self._ttl_s * 1000), nx=True):
                self._until = asked + self._ttl_s
                return
            left_ms, value = int(self._client.pttl(self._key)), read.value(self._client, self._key)
            if value is None:
                continue
            if before is not None and (value != before[0] or left_ms > before[1]):
                raise self._refused(value)
            before = value, left_ms
            total_s = round(self._ttl_s)
            progress(f"waiting for the lease of {_who(value)}", total_s - left_ms // 1000, total_s)
            time.sleep(0.2)

    def _renew(self) -> None:
        """Extend the lease again and again; a store that does not answer is tried until the lease is over."""
        while not self._over.wait(self._ttl_s / RENEWALS):
            asked = time.monotonic()
            try:
                self._transact(self._renewing, (), lambda _pipe: self._extend)
            except LeaseLost:
                return
            except ERRORS:
                continue
            self._until = asked + self._ttl_s

    def _extend(self, pipe: Pipeline) -> None:
        pipe.pexpire(self._key, int(self._ttl_s * 1000))

    def _release(self) -> None:
        """Give the lease back, if it is still ours."""
        self._over.set()
        self._thread.join()
        with suppress(LeaseLost, *ERRORS):  # then it ends by itself
            self.commit(lambda pipe: pipe.delete(self._key))
        self._renewing.close()


@contextmanager
def hold(
    client: redis.Redis, key: str, since_s: int, progress: Show, *, ttl_s: float = TTL_S
) -> Iterator[Lease]:
    """Hold the right to publish; wait for a dead holder's lease to run out, refuse beside a living one.

    Raises:
        LeaseTaken: Another run is publishing.
    """
    holder = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid(), since_s)
    with Lease(client, key, holder, ttl_s).held(progress) as lease:
        yield lease


def _impatient(client: redis.Redis, reply_s: float) -> redis.Redis:
    """Return another client of the same store: a renewal that gets no reply is sent anew, elsewhere."""
    never = Retry(NoBackoff(), 0)
    of_cluster = connect_again(client, never, reply_s)
    if of_cluster is not None:
        return of_cluster
    pool = client.connection_pool
    options = {**pool.connection_kwargs, "socket_timeout": reply_s, "retry": never}
    return redis.Redis(
        connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **options)
    )


def _who(value: bytes) -> str:
    try:
        return str(Holder(**orjson.loads(value)))
    except (TypeError, orjson.JSONDecodeError):
        return repr(value)
