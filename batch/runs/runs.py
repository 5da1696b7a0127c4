"""The file of runs: written by each run's own process, read by whoever asks, at the same time.

SQLite in WAL mode; each call opens it anew, so that threads and processes need no agreement. Whether a run
still lives is told by the lock that its process holds on its log file: that ends with the process, whatever
container or process number it had.
"""

import logging
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import orjson

from batch.runs.logfile import RunLog, is_held
from batch.runs.record import BY_HAND, Asked, Kind, Outcome, Run, Stage

log = logging.getLogger(__name__)

FILE, FOLDER = "runs.sqlite", "runs"  # in the state folder; the folder holds a log file a run
SCHEMA = 3
BUSY_S = 10.0  # a writer holds the file for milliseconds
_LOST = "its process is gone: killed, out of memory, or the machine went down"
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, variant TEXT NOT NULL, slot_s INTEGER,
    asked_by TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, begun_s REAL NOT NULL, ended_s REAL,
    outcome TEXT, why TEXT NOT NULL DEFAULT '', exit_code INTEGER, generation INTEGER, as_of_s INTEGER,
    resumes INTEGER NOT NULL DEFAULT 1, resumed_from INTEGER, log TEXT NOT NULL DEFAULT '',
    stage TEXT NOT NULL DEFAULT '', done INTEGER NOT NULL DEFAULT 0, total INTEGER, seen_s REAL NOT NULL,
    stop TEXT, stop_why TEXT NOT NULL DEFAULT '', chosen TEXT NOT NULL DEFAULT '',
    made TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS of_slots ON runs (kind, variant, slot_s);
CREATE TABLE IF NOT EXISTS stages (
    run INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
    begun_s REAL NOT NULL, seconds REAL NOT NULL, cpu_s REAL NOT NULL, peak_mb INTEGER NOT NULL,
    rows INTEGER NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (run, place)
);
"""
_OF_RUN = [column.name for column in fields(Run) if column.name != "stages"]
_OF_STAGE = [column.name for column in fields(Stage)]


class RunUnknown(LookupError):
    """There is no such run in the record."""

    def __init__(self, number: int, newest: int) -> None:
        """Name it, and the newest there is."""
        there = f"the newest is {newest}: see `almanac runs list`" if newest else "none was recorded yet"
        super().__init__(f"there is no run {number}; {there}")


class RunEnded(ValueError):
    """A run that has ended cannot be stopped."""


class Runs:
    """All runs of a state folder."""

    def __init__(self, state_dir: Path, now: Callable[[], float] = time.time) -> None:
        """Take note of the place; the first run makes the file."""
        self.path, self.folder, self._now = state_dir / FILE, state_dir / FOLDER, now
        self._logs: dict[int, RunLog] = {}

    def begin(self, kind: Kind, variant: str, asked: Asked = BY_HAND) -> int:
        """Note that a run begins in this process, and return its number; its log file fills from now on.

        Raises:
            OSError: The state folder cannot be written; sqlite3.Error: nor can the file.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        now_s = self._now()
        with self._open() as db:
            cursor = db.execute(
                "INSERT INTO runs (kind, variant, slot_s, asked_by, host, pid, begun_s, seen_s)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (kind, variant, asked.slot_s, asked.by, socket.gethostname(), os.getpid(), now_s, now_s),
            )
            number = int(cursor.lastrowid or 0)
            path = self.log_of(number)
            db.execute("UPDATE runs SET log = ? WHERE number = ?", (str(path), number))
            self._logs[number] = RunLog(path)  # before anybody can see the run, and take it for lost
        logging.getLogger().addHandler(self._logs[number])
        return number

    def log_of(self, number: int) -> Path:
        """Return the file of a run's log lines."""
        return self.folder / f"{number}.log"

    def overview_of(self, number: int) -> Path:
        """Return the file of what a run's facts hold, see `batch.overview`; most runs have none."""
        return self.folder / f"{number}.json"

    def note(self, number: int, stage: str, done: int, total: int | None) -> tuple[Outcome, str] | None:
        """Note how far a run is; return how it is to end, and why, where somebody has asked for that."""
        with self._open() as db:
            db.execute(
                "UPDATE runs SET stage = ?, done = ?, total = ?, seen_s = ? WHERE number = ?",
                (stage, done, total, self._now(), number),
            )
            row = db.execute("SELECT stop, stop_why FROM runs WHERE number = ?", (number,)).fetchone()
        return None if row is None or row[0] is None else (row[0], row[1])

    def add_stage(self, number: int, stage: Stage) -> None:
        """Note a stage that has ended."""
        values = [getattr(stage, name) for name in _OF_STAGE]
        with self._open() as db:
            db.execute(
                f"INSERT INTO stages (run, place, {', '.join(_OF_STAGE)}) SELECT ?, count(*), "  # noqa: S608 - our own names
                f"{', '.join('?' * len(values))} FROM stages WHERE run = ?",
                (number, *values, number),
            )

    def tell(self, number: int, **values: int | str | None) -> None:
        """Note more of a run: `generation`, `as_of_s`, `chosen` or `resumed_from`."""
        self._set(number, values)

    def describe(self, number: int, **made: object) -> None:
        """Note more of what a run was made of, see `Run.made`; numbers that are none are left out."""
        with self._open() as db:
            text = orjson.dumps(made).decode()
            db.execute("UPDATE runs SET made = json_patch(made, ?) WHERE number = ?", (text, number))

    def end(
        self,
        number: int,
        outcome: Outcome,
        why: str = "",
        exit_code: int | None = None,
        *,
        resumes: bool = True,
    ) -> None:
        """Note how a run of this process ended, and close its log file."""
        now_s = self._now()
        values = {"outcome": outcome, "why": why, "exit_code": exit_code, "resumes": resumes}
        try:
            self._set(number, {**values, "ended_s": now_s, "seen_s": now_s})
        finally:
            log = self._logs.pop(number)
            logging.getLogger().removeHandler(log)
            log.close()

    def recent(self, limit: int = 20, *, kind: str = "") -> list[Run]:
        """Return the newest runs, newest first, of one kind or of all; their stages are left out."""
        return self._find("WHERE ?1 IN ('', kind) ORDER BY number DESC LIMIT ?2", kind, limit)

    def show(self, number: int) -> Run:
        """Return a run with its stages.

        Raises:
            RunUnknown: There is none.
        """
        found = self._find("WHERE number = ?", number)
        if not found:
            newest = self.recent(1)
            raise RunUnknown(number, newest[0].number if newest else 0)
        with self._open() as db:
            rows = db.execute(
                f"SELECT {', '.join(_OF_STAGE)} FROM stages WHERE run = ? ORDER BY place",  # noqa: S608 - our own names
                (number,),
            )
            return replace(found[0], stages=tuple(Stage(*row) for row in rows))

    def newest(self) -> Run:
        """Return the newest run.

        Raises:
            RunUnknown: There is none.
        """
        found = self.recent(1)
        return self.show(found[0].number if found else 0)

    def running(self) -> list[Run]:
        """Return the runs that go on, newest first."""
        return self._find("WHERE outcome IS NULL ORDER BY number DESC")

    def latest(self, kind: str, variant: str, outcome: Outcome | None = None) -> Run | None:
        """Return the newest run of a kind and variant, with its stages; of one outcome where one is told."""
        where = "WHERE kind = ?1 AND variant = ?2 AND ?3 IN ('', outcome) ORDER BY number DESC LIMIT 1"
        found = self._find(where, kind, variant, outcome or "")
        return self.show(found[0].number) if found else None

    def latest_of_slot(self, kind: str, variant: str, slot_s: int) -> Run | None:
        """Return the newest run that stands for a time of the schedule; None where none does."""
        where = "WHERE kind = ? AND variant = ? AND slot_s = ? ORDER BY number DESC LIMIT 1"
        found = self._find(where, kind, variant, slot_s)
        return found[0] if found else None

    def between(self, kind: str, variant: str, first: int, last: int) -> list[Run]:
        """Return the runs of a kind and variant from one number to another, both included, newest first."""
        where = "WHERE kind = ? AND variant = ? AND number BETWEEN ? AND ? ORDER BY number DESC"
        return self._find(where, kind, variant, first, last)

    def of_newest_slot(self, kind: str, variant: str) -> list[Run]:
        """Return the runs of the newest time of the schedule that any run stands for, newest first."""
        newest = "SELECT max(slot_s) FROM runs WHERE kind = ?1 AND variant = ?2"
        where = f"WHERE kind = ?1 AND variant = ?2 AND slot_s = ({newest}) ORDER BY number DESC"
        return self._find(where, kind, variant)

    def ask_stop(self, number: int, outcome: Outcome = "cancelled", why: str = "somebody asked") -> None:
        """Ask a run to end at its next checkpoint.

        Raises:
            RunUnknown: There is none; RunEnded: it has ended.
        """
        run = self.show(number)
        if run.outcome is not None:
            raise RunEnded(f"run {number} has ended already ({run.outcome}): nothing is left to stop")
        self._set(number, {"stop": outcome, "stop_why": why})

    def prune(self, kept: int) -> None:
        """Drop the records and files of all but the newest `kept` runs; those that go on stay."""
        with self._open() as db:
            last = db.execute(
                "SELECT number FROM runs ORDER BY number DESC LIMIT 1 OFFSET ?", (kept,)
            ).fetchone()
            if last is None:
                return
            old = "number <= ? AND outcome IS NOT NULL"
            gone = [row[0] for row in db.execute(f"SELECT number FROM runs WHERE {old}", last)]  # noqa: S608
            db.executemany("DELETE FROM stages WHERE run = ?", [(number,) for number in gone])
            db.executemany("DELETE FROM runs WHERE number = ?", [(number,) for number in gone])
        for number in gone:
            self.log_of(number).unlink(missing_ok=True)
            self.overview_of(number).unlink(missing_ok=True)

    def _set(self, number: int, values: dict[str, Any]) -> None:
        with self._open() as db:
            names = ", ".join(f"{name} = ?" for name in values)
            db.execute(f"UPDATE runs SET {names} WHERE number = ?", (*values.values(), number))  # noqa: S608

    def _find(self, where: str, *values: object) -> list[Run]:
        """Return runs, after those whose process is gone were marked as lost; the log says so once."""
        if not self.path.is_file():
            return []
        lost = []
        with self._open() as db:
            going = db.execute(
                "SELECT number, seen_s, kind, variant FROM runs WHERE outcome IS NULL"
            ).fetchall()
            for number, seen_s, kind, variant in going:
                if not is_held(self.log_of(number)):
                    set_lost = "UPDATE runs SET outcome = 'lost', ended_s = ?, why = ? WHERE number = ?"
                    marked = db.execute(f"{set_lost} AND outcome IS NULL", (seen_s, _LOST, number)).rowcount
                    lost += [{"run": number, "kind": kind, "variant": variant}] * marked
            rows = db.execute(f"SELECT {', '.join(_OF_RUN)} FROM runs {where}", values).fetchall()  # noqa: S608
        for about in lost:
            log.error("run.lost", extra={**about, "outcome": "lost", "why": _LOST})
        return [_read(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as db, db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise ValueError(
                    f"{self.path} is of a newer version ({version}, this one knows {SCHEMA}): "
                    "run the newer version, or set another ALMANAC_STATE_DIR"
                )
            if version < SCHEMA:
                _raise_schema(db)
            yield db


def _read(row: tuple[Any, ...]) -> Run:
    """Return a run of the file."""
    run = Run(*row)
    return replace(run, resumes=bool(run.resumes), made=orjson.loads(cast("str", run.made)))


def _raise_schema(db: sqlite3.Connection) -> None:
    """Make the tables, or give those of an earlier version what they lack; others may do so at once."""
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(_TABLES)
    db.execute("BEGIN IMMEDIATE")
    there = {column[1] for column in db.execute("PRAGMA table_info(runs)")}
    for name, empty in (("chosen", ""), ("made", "{}")):  # since 2, since 3
        if name not in there:
            db.execute(f"ALTER TABLE runs ADD COLUMN {name} TEXT NOT NULL DEFAULT '{empty}'")
    db.execute(f"PRAGMA user_version = {SCHEMA}")
