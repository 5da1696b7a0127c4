"""The files of an embedded store, and the locks by which its processes see each other.

`store.lock` is shared by all users: it can be taken alone only when there are none.
`starting.lock` lets one process at a time look whether the store runs, and start it.
`supervisor.lock` is held by the supervisor for its life, `server.lock` by the server for its own.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from batch.store.wait import wait_until


@dataclass(frozen=True, slots=True)
class Address:
    """The store's address as `store.json` holds it: `redis://127.0.0.1:…`, process, name and version."""

    url: str
    pid: int
    server: str


class Files:
    """The places of an embedded store under its state folder.

    Attributes:
        data: Folder of the server's append-only file.
        address: File that says where the store listens; missing while none runs.
        users: Lock that every user shares.
        starting: Lock of the process that looks or starts.
        supervisor: Lock of the supervisor.
        server: Lock of the server.
        log: Output of the supervisor.
        port: File with the port of the last server, on which the next one listens too.
    """

    def __init__(self, state_dir: Path) -> None:
        """Name the places; nothing is made."""
        self.state_dir, self.data = state_dir, state_dir / "store"
        self.address, self.users = state_dir / "store.json", state_dir / "store.lock"
        self.starting, self.supervisor = self.data / "starting.lock", self.data / "supervisor.lock"
        self.server, self.log = self.data / "server.lock", self.data / "supervisor.log"
        self.port = self.data / "port"

    def read_address(self) -> Address | None:
        """Return what `store.json` says; None while there is none."""
        try:
            return Address(**orjson.loads(self.address.read_bytes()))
        except FileNotFoundError:
            return None

    def write_address(self, address: Address) -> None:
        """Write `store.json` whole or not at all."""
        draft = self.address.with_suffix(".json.new")
        draft.write_bytes(orjson.dumps(address) + b"\n")
        draft.replace(self.address)

    def read_port(self) -> int:
        """Return the port of the last server; 0 where there was none."""
        try:
            return int(self.port.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def write_port(self, port: int) -> None:
        """Keep the port for the next server."""
        self.port.write_text(f"{port}\n")


class Lock:
    """An open lock file. The lock ends with `close`, or with the process however it ends."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating it."""
        self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def fileno(self) -> int:
        """Return the descriptor; a process that inherits it holds the lock too, until it ends."""
        assert self._fd is not None, "the lock was closed"
        return self._fd

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if that needs no waiting; say whether it did."""
        try:
            fcntl.flock(self.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, seconds: float, *, shared: bool = False) -> bool:
        """Take the lock, waiting so long at most; say whether it did."""
        return wait_until(lambda: self.acquire(shared=shared), seconds)

    def close(self) -> None:
        """Give the lock back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
