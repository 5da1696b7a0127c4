"""The log lines of a run, from the end of its file, and on while it goes on."""

import time
from collections import deque
from collections.abc import Iterator
from typing import TextIO

from batch.runs.runs import Runs

POLL_S = 0.3


def tail(runs: Runs, number: int, n: int, *, follow: bool = False) -> Iterator[str]:
    """Yield the last `n` log lines of a run, none where its file is gone; and on, until the run has ended."""
    path = runs.log_of(number)
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from (line.rstrip("\n") for line in deque(file, n))
        while follow:
            follow = runs.show(number).outcome is None  # asked first: what it logged last is read after
            yield from _whole_lines(file)
            if follow:
                time.sleep(POLL_S)


def _whole_lines(file: TextIO) -> Iterator[str]:
    """Yield the lines that are whole by now; the begin of one is read again."""
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        yield line.rstrip("\n")
