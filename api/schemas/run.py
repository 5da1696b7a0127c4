"""What is said of runs that were asked for, and what asks for them."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel

from api.contract.asked import ID, Pipeline, State, Told
from api.contract.buckets import moment

Name = Annotated[
    Pipeline,
    Path(
        description="What to run: `full`, `refresh`, or a full run in parts: `preprocess` reads the facts, "
        "`train` trains on them, `infer` scores and publishes, each from what the one before it left.",
        examples=["full"],
    ),
]
RunId = Annotated[
    str,
    Path(
        description="The `id` that asking for the run gave; of a scheduled run its number.",
        pattern=f"^{ID.pattern}$",
        examples=["1764468000123-0"],
    ),
]


class Run(BaseModel):
    """A run: whether it waits, how far it is or how it ended, and its last log lines."""

    id: str
    pipeline: str
    state: State
    run: int | None
    stage: str
    done: int
    total: int | None
    began_at: datetime | None
    ended_at: datetime | None
    why: str
    generation: int | None
    log: list[str]


def as_run(told: Told) -> Run:
    """Return what is known of a run as it is answered."""
    return Run(
        id=told.id,
        pipeline=told.pipeline,
        state=told.state,
        run=told.run,
        stage=told.stage,
        done=told.done,
        total=told.total,
        began_at=None if told.begun_s is None else moment(int(told.begun_s)),
        ended_at=None if told.ended_s is None else moment(int(told.ended_s)),
        why=told.why,
        generation=told.generation,
        log=list(told.log),
    )
