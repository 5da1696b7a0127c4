"""Runs that are asked for over HTTP, and what the API is told of runs: a look into the store each second.

An entry leaves the queue in one step with the word that its run begins, so it is begun once at most. How far
a run is comes from its record, whoever began it: the schedule's runs are told, too.
"""

import logging
import os
import socket
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from typing import cast

import redis

from api.contract.asked import MOST_WAITING, TOLD_S, WAITS_S, Ask, Pipeline, State, Told
from api.contract.keys import Keys
from batch.errors import describe
from batch.runs.record import Run
from batch.runs.runs import RunEnded, Runs, RunUnknown
from batch.runs.tail import tail

log = logging.getLogger(__name__)

LOOK_S = 1.0
TAIL_LINES, LONGEST_LINE = 20, 500
MOST_READ = 100  # entries; the API lets 32 in

Entry = tuple[str, Ask]  # its id, and what it asks for


class NotAsked(ValueError):
    """A run cannot be asked for as things stand."""


def read_waiting(store: redis.Redis, keys: Keys) -> list[Entry]:
    """Return what stands in the queue, oldest first; entries that cannot be read are left out."""
    found: list[Entry] = []
    reply = store.xrange(keys.runs_asked(), count=MOST_READ)
    for entry, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", reply):
        with suppress(ValueError):
            found.append((entry.decode(), Ask.from_fields(fields)))
    return found


def ask_for(store: redis.Redis, keys: Keys, pipeline: Pipeline) -> str:
    """Ask `almanac schedule` for a pipeline's run, as the API does; return the entry's id.

    Raises:
        NotAsked: As many wait as may.
    """
    script = store.register_script((files("api") / "ask.lua").read_text("utf-8"))
    asked = [part for field in Ask(pipeline=pipeline).to_fields().items() for part in field]
    entry = script([keys.runs_asked()], [MOST_WAITING, WAITS_S, *asked])
    if entry is None:
        raise NotAsked(f"{MOST_WAITING} runs wait already: is `almanac schedule` up?")
    return cast("bytes", entry).decode()


class AskedRuns:
    """The queue and what is told, for one scheduler.

    `begin` is called when something waits and none of it is begun: it lets `work` be called, in its turn.
    """

    def __init__(
        self,
        store: redis.Redis,
        keys: Keys,
        runs: Runs,
        run: Callable[[Pipeline], object],
        stopped: threading.Event,
    ) -> None:
        """Open nothing; `run` runs a pipeline to its end. Once it is stopped, nothing more is begun."""
        self._store, self._keys, self._runs, self._run = store, keys, runs, run
        self._stopped, self._late = stopped, deque[Told]()
        self.begin: Callable[[], object] = self.work
        self._is_due = threading.Event()
        self._own: Told | None = None  # the asked run that goes on
        self._told: dict[int, Told] = {}  # runs that were told to go on, by number
        self._is_away = False

    def watch(self, ended: threading.Event) -> None:
        """Look, tell and begin until the last run has ended; a store that is away is asked again."""
        while True:
            is_over = ended.wait(LOOK_S)
            try:
                self.look()
                self._is_away = False
            except (redis.RedisError, OSError, sqlite3.Error) as exc:
                if not self._is_away:
                    log.warning("queue.lost", extra={"why": str(exc)})
                self._is_away = True
            if is_over:
                return

    def look(self) -> None:
        """Do what is asked for, and tell how far the run is that goes on.

        Raises:
            redis.RedisError: The store does not answer.
        """
        self._tell_late()
        self._tell_running()
        waiting = self._read()
        for entry, ask in waiting:
            if ask.pipeline is None:
                self._cancel(ask.cancel, waiting)
                self._store.xdel(self._keys.runs_asked(), entry)
        if any(ask.pipeline is not None for _, ask in self._read()) and not self._is_due.is_set():
            self._is_due.set()
            self.begin()

    def work(self) -> None:
        """Run what waits, one after another, oldest first; an error is that run's alone."""
        try:
            with suppress(redis.RedisError):  # the next look begins with what still waits
                while not self._stopped.is_set() and (taken := self._take()) is not None:
                    self._run_one(*taken)
        finally:
            self._is_due.clear()

    def _run_one(self, entry: str, pipeline: Pipeline) -> None:
        begun_s, why = time.time(), ""
        try:
            self._run(pipeline)
        except Exception as exc:  # which the run has recorded and logged
            why = describe(exc, self._runs.path.parent)
        own, self._own = self._own, None
        recorded = [run for run in self._runs.recent(1) if run.asked_by == "http" and run.begun_s >= begun_s]
        if recorded:
            self._late.append(self._describe(recorded[0], entry, pipeline))
        elif own is not None:
            state: State = "failed" if why else "done"
            self._late.append(Told(entry, pipeline, state, time.time(), why=why, ended_s=time.time()))
        self._tell_late()

    def _take(self) -> tuple[str, Pipeline] | None:
        """Take the oldest entry that asks for a run out of the queue, and tell that it begins."""
        for entry, ask in self._read():
            if ask.pipeline is not None:
                self._own = Told(entry, ask.pipeline, "running", time.time())
                with self._store.pipeline(transaction=True) as pipe:
                    pipe.set(self._keys.runs_status(entry), self._own.to_json(), ex=TOLD_S)
                    pipe.xdel(self._keys.runs_asked(), entry)
                    pipe.execute()
                return entry, ask.pipeline
        return None

    def _read(self) -> list[Entry]:
        """Return what stands in the queue, oldest first; what cannot be read is taken out."""
        found: list[Entry] = []
        reply = self._store.xrange(self._keys.runs_asked(), count=MOST_READ)
        for entry, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", reply):
            try:
                found.append((entry.decode(), Ask.from_fields(fields)))
            except ValueError as exc:
                self._store.xdel(self._keys.runs_asked(), entry)
                log.warning("ask.refused", extra={"entry": entry.decode(), "why": str(exc)})
        return found

    def _cancel(self, run_id: str, waiting: list[Entry]) -> None:
        """Let an entry that waits not begin, or ask the run of an id to end."""
        for entry, ask in waiting:
            if entry == run_id and ask.pipeline is not None:
                if self._store.xdel(self._keys.runs_asked(), entry):
                    why = "it was cancelled before it began"
                    self._tell(
                        Told(entry, ask.pipeline, "cancelled", time.time(), why=why, ended_s=time.time())
                    )
                return
        run = self._find_running()
        if run is not None and self._id_of(run) == run_id:
            with suppress(RunEnded, RunUnknown):
                self._runs.ask_stop(run.number, "cancelled", "it was asked for over HTTP")

    def _tell_running(self) -> None:
        """Tell of the run of this process, and once more of those that have ended since."""
        run = self._find_running()
        for number, told in list(self._told.items()):
            if run is None or number != run.number:
                del self._told[number]
                with suppress(RunUnknown):
                    self._tell(self._describe(self._runs.show(number), told.id, told.pipeline))
        if run is not None:
            own = self._own if run.asked_by == "http" else None
            told = self._describe(run, self._id_of(run), own.pipeline if own else run.kind)
            self._told[run.number] = told
            self._tell(told)

    def _tell_late(self) -> None:
        """Tell how asked runs ended; what a store that is away was not told, it is told later."""
        while self._late:
            told = self._late.popleft()
            try:
                self._tell(told)
            except redis.RedisError:
                self._late.appendleft(told)
                raise

    def _find_running(self) -> Run | None:
        own = (socket.gethostname(), os.getpid())
        return next((run for run in self._runs.running() if (run.host, run.pid) == own), None)

    def _id_of(self, run: Run) -> str:
        return self._own.id if run.asked_by == "http" and self._own is not None else str(run.number)

    def _describe(self, run: Run, run_id: str, pipeline: str) -> Told:
        return Told(
            id=run_id,
            pipeline=pipeline,
            state=run.outcome or "running",
            told_s=time.time(),
            run=run.number,
            stage=run.stage,
            done=run.done,
            total=run.total,
            begun_s=run.begun_s,
            ended_s=run.ended_s,
            why=run.why,
            generation=run.generation,
            log=tuple(line[:LONGEST_LINE] for line in tail(self._runs, run.number, TAIL_LINES)),
        )

    def _tell(self, told: Told) -> None:
        self._store.set(self._keys.runs_status(told.id), told.to_json(), ex=TOLD_S)
