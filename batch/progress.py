"""Progress of a run: bars on a terminal, JSON lines elsewhere, and how long each step took."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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
    "read items": "read the table of items",
    "segments": "read users' segments",
    "sort": "sort and check lists",
    "describe": "read the posts' texts",
    "evaluate": "test on the last week",
    "estimate": "learn tastes",
    "train": "grow trees",
    "features": "compute features",
    "publish": "prepare a generation",
    "lists": "score and write lists",
    "seen": "write what users have seen",
    "likes": "write what users like",
    "export": "write what is served",
    "forget": "forget a user",
    "store log": "write the store's log anew",
}


class Progress:
    """Shows the steps of a run, one after another, and remembers their seconds."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw bars on `console` when it is a terminal; log one line a step otherwise."""
        self._watched = console is not None and console.is_terminal
        self._console = console
        self.seconds: dict[str, float] = {}
        self._expected_s: Mapping[str, float] = {}
        self._step, self._step_began = "", 0.0

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Show from now on how long all steps together will still take, by the seconds each usually takes."""
        self._expected_s = seconds

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
        self._step, self._step_began = name, time.perf_counter()
        with self._bars() as show:
            show(name, 0, None)
            yield show
        took_s = time.perf_counter() - self._step_began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took_s, 3)
        log.info("step.done", extra={"step": name, "took_s": round(took_s, 3)})

    def rest_s(self) -> float | None:
        """Return the seconds that the expected steps will still take, as fast as those before them were.

        None where nothing is expected, or no expected step has ended.
        """
        ended = {name: s for name, s in self._expected_s.items() if name in self.seconds}
        if not ended:
            return None
        pace = sum(self.seconds[name] for name in ended) / sum(ended.values())
        running_s = time.perf_counter() - self._step_began if self._step not in ended else 0.0
        to_come = {name: s for name, s in self._expected_s.items() if name not in ended}
        own_s = to_come.pop(self._step, 0.0)
        return max(pace * own_s - running_s, 0.0) + pace * sum(to_come.values())

    @contextmanager
    def _bars(self) -> Iterator[Show]:
        if not self._watched:
            yield silent
            return
        columns = (
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]:>15}", style="progress.download"),
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

            yield show
            _fill(bars, counted=True)


def _fill(bars: Bars, *, counted: bool) -> None:
    """Fill the bars of what has ended; one without a count is whole when the next begins."""
    for task in bars.tasks:
        if task.total is None:
            bars.update(task.id, completed=1, total=1)
        elif counted and task.fields["count"]:
            bars.update(task.id, completed=task.total, count=f"{task.total:,.0f}/{task.total:,.0f}")


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


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Show no progress."""
