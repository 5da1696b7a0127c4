"""The job behind `almanac features`: facts to training rows in a folder."""

from dataclasses import dataclass
from pathlib import Path

from api.contract.buckets import moment
from batch.data.load import read_facts
from batch.features import asof
from batch.learn.given import write_rows
from batch.learn.recipe import Recipe
from batch.learn.train import training_rows
from batch.progress import Progress
from batch.settings import Settings


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, as its JSON says it."""

    out: str
    as_of: str
    rows: int
    likes: int
    features: int
    seconds: dict[str, float]


def write_features(settings: Settings, location: str, out: Path, progress: Progress) -> Written:
    """Write the rows on which a run would train its trees.

    Raises:
        SourceError: The facts cannot be read; TooManyRejected: too many of them are bad.
        ValueError: They hold nothing to train on.
    """
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
    with progress.step("describe"):
        statics = asof.describe(facts, settings.seed)
    with progress.step("features"):
        estimates, rows = training_rows(facts, statics, facts.as_of_s, Recipe.of(settings))
    with progress.step("write"):
        write_rows(out, estimates.shown, statics, rows)
    return Written(
        str(out),
        moment(facts.as_of_s).isoformat(),
        len(rows.y),
        int(rows.y.sum()),
        len(statics.features),
        progress.seconds,
    )
