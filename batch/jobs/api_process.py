"""The API's process, as `almanac serve` and `almanac demo` start it."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from batch.settings import Settings

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
def serving(env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the API in a process of its own and give its base URL once it is ready.

    Raises:
        RuntimeError: It ended or was not ready in time; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(COMMAND, env=dict(env), stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            base = f"http://{env['ALMANAC_HOST']}:{env['ALMANAC_PORT']}"
            _await_ready(process, base, log)
            yield base
        finally:
            process.terminate()
            process.wait(10)


def _await_ready(process: "subprocess.Popen[bytes]", base: str, log: Path) -> None:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"the API ended with exit code {process.returncode}: see {log}")
        try:
            with urllib.request.urlopen(f"{base}/ready", timeout=2):  # noqa: S310 - http on loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the API was not ready within {READY_S:.0f} s: see {log}")
