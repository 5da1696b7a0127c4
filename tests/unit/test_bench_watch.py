"""Memory of trees of processes: what is resident, and what the machine lacks by it."""

import subprocess
import sys

from batch.store.wait import wait_until
from tests.bench.watch import watch

MB = 64
FORK = f"""
import os, sys
held = bytearray(os.urandom({MB} << 20))
child = os.fork()
if child:
    os.write(1, b"x")
sys.stdin.read(1)
"""


def test_pages_shared_with_a_forked_child_count_twice_as_resident_and_once_as_held() -> None:
    with subprocess.Popen([sys.executable, "-c", FORK], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        with watch({"tree": lambda: process.pid}) as seen:
            wait_until(lambda: seen["tree"].samples, 10)
        process.communicate(b"xx")
    assert seen["tree"].peak_mb > 2 * MB
    assert MB < seen["tree"].peak_held_mb < 2 * MB
