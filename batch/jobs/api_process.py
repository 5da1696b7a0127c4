"""The API's process, as `almanac serve` and `almanac demo` start it."""

import errno
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty

from batch.jobs.stop import stop_signal
from batch.settings import Settings
from batch.store.wait import wait_until

COMMAND = [sys.executable, "-m", "api.main"]
READY_S = 30.0
LOOK_EVERY_S = 0.1  # whether the process has ended


class CannotListen(OSError):
    """Nobody may listen at this address: the port is another's, or the host is not of this machine."""

    exit_code = 2

    def __init__(self, host: str, port: int, why: OSError) -> None:
        wrong = "port" if why.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
        remedy = f"give another by --{wrong} or ALMANAC_{wrong.upper()}"
        super().__init__(f"cannot listen on {host}:{port}: {why.strerror}; {remedy}")
        self.port_is_taken = why.errno == errno.EADDRINUSE


class ApiEnded(RuntimeError):
    """The API's process ended by itself; it has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the API ended with exit code {exit_code}: what it said stands above")
        self.exit_code = exit_code if exit_code > 0 else 1


def find_port(host: str, port: int) -> int:
    """Return the port if one may listen there now; where it is 0, a free one.

    Raises:
        CannotListen: One may not.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise CannotListen(host, port, exc) from exc
        return int(probe.getsockname()[1])


def environment(settings: Settings, store_url: str, host: str, port: int) -> dict[str, str]:
    """Return the environment in which the API listens there and reads the same store, prefix and variant."""
    return {
        **os.environ,
        "ALMANAC_REDIS_URL": store_url,
        "ALMANAC_PREFIX": settings.prefix,
        "ALMANAC_VARIANT": settings.variant,
        "ALMANAC_STATE_DIR": str(settings.state_dir),
        "ALMANAC_HOST": host,
        "ALMANAC_PORT": str(port),
    }


def serve_forever(env: Mapping[str, str]) -> None:
    """Run the API in a process of its own until SIGTERM or Ctrl-C; a second one ends it at once.

    Raises:
        ApiEnded: It ended by itself.
    """
    stop, is_told = stop_signal(), False
    # In a session of its own it does not hear Ctrl-C, which would be a traceback while it still starts.
    process = subprocess.Popen(COMMAND, env=dict(env), start_new_session=True)  # noqa: S603 - our own command
    while process.poll() is None:
        with suppress(Empty):
            stop.get(timeout=LOOK_EVERY_S)
            process.terminate()
            is_told = True
    # Told, it may die of the signal itself: before it hears any, or by a Ctrl-C before it has its session.
    is_told |= not stop.empty()
    if process.returncode and not (is_told and -process.returncode in (signal.SIGTERM, signal.SIGINT)):
        raise ApiEnded(process.returncode)


@contextmanager
def run_api(env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the API in a process of its own and give its base URL once it is ready.

    Raises:
        RuntimeError: It ended or was not ready in time; the message names the log.
    """
    base = f"http://{env['ALMANAC_HOST']}:{env['ALMANAC_PORT']}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(COMMAND, env=dict(env), stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            wait_until(lambda: process.poll() is not None or _is_ready(base), READY_S)
            if process.poll() is not None:
                raise RuntimeError(f"the API ended with exit code {process.returncode}: see {log}")
            if not _is_ready(base):
                raise RuntimeError(f"the API was not ready within {READY_S:.0f} s: see {log}")
            yield base
        finally:
            process.terminate()
            process.wait(10)


def _is_ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/ready", timeout=2):  # noqa: S310 - http on loopback
            return True
    except OSError:  # URLError is one
        return False
