"""What one of several processes of an address is told by the process that started it."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker is told by the process that started it.

    Attributes:
        port: Where it listens, beside its fellows.
        ready: File descriptor to write to once it serves.
        folder: Of all of them: what they count, and posts that they share.
        parent: The process that started it; without it a worker ends.
    """

    port: int
    ready: int
    folder: Path
    parent: int

    def say_ready(self) -> None:
        """Tell the parent that we serve."""
        with suppress(OSError):  # of a parent that has died, its worker learns soon enough
            os.write(self.ready, b"1")

    @property
    def is_orphan(self) -> bool:
        """Say whether the parent has died."""
        return os.getppid() != self.parent
