"""The API's process, as `almanac serve` and `almanac demo` start it."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from batch.settings import Settings

READY_S = 30.0


def environment(settings: Settings, store_url: str) -> dict[str, str]:
    """Return the environment in which the API reads the same store, prefix and variant."""
    return {
        **os.environ,
        "ALMANAC_REDIS_URL": store_url,
        "ALMANAC_PREFIX": settings.prefix,
        "ALMANAC_VARIANT": settings.variant,
        "ALMANAC_STATE_DIR": str(settings.state_dir),
    }


def command(host: str, port: int) -> list[str]:
    """Return the command that serves `api.main:app`; uvloop and httptools where they are installed."""
    uvicorn = [sys.executable, "-m", "uvicorn", "api.main:app", "--host", host, "--port", str(port)]
    return [*uvicorn, "--no-access-log", "--log-level", "warning"]


def serve_forever(settings: Settings, store_url: str, host: str, port: int) -> None:
    """Serve in this process until SIGTERM or Ctrl-C; requests in flight are answered first.

    Raises:
        RuntimeError: The API did not start; its log says why.
    """
    os.environ.update(environment(settings, store_url))
    server = uvicorn.Server(
        uvicorn.Config("api.main:app", host=host, port=port, access_log=False, log_config=None)
    )
    server.run()
    if not server.started:
        raise RuntimeError(f"the API did not start on {host}:{port}: see the lines above")


@contextmanager
def serving(host: str, port: int, env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run the API in a process of its own and give its base URL once it is ready.

    Raises:
        RuntimeError: It ended or was not ready in time; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(command(host, port), env=dict(env), stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        try:
            base = f"http://{host}:{port}"
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
