"""How generations are published: where, for how long, how many stay, and how strict the gate is."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from api.contract.manifest import Layout
from batch.progress import Show, silent
from batch.publish.gate.thresholds import Thresholds
from batch.settings import Settings

GateMode = Literal["off", "warn", "on"]


def clock() -> int:
    """Return the time, epoch seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """What all ways to make a generation have in common.

    Attributes:
        root: Where each generation has a folder by its number.
        ttl_s: Life of the users' lists: a batch that stays dead leaves popular lists, not stale ones.
        kept: Sealed generations that stay for a variant, the current one included. With 1, a request that
            began before the promotion may miss its list and fall back.
        now: The clock, epoch seconds.
        progress: Told what is being written, how far, of how much.
        stage: Times a part of the work by its name.
        gate: `off`: nothing is asked; `warn`: the report goes into manifest and log, and nothing is held
            back; `on`: what the gate doubts is not served.
        ids: `text`: users' and posts' ids may be text though those of what is served are numbers.
        layout: How users' own lists stand in the store.
        sleep_days: Who saw and liked nothing new for so many days has empty lists; 0: nobody.
        limits: Where the gate draws its lines.
        plan_memory: Measure first, in two seconds, what a run will take in this store; refuse it where that
            does not fit, and put what was planned and taken into the manifest's counts.
        threads: Threads of what is scored while publishing: lists of topics; 0: all cores.
        memory_mb: MiB that this may take.
    """

    root: Path
    ttl_s: int
    kept: int
    now: Callable[[], int] = clock
    progress: Show = silent
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext
    gate: GateMode = "off"
    ids: Literal["", "text"] = ""
    layout: Layout = "text"
    sleep_days: int = 0
    limits: Thresholds = field(default_factory=Thresholds)
    plan_memory: bool = False
    threads: int = 0
    memory_mb: int = 2048

    @classmethod
    def of(
        cls,
        settings: Settings,
        progress: Show,
        stage: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> "PublishConfig":
        """Return what the settings say."""
        return cls(
            root=settings.state_dir / "generations",
            ttl_s=settings.list_ttl_s,
            kept=settings.generations_kept,
            progress=progress,
            stage=stage,
            gate=settings.gate,
            ids=settings.ids,
            layout=settings.layout,
            sleep_days=settings.sleep_days,
            plan_memory=True,
            threads=settings.threads,
            memory_mb=settings.memory_mb,
        )
