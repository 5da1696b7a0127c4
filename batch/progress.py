"""Progress of a run: bars on a terminal, JSON lines elsewhere, and how long each step took."""

import logging
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

log = logging.getLogger(__name__)

Advance = Callable[[int], None]
Show = Callable[[str, int, int | None], None]  # what is going on, how far, of how much: `lists`, 400, 163205

WORDS = {  # what a person reads beside the bar of a step or phase
    "simulate": "make users and posts",
    "read": "read the tables",
    "keep": "keep what was read",
    "count": "count what they hold",
    "read items": "read the table of items",
    "segments": "read users' segments",
    "sort": "sort and check lists",
    "describe": "read the posts' texts",
    "evaluate": "test on the last week",
    "estimate": "learn tastes",
    "train": "grow trees",
    "features": "compute features",
    "publish": "prepare a generation",
    "prepare": "freeze what shards need",
    "shards": "wait for shards",
    "seal": "join the shards",
    "gate": "judge the lists",
    "promote": "make them current",
    "retire": "clear old generations",
    "lists": "score and write lists",
    "seen": "write what users have seen",
    "likes": "write what users like",
    "export": "write what is served",
    "forget": "forget a user",
    "store log": "write the store's log anew",
    "exposures": "read who was shown what",
    "report": "write the report",
    "acts": "read what they did",
    "traffic": "let users come",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A step that has ended; seconds and CPU time are without those of steps inside of it."""

    name: str
    begun_s: float  # epoch seconds
    seconds: float
    cpu_s: float  # of this process, all threads
    peak_mb: int  # most memory that this process had held by then, MiB
    rows: int  # the largest count of its bars
    failed: bool


class Watcher(Protocol):
    """Is told of each step, and may end the run by an error of its own."""

    def began(self, stage: str) -> None:
        """Take note that a step begins."""

    def moved(self, stage: str, done: int, total: int | None) -> None:
        """Take note of how far it is; comes often, and from any thread."""

    def ended(self, stage: Ended) -> None:
        """Take note of its end."""


@dataclass(slots=True)
class _Step:
    """A step that goes on, and what steps inside of it took."""

    name: str
    begun_s: float
    began: float
    cpu_began: float
    inner_s: float = 0.0
    inner_cpu_s: float = 0.0
    rows: int = 0


class Progress:
    """Shows the steps of a run, one after another or inside of one another, and remembers their seconds."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw bars on `console` when it is a terminal; log one line a step otherwise."""
        self._watched = console is not None and console.is_terminal
        self._console = console
        self.seconds: dict[str, float] = {}
        self._expected_s: dict[str, float] = {}
        self._pace: float | None = None
        self._steps: list[_Step] = []
        self._draw: Show | None = None
        self._watcher: Watcher | None = None

    def expect(self, seconds: Mapping[str, float], pace: float | None = None) -> None:
        """Show from now on how long all steps together will still take, by the seconds each usually takes.

        `pace` is how fast this machine is beside that one, until a step has ended; None: nobody knows.
        """
        self._expected_s, self._pace = dict(seconds), pace

    def skip(self, *names: str) -> None:
        """Expect these steps no more: what they would give is there."""
        for name in names:
            self._expected_s.pop(name, None)

    @contextmanager
    def watched_by(self, watcher: Watcher) -> Iterator[None]:
        """Tell a watcher of all steps meanwhile; seconds count anew."""
        self._watcher, self.seconds = watcher, {}
        try:
            yield
        finally:
            self._watcher = None

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Time a step; the yielded function tells how many of `total` are done since it was last called."""
        with self.phases(name) as show:
            done = 0
            if total is not None:
                show(name, done, total)

            def advance(n: int) -> None:
                nonlocal done
                done += n
                show(name, done, total)

            yield advance

    @contextmanager
    def phases(self, name: str) -> Iterator[Show]:
        """Time a step with phases of its own, a bar each; the yielded function takes name, done, total."""
        if self._watcher is not None:
            self._watcher.began(name)
        with self._timed(name), self._bars() as draw:

            def show(what: str, done: int, total: int | None) -> None:
                step = self._steps[-1]  # a step inside of this one may show by what this one gave
                step.rows = max(step.rows, done)
                draw(what, done, total)
                if self._watcher is not None:
                    self._watcher.moved(step.name, done, total)

            draw(name, 0, None)
            yield show

    @contextmanager
    def _timed(self, name: str) -> Iterator[_Step]:
        step = _Step(name, time.time(), time.perf_counter(), time.process_time())
        self._steps.append(step)
        failed = True
        try:
            yield step
            failed = False
        finally:
            self._steps.pop()
            self._end(step, failed=failed)

    def _end(self, step: _Step, *, failed: bool) -> None:
        whole_s, whole_cpu_s = time.perf_counter() - step.began, time.process_time() - step.cpu_began
        if self._steps:
            self._steps[-1].inner_s += whole_s
            self._steps[-1].inner_cpu_s += whole_cpu_s
        took_s, cpu_s = round(whole_s - step.inner_s, 3), round(whole_cpu_s - step.inner_cpu_s, 3)
        ended = Ended(step.name, step.begun_s, took_s, cpu_s, peak_mb(), step.rows, failed)
        if not failed:
            self.seconds[step.name] = round(self.seconds.get(step.name, 0.0) + took_s, 3)
            figures = {"cpu_s": cpu_s, "peak_mb": ended.peak_mb, "rows": step.rows}
            log.info("stage.done", extra={"stage": step.name, "seconds": took_s, **figures})
        if self._watcher is not None:
            self._watcher.ended(ended)

    def rest_s(self) -> float | None:
        """Return the seconds that the expected steps will still take, as fast as those before them were.

        None where nothing is expected, or no expected step has ended and no pace is known.
        """
        ended = {name: s for name, s in self._expected_s.items() if name in self.seconds}
        if not self._expected_s or not (ended or self._pace):
            return None
        expected_s = sum(ended.values())
        pace = sum(self.seconds[name] for name in ended) / expected_s if expected_s else self._pace or 1.0
        going = self._steps[0] if self._steps else None
        to_come = {name: s for name, s in self._expected_s.items() if name not in ended}
        own_s, running_s = 0.0, 0.0
        if going is not None and going.name in to_come:
            own_s, running_s = to_come.pop(going.name), time.perf_counter() - going.began
        return max(pace * own_s - running_s, 0.0) + pace * sum(to_come.values())

    @contextmanager
    def _bars(self) -> Iterator[Show]:
        if self._draw is not None:  # a step inside of another draws below its bars
            yield self._draw
            return
        if not self._watched:
            yield silent
            return
        columns = (
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]:>15}", style="progress.download"),
            _RateColumn(),
            TimeElapsedColumn(),
            _RestColumn(self.rest_s),
        )
        with Bars(*columns, console=self._console) as bars:
            tasks: dict[str, TaskID] = {}

            def show(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    _fill(bars, counted=False)
                    tasks[what] = bars.add_task(WORDS.get(what, what), total=total, count="")
                count = f"{done:,}/{total:,}" if total else f"{done:,}" if done else ""
                bars.update(tasks[what], completed=done, total=total, count=count)

            self._draw = show
            try:
                yield show
            finally:
                self._draw = None
            _fill(bars, counted=True)


def _fill(bars: Bars, *, counted: bool) -> None:
    """Fill the bars of what has ended; one without a count is whole when the next begins."""
    for task in bars.tasks:
        if task.total is None:
            bars.update(task.id, completed=1, total=1)
        elif counted and task.fields["count"]:
            bars.update(task.id, completed=task.total, count=f"{task.total:,.0f}/{task.total:,.0f}")


class _RateColumn(ProgressColumn):
    """How many a second, lately."""

    def render(self, task: Task) -> Text:
        counted = task.fields["count"] and task.speed
        return Text(f"{task.speed:>9,.0f}/s" if counted else " " * 11, style="progress.data.speed")


class _RestColumn(ProgressColumn):
    """How long all steps together will still take, beside the bar of the one that is going on."""

    def __init__(self, rest_s: Callable[[], float | None]) -> None:
        self._rest_s = rest_s
        super().__init__()

    def render(self, task: Task) -> Text:
        rest_s = None if task.finished else self._rest_s()
        return Text("" if rest_s is None else f"about {rest_s:,.0f} s left", style="progress.remaining")


class Silent(Progress):
    """Shows, times and logs nothing, as for a training inside of an evaluation."""

    @contextmanager
    def phases(self, name: str) -> Iterator[Show]:  # noqa: ARG002 # as the other one is called
        """Give a `Show` that shows nothing."""
        yield silent


SILENT = Silent()


def peak_mb() -> int:
    """Return the most memory that this process has held so far, MiB.

    Linux' own figure of a child begins with its parent's, so what the kernel says of the program is read.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Show no progress."""
