"""Whole runs killed with SIGKILL at random moments, or the store under them: what is served stays whole.

Ten of them with `ALMANAC_CHAOS=1`; every suite kills runs at their stages (`test_runs_resumed.py`).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batch.publish.memory.probe import weigh
from tests.clients import ROOT, OwnStore
from tests.conftest import STORE_SETTINGS
from tests.content import KEYS
from tests.integration.test_publish import generations_with_keys, hashes
from tests.integration.test_publish_killed import current, is_back, only_kept

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not os.environ.get("ALMANAC_CHAOS"), reason="ten whole runs: set ALMANAC_CHAOS=1"),
]
N_KILLS = 10
SMALL = {"ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3", "ALMANAC_DEPTH": "10", "ALMANAC_TRAIN_DAYS": "5"}


class Runs:
    """Runs of the command line over one small world, on a store that may be killed."""

    def __init__(self, store: OwnStore, folder: Path) -> None:
        """Make the world."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
        own = {"ALMANAC_STATE_DIR": str(folder / "state"), "ALMANAC_REDIS_URL": store.url}
        self._env = {**clean, **SMALL, **own}
        self._facts = str(folder / "facts")
        self.generations = folder / "state" / "generations"
        self.finish("simulate", "--users", "60", "--posts", "200", "--to", self._facts)

    def start(self) -> "subprocess.Popen[bytes]":
        """Begin a run."""
        command = [sys.executable, "-m", "batch", "run", "--data", self._facts]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=self._env, cwd=ROOT, **quiet)  # type: ignore[call-overload,no-any-return] # names of streams

    def finish(self, *arguments: str) -> float:
        """Let a command end well; return its seconds."""
        began = time.monotonic()
        command = [sys.executable, "-m", "batch", *(arguments or ("run", "--data", self._facts))]
        subprocess.run(command, env=self._env, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - began


def test_killing_whole_runs_or_the_store_under_them_leaves_what_is_served(
    own_store: OwnStore, tmp_path: Path
) -> None:
    draw = random.Random(int(os.environ.get("ALMANAC_TEST_SEED", "7")))
    store = own_store.start(*STORE_SETTINGS)
    runs = Runs(own_store, tmp_path)
    runs.finish()
    whole_s = runs.finish()
    before, n_killed = weigh(store), 0
    for turn in range(N_KILLS):
        number = current(store)
        wanted = hashes(store, number)
        process = runs.start()
        time.sleep(draw.uniform(0.3, 1.0) * whole_s)
        if turn % 2:
            own_store.kill()
            n_killed += process.wait() != 0
            store.close()
            store = own_store.start(*STORE_SETTINGS)
        else:
            process.send_signal(signal.SIGKILL)
            n_killed += process.wait() == -signal.SIGKILL
        served = current(store)
        assert store.hget(KEYS.states(), str(served)) == b"sealed"
        assert hashes(store, served) == wanted  # the facts stand still, and so do the lists
        assert served >= number

    assert n_killed >= N_KILLS // 2
    for _ in range(2):
        runs.finish()
    assert only_kept(store, runs.generations)
    assert len(generations_with_keys(store)) == 2
    assert is_back(weigh(store), before)
    store.close()
