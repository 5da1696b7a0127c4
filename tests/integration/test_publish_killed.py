"""Publishing killed with SIGKILL: what is served stays, the next run succeeds and clears what was left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tests.edition import KEYS, edition, expected, published
from tests.integration.test_publish import generations_with_keys, hashes

pytestmark = pytest.mark.integration
N_KILLS = 200 if os.environ.get("ALMANAC_CHAOS") else 12


class Publishers:
    """A process that forks one publisher after the other, so that each starts at once."""

    def __init__(self, store: redis.Redis, url: str, folder: Path) -> None:
        """Start the process that forks."""
        self._store, self._url, self._folder = store, url, folder
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.edition"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, seed: int, die_at: str = "") -> int:
        """Start a publisher and return its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{self._url}\t{self._folder}\t{seed}\t{die_at}\n")
        self._parent.stdin.flush()
        return self._said()

    def end(self) -> int:
        """Return a publisher's exit code; a dead one's lease runs out at once rather than in ten seconds."""
        code = self._said()
        if code:
            self._store.delete(KEYS.lease())
        return code

    def close(self) -> None:
        """End the process that forks."""
        self._parent.communicate("")

    def _said(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())


@pytest.fixture
def publishers(store: redis.Redis, valkey_url: str, tmp_path: Path) -> Iterator[Publishers]:
    """Give publishers that write to the store and to `tmp_path`."""
    started = Publishers(store, valkey_url, tmp_path)
    yield started
    started.close()


def current(store: redis.Redis) -> int:
    """Return the served generation."""
    return int(store.hget(KEYS.current("default"), "generation") or 0)


def only_kept(store: redis.Redis, folder: Path) -> bool:
    """Say whether store and disk hold the current and the previous generation and no other."""
    kept = {
        int(number) for number in store.hmget(KEYS.current("default"), "generation", "previous") if number
    }
    return generations_with_keys(store) == kept == {int(path.name) for path in folder.iterdir()}


def test_kills_at_random_points_never_change_what_is_served(
    store: redis.Redis, publishers: Publishers, tmp_path: Path
) -> None:
    seed = int(os.environ.get("ALMANAC_TEST_SEED", "7"))
    draw, n_killed = random.Random(seed), 0
    print("seed", seed)  # noqa: T201 - a failure shows it
    published(store, tmp_path)
    wanted = {1: expected(edition())}
    for seed in range(1, N_KILLS + 1):
        pid = publishers.start(seed)
        time.sleep(draw.uniform(0, 0.4))
        with suppress(ProcessLookupError):  # it was quicker
            os.kill(pid, signal.SIGKILL)
        n_killed += publishers.end() == -signal.SIGKILL

        served = current(store)
        if served not in wanted:  # it came as far as its promotion
            wanted[served] = expected(edition(seed, 600), seed)
        assert hashes(store, served) == wanted[served]
        assert store.hget(KEYS.states(), str(served)) == b"sealed"

    assert n_killed >= N_KILLS // 2
    last = published(store, tmp_path, 99)
    assert hashes(store, last.generation) == expected(edition(99), 99)
    assert only_kept(store, tmp_path)


@pytest.mark.parametrize("die_at", ["lists", "seen", "likes", "sealed", "clearing"])
def test_a_kill_at_each_step_is_cleared_by_the_next_run(
    die_at: str, store: redis.Redis, publishers: Publishers, tmp_path: Path
) -> None:
    for seed in (0, 1):
        publishers.start(seed)
        assert publishers.end() == 0
    publishers.start(2, die_at)
    assert publishers.end() == -signal.SIGKILL

    promoted = die_at == "clearing"
    assert current(store) == (3 if promoted else 2)
    seed = 2 if promoted else 1
    assert hashes(store, current(store)) == expected(edition(seed, 600), seed)

    published(store, tmp_path, 9)
    assert current(store) == 4
    assert only_kept(store, tmp_path)
    assert hashes(store, 4) == expected(edition(9), 9)
