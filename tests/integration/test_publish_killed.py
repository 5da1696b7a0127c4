"""Publishing killed with SIGKILL, and the store under it: what is served stays, and the next run clears up.

`ALMANAC_CHAOS=1` runs the full number of kills.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from batch.publish.memory.probe import weigh
from tests.clients import OwnStore
from tests.conftest import STORE_SETTINGS
from tests.content import KEYS, content, expected, many, published
from tests.forks import Forks
from tests.integration.test_publish import generations_with_keys, hashes

pytestmark = pytest.mark.integration
FULL = bool(os.environ.get("ALMANAC_CHAOS"))
N_KILLS, N_STORE_KILLS = (200, 40) if FULL else (12, 4)
SEED = int(os.environ.get("ALMANAC_TEST_SEED", "7"))
MIB = 2**20

Lists = dict[int, dict[bytes, bytes]]


class Publishers(Forks):
    """Forks publishers of `tests.content`, one after the other."""

    url, folder = "", Path()

    def __init__(self, *, quiet: bool = False) -> None:
        """Start the process that forks; `quiet` drops the tracebacks of publishers whose store died."""
        super().__init__("tests.content", quiet=quiet)

    def to(self, url: str, folder: Path) -> "Publishers":
        """Let publishers from now on write to a store and to a folder."""
        self.url, self.folder = url, folder
        return self

    def start(self, seed: int, die_at: str = "") -> int:
        """Start a publisher and return its process id."""
        return self.begin(f"{self.url}\t{self.folder}\t{seed}\t{die_at}")


@pytest.fixture(scope="module")
def started(valkey_url: str) -> Iterator[Publishers]:
    """Start the process that forks, once: it takes longer than what its publishers do."""
    with Publishers() as started:
        yield started


@pytest.fixture
def publishers(started: Publishers, store: redis.Redis, valkey_url: str, tmp_path: Path) -> Publishers:
    """Give publishers that write to the store and to `tmp_path`."""
    return started.to(valkey_url, tmp_path)


@pytest.fixture
def quiet_publishers(own_store: OwnStore, tmp_path: Path) -> Iterator[Publishers]:
    """Give publishers that write to a store of their own, which may be killed under them."""
    with Publishers(quiet=True) as started:
        yield started.to(own_store.url, tmp_path / "generations")


def current(store: redis.Redis) -> int:
    """Return the served generation."""
    return int(store.hget(KEYS.current("default"), "generation") or 0)


def only_kept(store: redis.Redis, folder: Path) -> bool:
    """Say whether store and disk hold the current and the previous generation and no other."""
    kept = {
        int(number) for number in store.hmget(KEYS.current("default"), "generation", "previous") if number
    }
    return generations_with_keys(store) == kept == {int(path.name) for path in folder.iterdir()}


def is_served_whole(store: redis.Redis, wanted: dict[int, Lists], seed: int) -> bool:
    """Say whether what is served is what was, or what the publisher of a seed came to promote."""
    served = current(store)
    if served not in wanted:
        wanted[served] = expected(many(seed), seed)
    sealed = store.hget(KEYS.states(), str(served)) == b"sealed"
    return sealed and hashes(store, served) == wanted[served] and served == max(wanted)


def finish(store: redis.Redis, publishers: Publishers, seed: int) -> None:
    """Publish undisturbed; a dead publisher's lease runs out at once rather than in ten seconds."""
    store.delete(KEYS.lease())
    publishers.start(seed)
    assert publishers.end() == 0
    assert hashes(store, current(store)) == expected(many(seed), seed)


def await_closed(store: redis.Redis, before: set[str], deadline_s: float = 10.0) -> None:
    """Return once only the clients of `before` are connected: what a dead publisher sent is carried out then.

    A killed process's last commands still lie in its socket; a busy store reads them after the kill.
    """
    give_up = time.monotonic() + deadline_s
    while client_ids(store) - before:
        assert time.monotonic() < give_up, "the store did not close the dead publisher's connections"
        time.sleep(0.005)


def client_ids(store: redis.Redis) -> set[str]:
    """Return who is connected to the store."""
    return {client["id"] for client in store.client_list()}


def is_back(now: int, before: int) -> bool:
    """Say whether the store weighs what it did, within 2 % or 1 MiB."""
    print("bytes before and after", before, now)  # noqa: T201 - a figure to quote
    return abs(now - before) <= max(0.02 * before, MIB)


def test_kills_at_random_points_never_change_what_is_served(
    store: redis.Redis, publishers: Publishers, tmp_path: Path
) -> None:
    draw, n_killed = random.Random(SEED), 0
    print("seed", SEED)  # noqa: T201 - a failure shows it
    for seed in (0, 1):
        finish(store, publishers, seed)
    before = weigh(store)
    wanted = {2: expected(many(1), 1)}
    for seed in range(2, N_KILLS + 2):
        clients = client_ids(store)
        pid = publishers.start(seed)
        time.sleep(draw.uniform(0, 0.4))
        with suppress(ProcessLookupError):  # it was quicker
            os.kill(pid, signal.SIGKILL)
        n_killed += publishers.end() == -signal.SIGKILL
        await_closed(store, clients)
        store.delete(KEYS.lease())

        assert is_served_whole(store, wanted, seed)

    assert n_killed >= N_KILLS // 2
    for seed in (0, 1):
        finish(store, publishers, seed)
    assert only_kept(store, tmp_path)
    assert is_back(weigh(store), before)


def test_killing_the_store_while_lists_are_written_never_changes_what_is_served(
    own_store: OwnStore, quiet_publishers: Publishers
) -> None:
    draw, n_broken = random.Random(SEED), 0
    publishers = quiet_publishers
    store = own_store.start(*STORE_SETTINGS)
    for seed in (0, 1):
        finish(store, publishers, seed)
    before = weigh(store)
    wanted = {2: expected(many(1), 1)}
    for seed in range(2, N_STORE_KILLS + 2):
        publishers.start(seed)
        time.sleep(draw.uniform(0, 0.4))
        own_store.kill()
        n_broken += publishers.end() != 0
        store.close()
        store = own_store.start(*STORE_SETTINGS)
        store.delete(KEYS.lease())

        assert is_served_whole(store, wanted, seed)

    assert n_broken >= N_STORE_KILLS // 2
    for seed in (0, 1):
        finish(store, publishers, seed)
    assert only_kept(store, publishers.folder)
    assert is_back(weigh(store), before)
    store.close()


@pytest.mark.parametrize("die_at", ["lists", "seen", "likes", "sealed", "clearing"])
def test_a_kill_at_each_step_is_cleared_by_the_next_run(
    die_at: str, store: redis.Redis, publishers: Publishers, tmp_path: Path
) -> None:
    for seed in (0, 1):
        finish(store, publishers, seed)
    publishers.start(2, die_at)
    assert publishers.end() == -signal.SIGKILL

    promoted = die_at == "clearing"
    assert current(store) == (3 if promoted else 2)
    seed = 2 if promoted else 1
    assert hashes(store, current(store)) == expected(many(seed), seed)

    store.delete(KEYS.lease())
    published(store, tmp_path, 9)
    assert current(store) == 4
    assert only_kept(store, tmp_path)
    assert hashes(store, 4) == expected(content(9), 9)
