"""A night in shards beside one process, on the same facts, model and store: by Ray with two workers.

Four runs in one state folder. The first reads and learns; the others begin with features, from what it has
kept: in one process, by Ray, and by Ray while a worker is killed in the midst of its shard.
"""

import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import redis

from api.contract.keys import Keys
from batch.publish.store import GenerationStore
from batch.store.embedded.attach import attach
from batch.store.wait import wait_until
from tests.bench.night import USERS, command, environment
from tests.bench.watch import Watched, watch
from tests.clients import ROOT

SHARDS, WORKERS, KILLED = 4, 2, 2
DYING_S = 600.0  # within which the shard to be killed is half written
FEATURES = ("--from", "features")
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run said and took; CPU and memory are those of all its processes."""

    lines: list[Line]
    seconds: float
    used: Watched

    @property
    def generation(self) -> int:
        """Return what it published."""
        return int(self.lines[-1]["generation"])

    def shards(self, what: str) -> list[int]:
        """Return the shards of which an event tells: begun, lost or written; ascending."""
        return sorted(line["shard"] for line in self.lines if line.get("event") == f"shard.{what}")

    def figures(self) -> dict[str, object]:
        """Return what is printed of it."""
        stages = self.lines[-1]["seconds"]
        took = {
            str(line["shard"]): line["took_s"] for line in self.lines if line.get("event") == "shard.written"
        }
        own = {"shards_s": took} if took else {}
        return {
            "seconds": round(self.seconds, 1),
            "cpu_s": round(self.used.cpu_s, 1),
            "peak_mb": round(self.used.peak_held_mb),
            "stages": stages,
            **own,
        }


def run(scale: float, facts: Path | None) -> dict[str, object]:
    """Measure, and return the figures; see `tests.bench.cluster.run`.

    Raises:
        AssertionError: A worker's death cost more than its shard.
    """
    users = max(1, round(USERS * scale))
    with ExitStack() as stack:
        name = stack.enter_context(TemporaryDirectory(prefix="almanac-cluster-"))
        url, state = str((facts or Path(name)) / f"world_{users}"), Path(name, "state")
        state.mkdir()
        if not Path(url).exists():
            made = command("simulate", "--users", str(users), "--to", url)
            subprocess.run(made, env=environment(url, state), check=True, stdout=subprocess.DEVNULL)
        store_url = stack.enter_context(attach(state)).url
        store = GenerationStore(stack.enter_context(redis.Redis.from_url(store_url)), Keys())
        night = _Night(url, state, store)
        first = night.run()
        one = night.run(*FEATURES)
        ray = ("--on", "ray", "--shards", str(SHARDS))
        sharded = night.run(*FEATURES, *ray)
        killed = night.run(*FEATURES, *ray, see=_Killer(store, users))
        again = killed.shards("begun")
        assert killed.shards("lost") == [KILLED], "no worker was killed in the midst of its shard"
        assert again == sorted([*range(1, SHARDS + 1), KILLED]), f"shards {again} were begun"
        different = {
            name: _count_different(store, one.generation, ran.generation)
            for name, ran in (("sharded", sharded), ("killed", killed))
        }
        prepared = next(line for line in sharded.lines if line.get("event") == "generation.prepared")
        return {
            "lists_different": sum(different.values()),
            "lists": first.lines[-1]["lists_written"],
            "roots": sorted({store.need_manifest(ran.generation).root for ran in (one, sharded, killed)}),
            "shards": SHARDS,
            "workers": WORKERS,
            "shards_begun_when_one_was_killed": again,
            "prepared_bytes": prepared["bytes"],
            "one_process": one.figures(),
            "sharded": sharded.figures(),
            "one_worker_killed": killed.figures(),
            "overhead_cpu": round(sharded.used.cpu_s / one.used.cpu_s - 1, 3),
            "overhead_seconds": round(sharded.seconds / one.seconds - 1, 3),
            "lost_seconds": round(killed.seconds - sharded.seconds, 1),
            "users": users,
            "load": os.getloadavg(),
            "machine": f"{os.cpu_count()} × {platform.machine()}, Python {platform.python_version()}",
        }


@dataclass(frozen=True, slots=True)
class _Night:
    """Where runs of the bench happen."""

    url: str
    state: Path
    store: GenerationStore

    def run(self, *words: str, see: Callable[[Line], object] = lambda _: None) -> Ran:
        """Run once, show each line as it comes, and watch."""
        env = {**environment(self.url, self.state), "ALMANAC_GENERATIONS_KEPT": "5"}
        told, pid, lines = command("run", "--no-evaluate", *words, "--json"), [0], list[Line]()
        with watch({"run": lambda: pid[0]}) as seen:
            begin = time.perf_counter()
            with subprocess.Popen(told, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
                pid[0] = process.pid
                assert process.stdout is not None
                for text in process.stdout:
                    if text.startswith("{"):
                        lines.append(orjson.loads(text))
                        see(lines[-1])
            seconds = time.perf_counter() - begin
        assert process.returncode == 0, lines[-1]
        return Ran(lines, seconds, seen["run"])


class _Killer:
    """Kills the worker of a shard once the lists of its middle user are there."""

    def __init__(self, store: GenerationStore, n_users: int) -> None:
        self._store, self._n_users, self._is_over, self._generation = store, n_users, False, 0

    def __call__(self, line: Line) -> None:
        if line.get("event") == "generation.prepared":
            self._generation = line["generation"]
        if line.get("event") == "shard.begun" and line["shard"] == KILLED and not self._is_over:
            self._is_over = True
            threading.Thread(target=self._kill, args=(line["pid"],), daemon=True).start()

    def _kill(self, pid: int) -> None:
        row = self._n_users * (2 * KILLED - 1) // (2 * SHARDS)
        user = self._store.user_ids(self._generation)[row]
        key = self._store.keys.list(user, self._generation)
        with redis.Redis(connection_pool=self._store.client.connection_pool) as client:
            if wait_until(lambda: client.exists(key), DYING_S):
                os.kill(pid, signal.SIGKILL)


def _count_different(store: GenerationStore, one: int, other: int) -> int:
    """Return how many lists two generations do not have in common."""
    a, b = store.need_manifest(one), store.need_manifest(other)
    users = store.user_ids(one)
    assert users == store.user_ids(other)
    pairs = zip(store.hashes(a, users), store.hashes(b, users), strict=True)
    return sum(x.get(name) != y.get(name) for (_, x), (_, y) in pairs for name in {*x, *y})
