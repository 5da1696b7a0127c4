"""Runs of the command line in processes of their own, forked from one that has imported all they need.

A run can be made to send itself a signal when a stage begins, moves on or ends: SIGKILL, to die there, or
SIGSTOP, to wait there until a test has done its worst.
"""

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.forks import Forks, fork_each_line

SMALL = {"ALMANAC_N_TREES": "10", "ALMANAC_N_BUCKETS": "3", "ALMANAC_DEPTH": "10", "ALMANAC_TRAIN_DAYS": "5"}
# Imported before the fork. Ours are not: their kernels start threads, which no fork survives.
LIBRARIES = (
    "lightgbm",
    "numba",
    "pandas",
    "pyarrow",
    "scipy.special",
    "sklearn",
    "sqlalchemy",
    "pydantic",
    "redis",
)
MOMENTS = {"begin": "began", "middle": "moved", "end": "ended"}


class Commands(Forks):
    """Forks a command at a time; `env` is theirs, beside what each is given."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        """Start the process that forks."""
        self.out, self.env = folder / "out.txt", {**SMALL, **env}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALMANAC_")}
        super().__init__("tests.runs", env=clean)

    def start(
        self,
        *arguments: str,
        at: str = "",
        send: int = signal.SIGKILL,
        clock_s: int = 0,
        until: str = "",
        **env: str,
    ) -> int:
        """Begin a command and return its process id.

        Args:
            arguments: Of the command line.
            at: Stage and moment, such as `train:end`, or `retire:begin#2` for the second time, at which it
                sends itself a signal, once.
            send: That signal.
            clock_s: From then on its clock differs by so much from ours.
            until: It waits there, alive, until this file is there.
            env: Further variables.
        """
        about = {"arguments": arguments, "at": at, "send": int(send), "clock_s": clock_s, "until": until}
        return self.begin(json.dumps({**about, "env": {**self.env, **env}, "out": str(self.out)}))

    def run(self, *arguments: str, at: str = "", **env: str) -> tuple[int, dict[str, Any], str]:
        """Run a command with --json; return its exit code, its last line on stdout, and what stderr said."""
        self.start(*arguments, "--json", at=at, **env)  # type: ignore[arg-type] # none is named so
        code = self.end()
        return self.said(code)

    def said(self, code: int) -> tuple[int, dict[str, Any], str]:
        """Return what a command has said that ended with an exit code, as `run` does."""
        lines = self.out.read_text().strip().splitlines()
        last = json.loads(lines[-1]) if lines and code >= 0 else {}
        return code, last, self.out.with_suffix(".err").read_text()


def await_stopped(pid: int, deadline_s: float = 60.0) -> None:
    """Return once a process has stopped, as by SIGSTOP, or fail."""
    give_up = time.monotonic() + deadline_s
    while Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert time.monotonic() < give_up, f"process {pid} did not stop"
        time.sleep(0.02)


def send_at(at: str, number: int, clock_s: int, until: str) -> None:
    """Let this process send itself a signal when its run is at a stage; 0 is none."""
    from batch.runs.recorded import Record

    place, _, turn = at.partition("#")
    stage, moment = place.split(":")
    original = getattr(Record, MOMENTS[moment])
    to_come = int(turn or 1)

    def told(record: Record, what: Any, *rest: Any) -> None:
        nonlocal to_come
        to_come -= getattr(what, "name", what) == stage
        if to_come == 0:
            to_come = -1
            real = time.time
            if clock_s:
                time.time = lambda: real() + clock_s
            os.kill(os.getpid(), number)
            while until and not Path(until).exists():
                time.sleep(0.05)
        original(record, what, *rest)

    setattr(Record, MOMENTS[moment], told)


def run_one(line: str) -> int:
    """Run a command in this process; its output goes to files."""
    from batch.__main__ import run_command

    about = json.loads(line)
    for number, name in ((1, about["out"]), (2, str(Path(about["out"]).with_suffix(".err")))):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(about["env"])
    if about["at"]:
        send_at(about["at"], about["send"], about["clock_s"], about["until"])
    code = run_command(about["arguments"])
    sys.stdout.flush()
    return code


def main() -> None:
    """Import what commands need, and fork one for every line on stdin."""
    for name in LIBRARIES:
        importlib.import_module(name)
    fork_each_line(run_one)


if __name__ == "__main__":
    main()
