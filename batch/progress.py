"""Progress of a run: bars on a terminal, JSON lines elsewhere, and how long each step took."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

log = logging.getLogger(__name__)

Advance = Callable[[int], None]
Show = Callable[[str, int, int | None], None]  # what is going on, how far, of how much: `lists`, 400, 163205


class Progress:
    """Shows the steps of a run, one after another, and remembers their seconds."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw bars on `console` when it is a terminal; log one line a step otherwise."""
        self._watched = console is not None and console.is_terminal
        self._console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Time a step; the yielded function tells how many of `total` are done since it was last called."""
        with self.phases(name) as show:
            done = 0
            show(name, done, total)

            def advance(n: int) -> None:
                nonlocal done
                done += n
                show(name, done, total)

            yield advance

    @contextmanager
    def phases(self, name: str) -> Iterator[Show]:
        """Time a step with phases of its own, a bar each; the yielded function takes name, done, total."""
        started = time.perf_counter()
        with self._bars() as show:
            yield show
        took_s = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took_s, 3)
        log.info("step.done", extra={"step": name, "took_s": round(took_s, 3)})

    @contextmanager
    def _bars(self) -> Iterator[Show]:
        if not self._watched:
            yield silent
            return
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=self._console) as bars:
            tasks: dict[str, TaskID] = {}

            def show(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield show
            for task in bars.tasks:
                n = task.total or task.completed or 1  # a step that never advanced is whole when it ends
                bars.update(task.id, completed=n, total=n)


class Silent(Progress):
    """Shows, times and logs nothing, as for a training inside of an evaluation."""

    @contextmanager
    def phases(self, name: str) -> Iterator[Show]:  # noqa: ARG002 # as the other one is called
        """Give a `Show` that shows nothing."""
        yield silent


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Show no progress."""
