"""A real Chromium and a real inspector, each a process of its own; the bench drives them too."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.clients import ROOT

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_browser() -> str | None:
    """Return where Chromium is; Playwright's own download is not needed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@contextmanager
def run_browser() -> Iterator[Any]:
    """Run a Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def run_inspector(url: str, state_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run `almanac inspect --web` and give the link that it prints."""
    command = [sys.executable, "-m", "batch", "inspect", "--web", "--port", "0", "--json"]
    env = {
        **os.environ,
        "ALMANAC_REDIS_URL": url,
        "ALMANAC_STATE_DIR": str(state_dir),
        "ALMANAC_EXPOSURES_DAYS": "0",
        **(settings or {}),
    }
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield str(orjson.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
            process.wait(20)
