"""What is known of a run and of its stages, as values; nothing here opens a file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal[
    "full",
    "refresh",
    "preprocess",
    "train",
    "drain",
    "retire",
    "backfill",
    "publish",
    "prepare",
    "shard",
    "seal",
]
Asker = Literal["hand", "schedule", "http"]
# `stopped`: by SIGTERM, Ctrl-C or its deadline; `cancelled`: somebody asked; `lost`: its process is gone.
Outcome = Literal["done", "failed", "cancelled", "stopped", "lost"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who began a run, and the time of the schedule that it stands for, epoch seconds; None by hand."""

    by: Asker = "hand"
    slot_s: int | None = None


BY_HAND = Asked()


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run, which has ended.

    Attributes:
        name: As `batch.progress.WORDS` has it: `read`, `estimate`, `publish` …
        fingerprint: Of what it was computed from; empty where nobody asks.
        begun_s: When, epoch seconds.
        seconds: Wall time, without that of stages inside of it.
        cpu_s: CPU time of this process meanwhile, all threads, without that of stages inside of it.
        peak_mb: Most memory that this process had held by its end, MiB.
        rows: What its bar counted: rows read, trees grown, users written.
        outcome: `done`, `kept` where the result of an earlier run was taken, or `failed`.
    """

    name: str
    fingerprint: str
    begun_s: float
    seconds: float
    cpu_s: float
    peak_mb: int
    rows: int
    outcome: Literal["done", "kept", "failed"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its record has it.

    Attributes:
        number: Counts from 1.
        kind: What was run.
        variant: Under which name it publishes.
        slot_s: The time of the schedule that it stands for, epoch seconds; None by hand.
        asked_by: Who began it.
        host: Where it runs.
        pid: Its process there.
        begun_s: When it began, epoch seconds.
        ended_s: When it ended; of a lost one, when it was last heard of; None while it runs.
        outcome: How it ended; None while it runs.
        why: One sentence where it did not end well.
        exit_code: Of its error; None where there is none.
        generation: What it published.
        as_of_s: Its newest fact, epoch seconds.
        chosen: Of a full run of our own model what is published of it, and why: one sentence.
        resumes: Another run may go on from what it had read, since the facts were not to blame.
        resumed_from: Number of the run whose facts it took.
        log: File of its log lines.
        stage: Where it is, or was last.
        done: How far in that stage.
        total: Of how much; None where that is unknown.
        seen_s: When it was last heard of, epoch seconds.
        stop: How it is to end, where somebody has asked for that: `cancelled` or `stopped`.
        made: What it was made of and what came of it: `parameters`, its settings but for secrets; `facts`,
            `model` and `root`, checksums of what it read, of its model and of its generation; `metrics`.
            Each stands there once it is known.
        stages: In the order in which they ended; empty in lists.
    """

    number: int
    kind: Kind
    variant: str
    slot_s: int | None
    asked_by: Asker
    host: str
    pid: int
    begun_s: float
    ended_s: float | None
    outcome: Outcome | None
    why: str
    exit_code: int | None
    generation: int | None
    as_of_s: int | None
    chosen: str
    resumes: bool
    resumed_from: int | None
    log: str
    stage: str
    done: int
    total: int | None
    seen_s: float
    stop: Outcome | None
    made: Mapping[str, Any]
    stages: tuple[Stage, ...] = ()


def describe_run(run: Run) -> dict[str, Any]:
    """Return a run for JSON: times as text, seconds it took, whether it goes on."""
    values = asdict(run)
    for name in ("begun", "ended", "seen", "slot", "as_of"):
        values[name] = _time(values.pop(f"{name}_s"))
    end_s = run.seen_s if run.ended_s is None else run.ended_s
    return {**values, "outcome": run.outcome or "running", "took_s": round(end_s - run.begun_s, 3)}


def _time(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
