"""Programs in processes forked from one that has imported their libraries, the most of a short command.

What stands for a forked program is a small process, `tests/forked_client.py`: it hands its arguments,
variables, folder and three standard files over, sends SIGINT and SIGTERM on, and ends as the program did;
whoever kills it kills the program. With ALMANAC_CHAOS=1 each is started as people start it.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from select import select
from typing import Any, NoReturn

CLIENT = Path(__file__).with_name("forked_client.py")
# Ours are not imported before the fork: their kernels start threads, which no fork survives.
LIBRARIES = (
    "lightgbm",
    "numba",
    "pandas",
    "psycopg",
    "pyarrow.csv",
    "pyarrow.parquet",
    "pydantic_settings",
    "redis.asyncio",
    "scipy.special",
    "scipy.optimize",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.feature_extraction.text",
    "sklearn.isotonic",
    "sqlalchemy",
    "typer",
)


def program(module: str = "batch") -> list[str]:
    """Return what comes before the arguments of a program, such as `almanac`."""
    if "ALMANAC_CHAOS" in os.environ:
        return [sys.executable, "-m", module]
    return [sys.executable, "-I", "-S", str(CLIENT), _start_server(), module]


@cache
def _start_server() -> str:
    """Start what forks, which lasts as long as this process, and return its address."""
    folder = tempfile.mkdtemp(prefix="almanac-forks-")
    address = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(address)
        listening.listen()
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", f"{listening.fileno()}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=CLIENT.parents[1],
            pass_fds=[listening.fileno()],
            start_new_session=True,  # what is pressed where the tests run is for them
        )
    atexit.register(_stop_server, server, folder)
    return address


def _stop_server(server: "subprocess.Popen[bytes]", folder: str) -> None:
    server.communicate()
    shutil.rmtree(folder, ignore_errors=True)


def serve(listening: socket.socket) -> None:
    """Fork for each that connects, until stdin ends."""
    gc.freeze()  # what is imported stays, and is nobody's to copy
    while 0 not in select([listening.fileno(), 0], [], [])[0]:
        client, _ = listening.accept()
        if not os.fork():
            listening.close()
            _mind(client)
        client.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    with suppress(ChildProcessError):
        while os.wait():
            pass


def _mind(client: socket.socket) -> NoReturn:
    """Run a client's program in a process of its own, and tell how it ended."""
    about, files, _, _ = socket.recv_fds(client, 1 << 20, 3)
    command = os.fork()
    os.setpgid(command, command)  # in both processes, whichever is first
    if not command:
        client.close()
        _become(json.loads(about), files)
    for file in files:
        os.close(file)
    over = os.pidfd_open(command)
    while over not in select([client.fileno(), over], [], [])[0]:
        told = client.recv(1)
        number = told[0] if told else signal.SIGKILL
        (os.killpg if number == signal.SIGINT else os.kill)(command, number)
        if not told:
            break
    _, status = os.waitpid(command, 0)
    with suppress(OSError):  # nobody waits any more
        client.send(f"{os.waitstatus_to_exitcode(status)}".encode())
    os._exit(0)


def _become(about: dict[str, Any], files: list[int]) -> NoReturn:
    """Run a program in this process as `python -m` does."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(about["folder"])
    os.environ.clear()
    os.environ.update(about["variables"])
    time.tzset()
    module, *sys.argv[1:] = about["arguments"]
    code = 1
    atexit.register(lambda: _leave(code))  # first, so after all others
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 0
        raise
    code = 0
    sys.exit()


def _leave(code: int) -> NoReturn:
    """End without taking down what was imported, page by page."""
    for file in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed
            file.flush()
    os._exit(code)


def main() -> None:
    """Import what commands need, then fork."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in LIBRARIES:
        importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        serve(listening)


if __name__ == "__main__":
    main()
