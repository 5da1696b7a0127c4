"""The processes of the serving bench: a store, and apps under their servers; all on loopback."""

import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from batch.store.embedded.binary import find
from batch.store.embedded.options import SHARED
from tests.bench.load import Asked

READY_S = 60.0
STORE = "ALMANAC_REDIS_URL"


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
def serve(
    name: str,
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    asked: Asked,
    target: str,
    tree: Path | None = None,
) -> Iterator[App]:
    """Run an app, of the code in `tree` or here, by a command with `{port}` in it; await that it answers."""
    port, log = _free_port(), folder / f"{name}.log"
    command = [sys.executable, *(word.replace("{port}", str(port)) for word in command)]
    env = {**env, "ALMANAC_PORT": str(port), "ALMANAC_STATE_DIR": str(folder)}
    with _running(command, env if tree is None else {**env, "PYTHONPATH": str(tree)}, log, tree) as pid:
        asked = replace(asked, port=port)
        _await(asked, target, log)
        yield App(asked, pid)


def ours(
    folder: Path,
    url: str,
    asked: Asked,
    *,
    experiments: bool = False,
    overlay: bool = False,
    variant: str = "default",
) -> AbstractContextManager[App]:
    """Run the API as it is deployed, following what experiments run or not, with the overlay or without."""
    name = "overlay" if overlay else "experiment" if experiments else variant
    switches = {"ALMANAC_EXPERIMENTS": experiments, "ALMANAC_OVERLAY": overlay}
    env = {name: "on" if is_on else "off" for name, is_on in switches.items()} | {"ALMANAC_VARIANT": variant}
    return serve(name, ("-m", "api.main"), {STORE: url, **env}, folder, asked, "/ready")


@contextmanager
def _running(
    command: Sequence[str], env: Mapping[str, str], log: Path, folder: Path | None = None
) -> Iterator[int]:
    """Run a process and give its id; it is ended with the context."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env={**bare, **env}, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
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


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its children have used; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return math.nan
    own_s = (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))
    return own_s + sum(cpu_s(int(child)) for child in children)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
