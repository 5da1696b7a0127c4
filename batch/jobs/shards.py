"""A night in shards: prepared once, its users scored and written by any number of processes, sealed once."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from batch.jobs.assemble import Publication, score_lists
from batch.jobs.full import PublishBy
from batch.jobs.night import Connect, begun
from batch.progress import Progress, Show
from batch.publish.config import PublishConfig
from batch.publish.proof.inputs import Inputs
from batch.publish.publish import Keep
from batch.publish.sharded.ledger import need_open
from batch.publish.sharded.prepare import prepare
from batch.publish.sharded.seal import seal_shards
from batch.publish.sharded.shard import Shard, write_shard
from batch.publish.store import GenerationStore
from batch.runs.recorded import recorded
from batch.runs.runs import Runs
from batch.score.ranked import RankedBlock
from batch.settings import Settings

FOLDER = "prepared"  # in the state folder, where nothing else is told


def place_of(settings: Settings, to: str) -> str:
    """Return where what is prepared goes: as told, else into the state folder."""
    return to or str((settings.state_dir / FOLDER).absolute())


def parse_shard(text: str) -> tuple[int, int]:
    """Read a shard such as 2/4: its number, from 1 on, and how many there are.

    Raises:
        ValueError: It is none.

    >>> parse_shard("2/4")
    (2, 4)
    """
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise ValueError(f"--shard {text!r} is no shard: give such as 2/4, the second of four")
    return int(number), int(of)


def prepare_by(n_shards: int, to: str) -> PublishBy:
    """Return what makes of a publication a generation that waits for shards, for `night.run_full`."""

    def publish_by(
        settings: Settings, generations: GenerationStore, tonight: Publication, keep: Keep, progress: Progress
    ) -> Manifest:
        with progress.phases("prepare") as show:
            config = PublishConfig.of(settings, show, progress.step)
            where = place_of(settings, to)
            return prepare(
                generations, tonight.content, tonight.inputs, config, keep, n_shards=n_shards, to=where
            )

    return publish_by


def run_shard(
    settings: Settings,
    connect: Connect,
    shard: tuple[int, int],
    progress: Progress,
    *,
    generation: int | None = None,
) -> Shard:
    """Score and write one shard of the generation that waits, and keep the record of it.

    Any number of them may run at once, on any hosts that reach the store and what was prepared.

    Args:
        settings: Frozen settings of this run; those that say what lists are were settled by `prepare`.
        connect: Gives a client of the store.
        shard: Its number, from 1 on, and how many there are.
        progress: Where to show the steps.
        generation: Whose; None: the newest of the variant that waits.

    Raises:
        NothingPrepared: None waits.
        ValueError: It was prepared for another number of shards.
        RuntimeError: What `write_shard` raises.
    """
    runs = Runs(settings.state_dir)
    with (
        recorded(runs, progress, "shard", settings.variant, kept=settings.runs_kept) as record,
        connect() as store,
        progress.phases("publish") as show,
    ):
        generations = GenerationStore(store, settings.keys)
        written = write_one(settings, generations, shard, show, progress, generation=generation)
        record.tell(generation=written.generation)
    return written


def write_one(
    settings: Settings,
    generations: GenerationStore,
    shard: tuple[int, int],
    show: Show,
    progress: Progress,
    *,
    generation: int | None = None,
) -> Shard:
    """Do what `run_shard` does, without a record."""
    prepared = need_open(generations, settings.variant, generation)
    if prepared.n_shards != shard[1]:
        raise ValueError(
            f"--shard {shard[0]}/{shard[1]}: generation {prepared.generation} was prepared for "
            f"{prepared.n_shards} shards"
        )
    config = PublishConfig.of(settings, show, progress.step)
    return write_shard(generations, prepared, shard[0], config, partial(_score, settings))


def run_seal(
    settings: Settings, connect: Connect, progress: Progress, *, generation: int | None = None
) -> dict[str, Any]:
    """Join the shards of the generation that waits, judge and promote it, and keep the record of it.

    Returns:
        What it says as JSON.

    Raises:
        RuntimeError: What `seal_shards` raises.
    """
    with begun(settings, connect, progress, "seal") as (record, store):
        manifest = seal_here(settings, GenerationStore(store, settings.keys), progress, generation)
        result: dict[str, object] = {
            "generation": manifest.generation,
            "variant": manifest.variant,
            "as_of": moment(manifest.as_of_s).isoformat(),
            "lists_written": manifest.counts["lists"],
            "model": manifest.model,
            "root": manifest.root,
            "seconds": progress.seconds,
        }
        record.result = result
        record.tell(generation=manifest.generation, as_of_s=manifest.as_of_s)
    return result


def seal_here(
    settings: Settings, generations: GenerationStore, progress: Progress, generation: int | None
) -> Manifest:
    """Seal in this process."""
    with progress.phases("seal") as show:
        config = PublishConfig.of(settings, show, progress.step)
        return seal_shards(generations, settings.variant, generation, config)


def _score(settings: Settings, inputs: Inputs, depth: int) -> Iterator[RankedBlock]:
    return score_lists(settings, inputs, depth)
