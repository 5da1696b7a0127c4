"""What processes take while they run: resident memory and CPU seconds of trees of them, from Linux' /proc."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_PARENT, _USED, _RESIDENT = 1, slice(11, 15), 21  # fields of /proc/PID/stat after the name


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a tree: epoch seconds, memory, CPU seconds so far, ended children's among them.

    Attributes:
        rss_mb: MB resident, summed: pages that a forked child shares with its parent count twice.
        held_mb: The same with each shared page counted once: what the machine lacks by it.
    """

    at_s: float
    rss_mb: float
    held_mb: float
    cpu_s: float


@dataclass(slots=True)
class Watched:
    """The samples of a tree of processes, ascending."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def cpu_s(self) -> float:
        """Return the CPU seconds from the first to the last look."""
        return max(sample.cpu_s for sample in self.samples) - self.samples[0].cpu_s if self.samples else 0.0

    @property
    def peak_mb(self) -> float:
        """Return the most that was resident in all processes of the tree."""
        return max((sample.rss_mb for sample in self.samples), default=0.0)

    @property
    def peak_held_mb(self) -> float:
        """Return the most that all processes of the tree held together."""
        return max((sample.held_mb for sample in self.samples), default=0.0)

    def between(self, begin_s: float, end_s: float) -> "Watched":
        """Return the samples of a time, and the one before it."""
        before = [sample for sample in self.samples if sample.at_s <= begin_s][-1:]
        return Watched(before + [sample for sample in self.samples if begin_s < sample.at_s <= end_s])


@contextmanager
def watch(roots: dict[str, Callable[[], int | None]]) -> Iterator[dict[str, Watched]]:
    """Look at trees of processes, by name, until the context ends.

    Args:
        roots: Name to what finds the process at a tree's root, None while there is none.
    """
    found = {name: Watched() for name in roots}
    over = threading.Event()

    def look_on() -> None:
        while not over.wait(EVERY_S):
            table = _read_all()
            for name, find in roots.items():
                root = find()
                if root in table:
                    found[name].samples.append(_sample(table, root))

    thread = threading.Thread(target=look_on, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _sample(table: dict[int, tuple[int, float, float]], root: int) -> Sample:
    tree, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        tree.append(pid)
        waiting += [child for child, (parent, _, _) in table.items() if parent == pid]
    rss_mb, cpu_s = (sum(table[pid][column] for pid in tree) for column in (1, 2))
    held_mb = rss_mb if len(tree) == 1 else sum(_read_share_mb(pid, table[pid][1]) for pid in tree)
    return Sample(time.time(), rss_mb, held_mb, cpu_s)


def _read_share_mb(pid: int, rss_mb: float) -> float:
    """Return a process's proportional share of the pages it holds, MB; `rss_mb` where we may not look."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return rss_mb
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), rss_mb)


def _read_all() -> dict[int, tuple[int, float, float]]:
    """Return each process's parent, MB resident, and CPU seconds with those of children it has waited for."""
    table: dict[int, tuple[int, float, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        used = sum(map(int, fields[_USED])) / _TICKS
        table[int(path.parent.name)] = (int(fields[_PARENT]), int(fields[_RESIDENT]) * _PAGE_MB, used)
    return table
