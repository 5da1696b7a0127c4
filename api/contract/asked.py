"""A run that is asked for over HTTP: what the API asks, and what the batch's scheduler says of a run.

What may live here: names, and how both are written and read. No I/O, no clock.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal, get_args

import orjson

from api.contract.buckets import DAY_S

Pipeline = Literal["full", "refresh", "preprocess", "train", "infer"]
State = Literal["waiting", "running", "done", "failed", "cancelled", "stopped", "lost"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled", "stopped", "lost"})
PIPELINES: tuple[Pipeline, ...] = get_args(Pipeline)

MOST_WAITING = 16
WAITS_S = DAY_S  # after the last was asked for, all that still wait are forgotten
TOLD_S = DAY_S  # and what is told of a run, after it was told last
SILENT_S = 15  # a run of which nothing was heard for so long, and that nobody holds, is lost
ID = re.compile(r"[0-9]{1,16}(-[0-9]{1,8})?")  # of its entry in the queue; a scheduled run's is its number

Entry = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Ask:
    """An entry of the queue: begin a pipeline, or end the run of an id.

    >>> Ask(pipeline="full").to_fields(), Ask.from_fields({b"cancel": b"17-0"})
    ({'pipeline': 'full'}, Ask(pipeline=None, cancel='17-0'))
    """

    pipeline: Pipeline | None = None
    cancel: str = ""

    def to_fields(self) -> dict[str, str]:
        """Return the fields of its entry in the stream."""
        return {"cancel": self.cancel} if self.pipeline is None else {"pipeline": self.pipeline}

    @classmethod
    def from_fields(cls, entry: Entry) -> "Ask":
        """Read what `to_fields` wrote.

        Raises:
            ValueError: It is neither.
        """
        told = {name.decode(): value.decode() for name, value in entry.items()}
        for pipeline in PIPELINES:
            if told.get("pipeline") == pipeline:
                return cls(pipeline=pipeline)
        if not ID.fullmatch(told.get("cancel", "")):
            raise ValueError(f"{told} asks for no pipeline and ends no run")
        return cls(cancel=told["cancel"])


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a run; times are epoch seconds.

    Attributes:
        id: Of its entry in the queue; of a run that the schedule began, its number in the record.
        pipeline: What was asked for; of a scheduled one, its kind.
        state: Where it is, or how it ended.
        told_s: When this was told.
        run: Its number in the record of the batch; None while it waits.
        stage: In which stage it is, or was last.
        done: How far in that stage.
        total: Of how much; None where that is unknown.
        begun_s: When it began.
        ended_s: When it ended.
        why: One sentence where it did not end well.
        generation: What it published.
        log: Its last log lines, JSON each.
    """

    id: str
    pipeline: str
    state: State
    told_s: float
    run: int | None = None
    stage: str = ""
    done: int = 0
    total: int | None = None
    begun_s: float | None = None
    ended_s: float | None = None
    why: str = ""
    generation: int | None = None
    log: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return it as it stands in the store."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> "Told":
        """Read what `to_json` wrote; fields of a later version are passed over.

        Raises:
            ValueError: It is no such text.
        """
        told = orjson.loads(text)
        known = {field.name: told[field.name] for field in fields(cls) if field.name in told}
        return cls(**{**known, "log": tuple(known.get("log", ()))})

    def judged(self, now_s: float, running: int | None) -> "Told":
        """Return it as lost where nothing was heard of it for long and another run, or none, goes on.

        >>> Told("1-0", "full", "running", told_s=100, run=7).judged(200, running=None).state
        'lost'
        """
        if self.state != "running" or self.run == running or now_s - self.told_s <= SILENT_S:
            return self
        return replace(self, state="lost", why="its process is gone: see `almanac runs list` where it ran")


@dataclass(frozen=True, slots=True)
class Going:
    """The run that goes on, as its key says it.

    Attributes:
        run: Its number in the record of its host.
        kind: What is run.
        host: Where.
        pid: Its process there.
        since_s: When it began, epoch seconds.
    """

    run: int | None
    kind: str
    host: str
    pid: int
    since_s: int

    @classmethod
    def from_json(cls, text: bytes) -> "Going":
        """Read it.

        Raises:
            ValueError: It is no such text.
        """
        try:
            told = orjson.loads(text)
            return cls(*(told[field.name] for field in fields(cls)))
        except (TypeError, KeyError) as exc:
            raise ValueError(f"{text!r} names no run") from exc
