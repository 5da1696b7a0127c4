"""What a night stands on, beside PostgreSQL: a store and the batch, each to be killed and started again."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.clients import ROOT, OwnStore
from tests.conftest import STORE_SETTINGS


class FitStore(OwnStore):
    """A store that is set up as runs want it, each time that it starts."""

    def start(self, *settings: str) -> redis.Redis:
        """Start it and give a client."""
        return super().start(*STORE_SETTINGS, *settings)


@dataclass
class Batch:
    """`almanac schedule`, whose log lines are kept over all its lives."""

    env: dict[str, str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None
    _reading: threading.Thread | None = None

    def start(self) -> None:
        """Start it; it makes up for what it missed, and runs nothing else at once."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batch", "schedule", "--no-at-start", "--json"],
            env=self.env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reading.start()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as a supervisor does, and return its exit code."""
        return self._end(signal.SIGTERM)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged as an event."""
        return [line for line in self.lines if line.get("event") == event]

    def _end(self, number: int) -> int:
        if self._process is None or self._reading is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(300)
        self._reading.join()
        return code

    def _read(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"event": "other", "text": line})


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with these settings and no other of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
    return kept | {f"ALMANAC_{name.upper()}": value for name, value in settings.items()}
