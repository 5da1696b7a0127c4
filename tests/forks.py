"""Processes to kill, each forked from one that has imported all they need: it starts at once."""

import os
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.clients import ROOT
from tests.forked import program


class Forks:
    """The parent's side: begin a child by a line, and learn how it ended; one at a time."""

    def __init__(self, module: str, *, quiet: bool = False, env: dict[str, str] | None = None) -> None:
        """Start the module, which calls `fork_each_line`; `quiet` drops what its children say on stderr."""
        self._process = subprocess.Popen(
            program(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process that forks."""
        self._process.communicate("")

    def begin(self, line: str) -> int:
        """Fork a child for a line and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> int:
        """Wait for the child, and return its exit code."""
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def fork_each_line(work: Callable[[str], int]) -> None:
    """Do work in a child of its own for every line on stdin; say its process id, then its exit code."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                code = work(line.rstrip("\n"))
            finally:
                os._exit(code)
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
