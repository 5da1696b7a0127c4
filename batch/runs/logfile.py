"""A run's own log file: its lines as JSON, and, by a lock, the sign that its process lives."""

import fcntl
import logging
from pathlib import Path

from api.log import JsonLines


class RunLog(logging.FileHandler):
    """Writes what is logged, INFO and above, and holds the file's lock until it is closed."""

    def __init__(self, path: Path) -> None:
        """Open and lock the file.

        Raises:
            OSError: It cannot be made.
        """
        super().__init__(path, encoding="utf-8")
        assert self.stream is not None, "a handler without delay opens its file"
        self.setFormatter(JsonLines())
        self.setLevel(logging.INFO)
        fcntl.flock(self.stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging names it
        """Drop a line for which the disk has no room: the run goes on, or ends with an error of its own."""


def is_held(path: Path) -> bool:
    """Say whether a living process holds a log file's lock."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
