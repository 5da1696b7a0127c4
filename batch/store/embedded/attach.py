"""Use the embedded store: join the one that runs in a state folder, or start it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from batch.store.embedded import binary, supervisor
from batch.store.embedded.files import Address, Files, Lock
from batch.store.wait import wait_until

WAIT_S = 90.0


class StoreNotStarted(RuntimeError):
    """The embedded store did not come up in time; the message says where to look."""

    exit_code = 4


@contextmanager
def attach(state_dir: Path) -> Iterator[Address]:
    """Join the embedded store of a state folder, or start it; it runs at least until the context ends.

    Any number of processes may do so at once: one server is started. After a crash of the server, of its
    supervisor or of all users the next one finds the data as it was, at worst without the last second.

    Raises:
        ServerMissing: There is no server program; the message says what to install.
        StoreNotStarted: It did not come up.
    """
    files = Files(state_dir)
    files.data.mkdir(parents=True, exist_ok=True)
    with closing(Lock(files.users)) as users:
        with closing(Lock(files.starting)) as starting:
            # The supervisor holds the users' lock alone while it ends the server: then wait for the end.
            if not (starting.wait(WAIT_S) and users.wait(WAIT_S, shared=True)):
                raise StoreNotStarted(
                    f"the store in {files.data} is busy starting or ending: see {files.log}"
                )
            address = _start_or_join(files)
        yield address


def _start_or_join(files: Files) -> Address:
    """Return where the store listens, once it answers; start it if nobody supervises it."""
    if not _has_supervisor(files):
        _start_supervisor(files)
    wait_until(lambda: _answering(files) or not _has_supervisor(files), WAIT_S)
    address = _answering(files)
    if address is None:
        is_full = shutil.disk_usage(files.data).free == 0  # then no log could say so
        why = "no room is left there" if is_full else f"see {files.log} and server.log beside it"
        raise StoreNotStarted(f"the store in {files.data} did not start: {why}")
    return address


def _answering(files: Files) -> Address | None:
    """Return where the store listens, if it answers there."""
    address = files.read_address()
    if address is None:
        return None
    return address if supervisor.answers(address.url, address.pid) else None


def _has_supervisor(files: Files) -> bool:
    lock = Lock(files.supervisor)
    try:
        return not lock.acquire()
    finally:
        lock.close()


def _start_supervisor(files: Files) -> None:
    """Start the supervisor and return once it is at work.

    It has a session of its own, and a shell that ends at once stands between: so it outlives this process
    and its terminal, and is nobody's child to wait for.

    Raises:
        ServerMissing: There is no server program: better said here than in the supervisor's log.
    """
    binary.find()
    command = [sys.executable, "-m", supervisor.__name__, str(files.state_dir.resolve())]
    with files.log.open("ab") as log:
        subprocess.run(  # noqa: S603 - this very Python
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )
    wait_until(lambda: _has_supervisor(files), WAIT_S)
