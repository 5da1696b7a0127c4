"""The processes of the serving bench: a store, the API as it is deployed, and its rivals; all on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from batch.store.embedded.binary import find
from batch.store.embedded.options import SHARED
from tests.bench.load import Asked

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class App:
    """A running app."""

    asked: Asked
    pid: int


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """Run a store of our own, set up as redis/redis.conf says, but with nothing on disk."""
    binary, _ = find()
    port = _free_port()
    memory_only = {**SHARED, "appendonly": "no", "bind": "127.0.0.1", "port": str(port), "dir": str(folder)}
    options = [part for name, value in memory_only.items() for part in (f"--{name}", value)]
    with _running([str(binary), *options], {}, folder / "store.log"):
        url = f"redis://127.0.0.1:{port}/0"
        with redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 100)) as client:
            client.ping()
        yield url


@contextmanager
def ours(folder: Path, url: str, asked: Asked) -> Iterator[App]:
    """Run the API as it is deployed: `python -m api.main`."""
    port = _free_port()
    env = {"ALMANAC_REDIS_URL": url, "ALMANAC_PORT": str(port), "ALMANAC_STATE_DIR": str(folder)}
    with _running([sys.executable, "-m", "api.main"], env, folder / "ours.log") as pid:
        asked = replace(asked, port=port)
        _await(asked, "/ready", folder / "ours.log")
        yield App(asked, pid)


@contextmanager
def rival(name: str, folder: Path, url: str, answer: Path, asked: Asked) -> Iterator[App]:
    """Run a rival under the same server with the same loop and parser."""
    port, log = _free_port(), folder / f"{name}.log"
    uvicorn = [sys.executable, "-m", "uvicorn", f"tests.bench.rivals:{name}", "--factory", "--no-access-log"]
    env = {"ALMANAC_REDIS_URL": url, "ALMANAC_BENCH_ANSWER": str(answer)}
    with _running([*uvicorn, "--port", str(port), "--log-level", "warning"], env, log) as pid:
        asked = replace(asked, port=port)
        _await(asked, asked.targets[0], log)
        yield App(asked, pid)


@contextmanager
def _running(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a process and give its id; it is ended with the context."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**bare, **env}, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def _await(asked: Asked, target: str, log: Path) -> None:
    give_up = time.monotonic() + READY_S
    while True:
        try:
            get(asked, target)
        except OSError as exc:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{target} was not answered: {exc}: {log.read_text()[-500:]}") from exc
            time.sleep(0.05)
        else:
            return


def get(asked: Asked, target: str) -> tuple[dict[str, str], bytes]:
    url, bearer = f"http://127.0.0.1:{asked.port}{target}", {"Authorization": f"Bearer {asked.token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=bearer), timeout=5) as reply:
        return {name.lower(): value for name, value in reply.headers.items()}, reply.read()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
