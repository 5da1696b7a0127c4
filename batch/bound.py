"""How much memory the system lets this process hold."""

import os
from contextlib import suppress
from pathlib import Path

MIB = 2**20
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, version 2 and 1


def read_memory_bound(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the least of the machine's memory and what a container is given, MiB; None: nobody says."""
    found = []
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # `max` is no number: no limit
            found.append(int((groups / name).read_text()))
    return min(found) // MIB if found else None
