"""The process that keeps the embedded server; run as `python -m batch.store.embedded.supervisor DIR`.

It starts the server, restarts it when it crashes, and ends it, and itself, once the last user has gone,
however that user ended.
"""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from batch.store.embedded import binary, options
from batch.store.embedded.files import Address, Files, Lock
from batch.store.wait import wait_until

POLL_S = 0.25
ANSWER_S = 5.0  # a server that is slower is asked again
LOOK_S = 5.0  # somebody may be looking whether there is a supervisor
START_S = 60.0  # a large append-only file takes a while to load
STOP_S = 60.0
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Supervise the store of the folder given as the only argument."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # then the server ends first, as always
    supervise(Files(Path(sys.argv[1])))


def supervise(files: Files) -> None:
    """Keep the store running while it has users.

    Raises:
        ServerMissing: There is no server program.
        RuntimeError: The server does not start.
    """
    mine, users, servers = Lock(files.supervisor), Lock(files.users), Lock(files.server)
    if not mine.wait(LOOK_S):
        return  # another supervisor was first
    path, name = binary.find()
    _end_orphan(files, servers)
    server = None
    try:
        while not users.acquire():
            if server is None or server.poll() is not None:
                files.address.unlink(missing_ok=True)
                server, url = _start(path, files, servers)
                files.write_address(Address(url, server.pid, name))
            time.sleep(POLL_S)
    finally:
        files.address.unlink(missing_ok=True)
        if server is not None:
            _stop(server)
        # A newcomer waits for the users' lock, and must then find no trace of us.
        for lock in (servers, mine, users):
            lock.close()


def answers(url: str, pid: int) -> bool:
    """Say whether the server process `pid` itself answers; another program may have its old port.

    One that still loads its data does: it is asked for PING by whoever needs them.
    """
    with _connect(url) as client:
        try:
            return bool(client.info("server")["process_id"] == pid)
        except redis.RedisError:
            return False


def _end_orphan(files: Files, servers: Lock) -> None:
    """End the server of a supervisor that died hard, and take the servers' lock.

    On Linux the kernel ends it, see `_end_with_parent`; elsewhere this does.

    Raises:
        RuntimeError: It does not end.
    """
    address = files.read_address()
    if not servers.acquire() and address is not None and answers(address.url, address.pid):
        with suppress(redis.RedisError), _connect(address.url) as client:
            client.shutdown()
    if not servers.wait(STOP_S):
        raise RuntimeError(f"a server of another supervisor still works on {files.data}: {address}")


def _start(path: Path, files: Files, servers: Lock) -> tuple["subprocess.Popen[bytes]", str]:
    """Start the server and return it once it answers: where it was, so that whoever knows the store finds it.

    Where somebody else has taken that port, it gets a free one.
    """
    for port in filter(None, (files.read_port(), *(_free_port() for _ in range(3)))):
        server = subprocess.Popen(  # noqa: S603 - the server program that `binary.find` chose
            options.command(path, port, files.data.resolve()),
            env=options.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(servers.fileno(),),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        url = f"redis://127.0.0.1:{port}/0"
        if _await_start(server, url):
            files.write_port(port)
            return server, url
        _stop(server)
    raise RuntimeError(f"the embedded store does not start: see {files.data / 'server.log'}")


def _end_with_parent() -> None:
    """Ask the kernel to end the server when its supervisor dies hard.

    Other systems lack that: there the next supervisor does it, see `_end_orphan`.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await_start(server: "subprocess.Popen[bytes]", url: str) -> bool:
    """Wait until the server answers; False if it ended or takes too long."""
    wait_until(lambda: server.poll() is not None or answers(url, server.pid), START_S)
    return server.poll() is None and answers(url, server.pid)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server as SHUTDOWN does: SIGTERM makes it write its append-only file out first."""
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _connect(url: str) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_connect_timeout=ANSWER_S, socket_timeout=ANSWER_S, retry=once)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
