"""Packed commands over a cluster: each goes to the primary of its key's slot, on one connection a primary.

What a primary sends elsewhere, or loses, is carried out again by redis-py, which follows slots and failovers.
So what is sent here must be such as may be carried out twice: all that a generation is made of is.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import hiredis
import numba
import numpy as np
import redis
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    ExecAbortError,
    MasterDownError,
    ReadOnlyError,
    TryAgainError,
)

from batch.store.cluster import ERRORS, as_cluster
from batch.store.wire import BATCH_BYTES, Busy, PipelinedWriter, raise_nested

AGAIN_S = 0.1
LONGEST_S = 60.0  # of a failover, which takes its time-out and some seconds more
MOST_LEFT = 4096  # commands to be carried out again

# Replies of a cluster that changes: what they are of was not carried out. MOVED is one of the first.
_PASSING = (AskError, TryAgainError, ClusterDownError, MasterDownError, ReadOnlyError, BusyLoadingError)


def open_writer(client: redis.Redis) -> PipelinedWriter:
    """Return a writer of packed commands for a store, single or a cluster."""
    return PipelinedWriter(client) if as_cluster(client) is None else ClusterWriter(client)


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """Commands that are carried out together, one or a transaction; `busy` is told of a key that is there."""

    packed: bytes | memoryview
    n_replies: int
    busy: Busy | None
    place: int


class ClusterWriter(PipelinedWriter):
    """Sends packed commands to who has their keys; all of one transaction are of one slot."""

    def __init__(self, client: redis.Redis) -> None:
        """Connect to a primary when something is first sent to it."""
        self._whole = as_cluster(client)
        self._nodes: dict[str, _NodeWriter] = {}
        self.n_zeros = 0

    def __enter__(self) -> "ClusterWriter":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was sent; after an error drop the connections."""
        try:
            if kind is None:
                self.flush()
        finally:
            for node in self._nodes.values():
                node.close()

    def send(self, packed: bytes | memoryview, n_replies: int, busy: Busy | None = None) -> None:
        """Send packed commands, as `PipelinedWriter.send`; each has a key as its first argument."""
        for key, unit in _cut(packed, n_replies, busy):
            node = self._whole.get_node_from_key(key)
            if node is None:
                raise redis.ConnectionError("nobody in the cluster has the key's slot")
            if node.name not in self._nodes:
                self._nodes[node.name] = _NodeWriter(node.redis_connection, self)
            self._nodes[node.name].add(unit)
        if sum(len(node.left) for node in self._nodes.values()) >= MOST_LEFT:
            self._carry_out_left()

    def flush(self) -> None:
        """Return once everything sent so far is carried out."""
        for node in self._nodes.values():
            node.turn()
        for node in self._nodes.values():
            node.turn()
        self._carry_out_left()

    def _carry_out_left(self) -> None:
        """Carry out what a primary did not.

        Raises:
            redis.RedisError: Nobody did within LONGEST_S.
        """
        left = [unit for node in self._nodes.values() for unit in node.take_left()]
        give_up = time.monotonic() + LONGEST_S
        for unit in left:
            while True:
                try:
                    self._carry_out(unit)
                    break
                except (*_PASSING, redis.ConnectionError, redis.TimeoutError, ExecAbortError):
                    if time.monotonic() > give_up:
                        raise
                except ERRORS as exc:
                    if isinstance(exc, redis.ResponseError) or time.monotonic() > give_up:
                        raise
                time.sleep(AGAIN_S)

    def _carry_out(self, unit: _Unit) -> None:
        commands = list(_unpack(unit.packed))
        if len(commands) == 1:
            name, arguments = commands[0]
            try:
                reply: Any = self._whole.execute_command(name, *arguments)
            except redis.ResponseError as exc:
                if unit.busy is None or not str(exc).startswith("BUSYKEY"):
                    raise
                unit.busy(unit.place)
                return
            self.n_zeros += reply == 0
            return
        with self._whole.pipeline(transaction=True) as pipe:
            for name, arguments in commands[1:-1]:  # between MULTI and EXEC
                pipe.execute_command(name, *arguments)
            replies = pipe.execute()
        self.n_zeros += sum(reply == 0 for reply in replies)


class _NodeWriter:
    """The commands of one primary, in batches with one under way.

    Attributes:
        left: What it did not carry out, and may not have where its connection was lost.
    """

    def __init__(self, node: redis.Redis, whole: ClusterWriter) -> None:
        self.left: list[_Unit] = []
        self._whole = whole
        self._pool = node.connection_pool
        self._connection: Any = None
        self._units: list[_Unit] = []
        self._under_way: list[_Unit] = []
        self._size = 0

    def add(self, unit: _Unit) -> None:
        """Send commands, now or with the next ones."""
        self._units.append(unit)
        self._size += len(unit.packed)
        if self._size >= BATCH_BYTES:
            self.turn()

    def turn(self) -> None:
        """Send the collected batch, then read the replies of the one before it."""
        due, self._under_way, self._units, self._size = self._under_way, self._units, [], 0
        try:
            if self._under_way:
                if self._connection is None:
                    self._connection = self._pool.get_connection()
                self._connection.send_packed_command([unit.packed for unit in self._under_way])
            while due:
                self._read(due[0])
                due.pop(0)
        except (redis.ConnectionError, redis.TimeoutError):
            self.left += [*due, *self._under_way]
            self._under_way = []
            self.close()

    def take_left(self) -> list[_Unit]:
        """Return what is left, and leave nothing."""
        left, self.left = self.left, []
        return left

    def close(self) -> None:
        """Give the connection back; one with replies that nobody will read is dropped."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None

    def _read(self, unit: _Unit) -> None:
        """Read the replies to a unit.

        Raises:
            redis.ResponseError: The server refused it.
        """
        failed: list[redis.RedisError] = []
        for _ in range(unit.n_replies):
            try:
                reply = self._connection.read_response()
                raise_nested(reply)
                self._whole.n_zeros += reply == 0
            except (redis.ResponseError, BusyLoadingError) as exc:
                failed.append(exc)
        if not failed:
            return
        if isinstance(failed[0], _PASSING):
            self.left.append(unit)
        elif unit.busy is not None and str(failed[0]).startswith("BUSYKEY"):
            unit.busy(unit.place)
        else:
            raise failed[0]


def _cut(packed: bytes | memoryview, n_commands: int, busy: Busy | None) -> Iterator[tuple[bytes, _Unit]]:
    """Yield each command, or transaction, with its key."""
    view = memoryview(packed)
    found = _find_commands(np.frombuffer(view, np.uint8), n_commands).tolist()
    first, start = 0, 0
    key, in_transaction = b"", False
    for place, (end, key_start, key_end) in enumerate(found):
        if key_end > key_start:
            key = bytes(view[key_start:key_end])
        else:  # only MULTI and EXEC have no argument
            in_transaction = not in_transaction
        if not in_transaction:
            yield key, _Unit(view[start:end], place + 1 - first, busy, place)
            first, start = place + 1, end


@numba.njit(cache=True)
def _find_commands(packed: Any, n: Any) -> Any:
    """Return int64 (commands, 3): where each ends, and where its first argument begins and ends.

    Without one these are the same.
    """
    out = np.zeros((n, 3), np.int64)
    at = 0
    for k in range(n):
        at, n_words = _number(packed, at + 1)
        for word in range(n_words):
            at, length = _number(packed, at + 1)
            if word == 1:
                out[k, 1], out[k, 2] = at, at + length
            at += length + 2
        out[k, 0] = at
    return out


@numba.njit(cache=True)
def _number(packed: Any, at: Any) -> Any:
    """Return the place after a number and its line end, and the number."""
    value = 0
    while packed[at] != 13:
        value = value * 10 + packed[at] - 48
        at += 1
    return at + 2, value


def _unpack(packed: bytes | memoryview) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each command's name and arguments."""
    reader = hiredis.Reader()
    reader.feed(bytes(packed))
    while (command := reader.gets()) is not False:
        yield command[0].decode(), command[1:]
