"""Use the embedded store: join the one that runs in a state folder, or start it."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import redis

from batch.store.embedded import binary, supervisor
from batch.store.embedded.files import Address, Files, Lock

WAIT_S = 90.0


class StoreNotStarted(RuntimeError):
    """The embedded store did not come up in time; the message says where to look."""

    exit_code = 4


class Attached:
    """A user of the embedded store, which runs at least until `close` or the end of this process.

    Attributes:
        url: Where it listens, such as `redis://127.0.0.1:40123/0`.
        pid: The server's process.
        server: The server's name and version.
    """

    def __init__(self, lock: Lock, address: Address) -> None:
        """Keep the users' lock, which `attach` took."""
        self._lock = lock
        self.url, self.pid, self.server = address["url"], address["pid"], address["server"]

    def close(self) -> None:
        """Leave; the store ends when its last user has left."""
        self._lock.close()

    def __enter__(self) -> "Attached":
        """Give the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self.close()


def attach(state_dir: Path) -> Attached:
    """Join the embedded store of a state folder, or start it; return once it answers.

    Any number of processes may do so at once: one server is started. After a crash of the server, of its
    supervisor or of all users the next one finds the data as it was, at worst without the last second.

    Raises:
        ServerMissing: There is no server program; the message says what to install.
        StoreNotStarted: It did not come up.
    """
    files = Files(state_dir)
    files.data.mkdir(parents=True, exist_ok=True)
    give_up = time.monotonic() + WAIT_S
    starting, users = Lock(files.starting), Lock(files.users)
    try:
        # The supervisor holds the users' lock alone while it ends the server: then wait for the end.
        if starting.wait(give_up) and users.wait(give_up, shared=True):
            return Attached(users, _running(files, give_up))
    except BaseException:
        users.close()
        raise
    finally:
        starting.close()
    users.close()
    raise StoreNotStarted(f"the store in {files.data} is busy starting or ending: see {files.log}")


def _running(files: Files, give_up: float) -> Address:
    """Return where the store listens, once it answers; start it if nobody supervises it."""
    if not _supervised(files):
        _start_supervisor(files, give_up)
    while time.monotonic() < give_up:
        address = files.read_address()
        if address is not None and _answers(address):
            return address
        if not _supervised(files):
            break
        time.sleep(0.02)
    raise StoreNotStarted(
        f"the store in {files.data} did not start: see {files.log} and server.log beside it"
    )


def _supervised(files: Files) -> bool:
    lock = Lock(files.supervisor)
    try:
        return not lock.acquire()
    finally:
        lock.close()


def _start_supervisor(files: Files, give_up: float) -> None:
    """Start the supervisor and return once it is at work.

    It has a session of its own, and a shell that ends at once stands between: so it outlives this process
    and its terminal, and is nobody's child to wait for.

    Raises:
        ServerMissing: There is no server program: better said here than in the supervisor's log.
    """
    binary.find()
    with files.log.open("ab") as log:
        subprocess.run(  # noqa: S603 - this very Python
            [
                "/bin/sh",
                "-c",
                '"$@" &',
                "sh",
                sys.executable,
                "-m",
                supervisor.__name__,
                files.state_dir.resolve(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )
    while not _supervised(files) and time.monotonic() < give_up:
        time.sleep(0.02)


def _answers(address: Address) -> bool:
    """Say whether the very server of `address` answers; another program may have its old port."""
    try:
        with redis.Redis.from_url(address["url"]) as client:
            return bool(client.info("server")["process_id"] == address["pid"])
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False
