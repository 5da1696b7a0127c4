"""What a process has counted, as values that add up: of several at one address each writes its own down.

What may live here: plain counts and their file. Whoever is asked for `/metrics` adds up what all have
written, those that have ended too, so that no count ever falls.
"""

import os
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import orjson

from api.store.stats import BATCH, TOOK_S, Histogram

Labels = str | tuple[str, ...]  # the value of a count's one label, or the values of several in their order
ENDING = ".counts"


@dataclass(slots=True)
class Counts:
    """What operators see, without what is only true of a moment.

    Attributes:
        requests: (route, HTTP status, rung or nothing) to requests.
        degraded: What could not be read to answers that did without.
        underfilled: Reason to answers with fewer posts than asked for.
        events: What became of them to events.
        exposures: What became of records of experiments' answers.
        arm_answers: (experiment, arm) to answers that the arm gave.
        unanswered: (experiment, variant) to answers that an arm's variant could not give.
        took_s: How long look-ups waited for the store.
        batch: How many look-ups shared a round trip.
    """

    requests: Counter[Labels] = field(default_factory=Counter)
    degraded: Counter[Labels] = field(default_factory=Counter)
    underfilled: Counter[Labels] = field(default_factory=Counter)
    events: Counter[Labels] = field(default_factory=Counter)
    exposures: Counter[Labels] = field(default_factory=Counter)
    arm_answers: Counter[Labels] = field(default_factory=Counter)
    unanswered: Counter[Labels] = field(default_factory=Counter)
    took_s: Histogram = field(default_factory=lambda: Histogram(TOOK_S))
    batch: Histogram = field(default_factory=lambda: Histogram(BATCH))

    def add(self, other: Self) -> None:
        """Add what another process has counted.

        >>> ours, theirs = Counts(events=Counter(accepted=2)), Counts(events=Counter(accepted=3))
        >>> ours.add(Counts.from_json(theirs.to_json()))
        >>> ours.events
        Counter({'accepted': 5})
        """
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            mine.update(theirs)

    def to_json(self) -> bytes:
        """Return it as one line, which `from_json` reads."""
        return orjson.dumps({one.name: _as_plain(getattr(self, one.name)) for one in fields(self)})

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `to_json` wrote; what this version does not count is left out.

        Raises:
            ValueError: It is something else.
        """
        read: dict[str, Any] = orjson.loads(text)
        counts = cls()
        for one in fields(cls):
            mine = getattr(counts, one.name)
            if isinstance(mine, Histogram):
                mine.add_counts(*read[one.name])
            else:
                mine.update({tuple(of) if isinstance(of, list) else of: n for of, n in read[one.name]})
        return counts


class SharedCounts:
    """A folder in which each process of an address keeps its counts, in a file of its own."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._own = folder / f"{os.getpid()}{ENDING}"

    def keep(self, counts: Counts) -> None:
        """Write down what this process has counted so far; a reader sees all of it or what stood before."""
        unfinished = self._own.with_suffix(".new")
        unfinished.write_bytes(counts.to_json())
        unfinished.replace(self._own)

    def add_others(self, counts: Counts) -> None:
        """Add what all other processes have written down."""
        for path in self._folder.glob(f"*{ENDING}"):
            if path != self._own:
                counts.add(Counts.from_json(path.read_bytes()))


def _as_plain(counted: "Counter[Labels] | Histogram") -> object:
    return counted.as_counts() if isinstance(counted, Histogram) else list(counted.items())
