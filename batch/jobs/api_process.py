"""The API's process, as `almanac serve` and `almanac demo` start it."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from batch.settings import Settings
from batch.store.wait import wait_until

COMMAND = [sys.executable, "-m", "api.main"]
READY_S = 30.0


def environment(settings: Settings, store_url: str, host: str, port: int) -> dict[str, str]:
    """Return the environment in which the API listens there and reads the same store, prefix and variant."""
    return {
        **os.environ,
        "ALMANAC_REDIS_URL": store_url,
        "ALMANAC_PREFIX": settings.prefix,
        "ALMANAC_VARIANT": settings.variant,
        "ALMANAC_STATE_DIR": str(settings.state_dir),
        "ALMANAC_HOST": host,
        "ALMANAC_PORT": str(port),
    }


def serve_forever(env: Mapping[str, str]) -> int:
    """Run the API in a process of its own, pass SIGTERM and Ctrl-C on to it, and return its exit code."""
    # In a session of its own it hears Ctrl-C once, from us, and so ends as it does on SIGTERM.
    process = subprocess.Popen(COMMAND, env=dict(env), start_new_session=True)  # noqa: S603 - our own command
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: process.send_signal(received))
    return process.wait()


@contextmanager
def run_api(env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the API in a process of its own and give its base URL once it is ready.

    Raises:
        RuntimeError: It ended or was not ready in time; the message names the log.
    """
    base = f"http://{env['ALMANAC_HOST']}:{env['ALMANAC_PORT']}"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(COMMAND, env=dict(env), stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            wait_until(lambda: process.poll() is not None or _is_ready(base), READY_S)
            if process.poll() is not None:
                raise RuntimeError(f"the API ended with exit code {process.returncode}: see {log}")
            if not _is_ready(base):
                raise RuntimeError(f"the API was not ready within {READY_S:.0f} s: see {log}")
            yield base
        finally:
            process.terminate()
            process.wait(10)


def _is_ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/ready", timeout=2):  # noqa: S310 - http on loopback
            return True
    except OSError:  # URLError is one
        return False
