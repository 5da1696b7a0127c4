"""Backfill: generations for a past period, each from the facts as they stood then and from no later one."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from api.contract.buckets import moment
from batch.data.cut import as_they_stood
from batch.data.facts import Facts
from batch.data.forgotten import drop_forgotten_live, load_forgotten
from batch.data.live.events import LiveEvents, read_live
from batch.data.live.unite import unite
from batch.data.load import load_mapping, read_facts
from batch.features import asof
from batch.jobs.assemble import assemble_publication
from batch.learn.baselines.named import find_baseline
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.progress import Progress
from batch.publish.backfilled import FOLDER, Backfilled, list_backfilled, save_backfilled
from batch.publish.config import PublishConfig
from batch.publish.recall import recall
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store.connection import events_location

EVERY_S = {"h": 3600, "d": 86_400}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Period:
    """Moments to make generations for: from the first to the last, both included; epoch seconds."""

    from_s: int
    to_s: int
    every_s: int

    def __post_init__(self) -> None:
        """Refuse a period without a moment.

        Raises:
            ValueError: It ends before it begins, or makes more than a year of hours.
        """
        if self.to_s < self.from_s:
            raise ValueError(f"--to {moment(self.to_s)} lies before --from {moment(self.from_s)}")
        if len(self.moments) > 366 * 24:
            raise ValueError(
                f"{len(self.moments)} generations are more than a year of hours: take a shorter period"
            )

    @property
    def moments(self) -> range:
        """Return every as_of, ascending."""
        return range(self.from_s, self.to_s + 1, self.every_s)


def parse_step(text: str) -> int:
    """Read a step such as 1h, 6h or 1d as seconds.

    Raises:
        ValueError: It is none.

    >>> parse_step("6h"), parse_step("1d")
    (21600, 86400)
    """
    number, unit = text[:-1], text[-1:]
    if unit not in EVERY_S or not number.isdigit() or not int(number):
        raise ValueError(f"--every {text!r} is no step: give hours or days, such as 1h or 1d")
    return int(number) * EVERY_S[unit]


def folder_of(settings: Settings) -> Path:
    """Return where generations of the past lie."""
    return settings.state_dir / FOLDER


def backfill(settings: Settings, location: str, period: Period, progress: Progress) -> list[Backfilled]:
    """Make the generations of a period on disk, oldest first; what is there for a moment is made anew.

    Each is trained, scored and ranked as a run at that moment would have done it, without evaluation or gate.

    Raises:
        SourceError: The facts cannot be read; TooManyRejected: too many of them are bad.
        ValueError: What lies before a moment cannot train a model; those before it are made. Or the variant
            is a baseline's, which has no past.
    """
    if find_baseline(settings.variant) is not None:
        raise ValueError(f"ALMANAC_VARIANT={settings.variant} is a peer's: only our own model is backfilled")
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
        every = read_live(events_location(settings), settings.database_stall_s)
        live = drop_forgotten_live(every, load_forgotten(settings.state_dir), facts.user_names.kind)
    made = []
    with progress.step("backfill", len(period.moments)) as advance:
        for as_of_s in period.moments:
            made.append(make(settings, facts, live, as_of_s, created_at_s=int(time.time())))
            log.info(
                "generation.backfilled", extra={"number": made[-1].manifest.generation, "as_of_s": as_of_s}
            )
            advance(1)
    return made


def make(settings: Settings, facts: Facts, live: LiveEvents, as_of_s: int, created_at_s: int) -> Backfilled:
    """Make one generation on disk as of a moment.

    Raises:
        ValueError: The facts before it cannot train a model.
    """
    stood = _cut(facts, live, as_of_s, load_mapping(settings).like_within_s)
    statics = asof.describe(stood, settings.seed)
    model = train(stood, statics, as_of_s, Recipe.of(settings)).model
    unexplored = settings.replace(explore="")  # nothing is learnt from answers of the past
    then = assemble_publication(unexplored, stood, statics, model, as_of_s)
    return save_backfilled(folder_of(settings), then.content, then.lists, then.inputs, created_at_s)


def parse_numbers(text: str, made: Sequence[Backfilled]) -> list[int]:
    """Read which generations to load: numbers with commas between, or all of them.

    Raises:
        ValueError: A part is no number.
    """
    if text == "all":
        return [one.manifest.generation for one in made]
    parts = [part.strip() for part in text.split(",") if part.strip()]
    bad = [part for part in parts if not part.isdigit()]
    if bad:
        raise ValueError(
            f"--load {bad[0]!r} is no number of a backfilled generation: give such as 1,2,5, or all"
        )
    return [int(part) for part in parts]


def load(
    settings: Settings, store: redis.Redis, numbers: Sequence[int], progress: Progress
) -> dict[int, int]:
    """Write generations that are on disk into the store; return their numbers there, by number on disk.

    Raises:
        LookupError: One of them is not on disk, or nothing is served yet.
        StoreUnfit: The store has no room for one; those before it are there.
        LeaseTaken: A run is publishing.
    """
    there = {
        made.manifest.generation: made for made in list_backfilled(folder_of(settings), settings.variant)
    }
    missing = [number for number in numbers if number not in there]
    if missing:
        raise LookupError(
            f"--load {missing[0]} names no backfilled generation: there are {sorted(there) or 'none'}"
        )
    loaded, generations = {}, GenerationStore(store, settings.keys)
    with progress.phases("load") as show:
        config = PublishConfig.of(settings, show, progress.step)
        for number in numbers:
            loaded[number] = recall(generations, there[number], config)
    return loaded


def describe(made: Sequence[Backfilled], loaded: dict[int, int]) -> Iterator[dict[str, Any]]:
    """Yield a line of JSON for each generation on disk; `generation` is its number in the store."""
    for one in made:
        manifest = one.manifest
        yield {
            "number": manifest.generation,
            "as_of": moment(manifest.as_of_s).isoformat(),
            "users": manifest.counts["users"],
            "lists": manifest.counts["lists"],
            "model": manifest.model,
            "generation": loaded.get(manifest.generation),
        }


def _cut(facts: Facts, live: LiveEvents, as_of_s: int, like_within_s: int) -> Facts:
    """Return what a run at a moment would have read: live events count from when they were accepted."""
    accepted_then = live.where((live.accepted <= as_of_s) & (live.time <= as_of_s))
    return unite(as_they_stood(facts, as_of_s, like_within_s), accepted_then, like_within_s).facts
