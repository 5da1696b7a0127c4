"""Facts as commands load them: where settings say, with the live events that the API accepted."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from batch.data import movielens
from batch.data.columns import FEED, TOPIC
from batch.data.facts import Facts, Report
from batch.data.forgotten import (
    Forgotten,
    drop_forgotten,
    drop_forgotten_live,
    load_forgotten,
    unite_forgotten,
)
from batch.data.kept import columns_of
from batch.data.live.accepted import drain_accepted
from batch.data.live.events import read_live
from batch.data.live.unite import unite
from batch.data.look.look import Looked, look
from batch.data.mapped import MappedColumns, write_columns
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.sentences import embed_texts
from batch.data.source import Source, open_tables
from batch.data.validation.rejects import Limits, drop_rejects
from batch.data.write import refuse_taken, tables_of, write
from batch.memory import give_back
from batch.progress import Advance, Progress
from batch.settings import Settings
from batch.store.connection import events_location

log = logging.getLogger(__name__)

WORK, HOUR_S = "events-", 3600  # folders of runs that read


def load_mapping(settings: Settings, name: str = "") -> Mapping:
    """Load the settings' mapping, or another one, with the columns of posts that they filter by.

    Raises:
        ValueError: It is none.
    """
    further = tuple(column for column in settings.filter_columns if column != TOPIC)
    return Mapping.load(name or settings.mapping, further)


def read_facts_now(
    settings: Settings, store: redis.Redis, location: str, progress: Progress, work: Path | None = None
) -> Facts:
    """Read the facts, the live events among them, as a run begins; of forgotten users none.

    The events lie in a file, so that they take memory only while they are read: in the folder `work`, where
    it stays, or in the state folder, where it ends with the last of them.

    Raises:
        SourceError: They cannot be read; TooManyRejected: too many of them are bad.
        OtherKey: The state folder is another store's.
    """
    forgotten = unite_forgotten(store, settings.keys, settings.state_dir)
    with progress.step("read") as advance:
        facts = _with_live(settings, store, read_facts(settings, location, advance), forgotten)
        if work is not None:
            facts = _map_events(facts, work)
        else:
            with work_folder(settings.state_dir) as own:
                facts = _map_events(facts, own)
        give_back()
        return facts


@contextmanager
def work_folder(state_dir: Path) -> Iterator[Path]:
    """Give a folder for the events' file, and remove it, and those that killed processes left."""
    for left in state_dir.glob(f"{WORK}*"):
        if left.stat().st_mtime < time.time() - HOUR_S:  # nobody writes for so long
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=WORK, dir=state_dir) as name:
        yield Path(name)


def _map_events(facts: Facts, folder: Path) -> Facts:
    """Return the facts with their events in a file of a folder; the file may be removed then."""
    path = folder / "events.arrow"
    write_columns(path, columns_of(facts))
    mapped = MappedColumns(path)
    return replace(facts, **mapped.columns, mapped=mapped)  # type: ignore[arg-type] # by their names


def refuse_absent(settings: Settings, location: str) -> None:
    """Refuse a location without facts before anything is started for them; nothing is read.

    Raises:
        SourceError: There is no such folder, file, server or table, or they are `ml-100k` without recbole.
        ValueError: The mapping is none.
    """
    if location == movielens.NAME:
        movielens.find_files()
        return
    mapping = load_mapping(settings)
    with open_tables(location, settings.database_stall_s, mapping) as tables:
        Source(tables, mapping, lambda _n: None).has(FEED)


def read_facts(settings: Settings, location: str, advance: Advance) -> Facts:
    """Read and check facts as settings say, without users whom the state folder knows to be forgotten.

    Live events are not among them.

    Raises:
        SourceError: They cannot be read, or are `ml-100k` and recbole is not there; TooManyRejected: too many
            of them are bad.
        ValueError: The text model is none; LookupError: what reads it is not installed.
    """
    return embed_texts(_read(settings, location, advance), settings.text_model)


def copy_facts(
    settings: Settings, source: str, target: str, advance: Advance, *, replace: bool = False
) -> Report:
    """Read and check facts, and write them in our own schema; the counts of what was read come back.

    Takes the memory of the facts, and of a chunk. A refused source leaves the target as it was.

    Raises:
        SourceError: Source or target cannot be reached, or the target holds facts and `replace` is False.
        TooManyRejected: More event rows than allowed were rejected.
        ValueError: The mapping weighs events.
    """
    if not replace:
        refuse_taken(target, settings.database_stall_s)
    facts = _read(settings, source, advance)
    if facts.weight is not None:
        raise ValueError(
            "tables of our own schema hold no weights of events: let runs read the source itself"
        )
    stall_s = settings.database_stall_s
    write(target, tables_of(facts), replace=replace, stall_s=stall_s, advance=advance)
    return facts.report


def look_at(settings: Settings, location: str, mapping_file: str, advance: Advance) -> Looked:
    """Say what an import would read and reject; without a mapping in the settings one is guessed.

    Args:
        settings: The mapping's name, and how long to wait.
        location: A folder, or a SQLAlchemy URL.
        mapping_file: New file to write the guessed mapping to; empty: none.
        advance: Called with the number of rows read since its last call.

    Raises:
        SourceError: The location is not there, or cannot be reached.
        ValueError: The file is there already, or a mapping is given, so that there is none to guess.
    """
    if mapping_file and settings.mapping:
        raise ValueError(f"--mapping {settings.mapping} is given: leave it out to have one guessed")
    if mapping_file and Path(mapping_file).exists():
        raise ValueError(f"{mapping_file} is there already: give the name of a new file to --write-mapping")
    rejects = settings.state_dir / "rejects.jsonl"
    looked = look(
        location,
        load_mapping(settings) if settings.mapping else None,
        rejects=rejects,
        limits=Limits.of(settings),
        now_s=int(time.time()),
        stall_s=settings.database_stall_s,
        advance=advance,
    )
    _drop_rejects(rejects, load_forgotten(settings.state_dir))
    if mapping_file:
        Path(mapping_file).write_text(looked.mapping, "utf-8")
    return looked


def find_source(settings: Settings, location: str) -> tuple[str, Mapping]:
    """Return where the tables of a location lie, and their mapping; `ml-100k` becomes tables first.

    Raises:
        SourceError: They are `ml-100k` and recbole is not there.
        ValueError: The mapping is none.
    """
    if location != movielens.NAME:
        return location, load_mapping(settings)
    folder = settings.state_dir / "data" / movielens.NAME
    movielens.write_tables(movielens.find_files(), folder)
    return str(folder), load_mapping(settings, settings.mapping or movielens.NAME)


def _read(settings: Settings, location: str, advance: Advance) -> Facts:
    location, mapping = find_source(settings, location)
    rejects, forgotten = settings.state_dir / "rejects.jsonl", load_forgotten(settings.state_dir)
    try:
        facts = read(
            location,
            mapping=mapping,
            rejects=rejects,
            limits=Limits.of(settings),
            now_s=int(time.time()),
            stall_s=settings.database_stall_s,
            advance=advance,
        )
    finally:
        _drop_rejects(rejects, forgotten)
    return drop_forgotten(facts, forgotten)


def _drop_rejects(path: Path, forgotten: Forgotten) -> None:
    """Take forgotten users out of a file of rejected rows, which say no kind of ids."""
    if forgotten.tombstones:
        drop_rejects(path, lambda text: forgotten.holds(text, "numbers") or forgotten.holds(text, "text"))


def _with_live(settings: Settings, store: redis.Redis, facts: Facts, forgotten: Forgotten) -> Facts:
    """Drain what the API accepted into its own table, and unite that with the facts."""
    drained = drain_accepted(settings, store)
    live = read_live(events_location(settings), settings.database_stall_s)
    live = drop_forgotten_live(live, forgotten, facts.user_names.kind)
    united = unite(facts, live, load_mapping(settings).like_within_s)
    counts = {**drained._asdict(), "n_in_facts": united.n_new, "n_unknown": united.n_unknown}
    log.info("events.united", extra=counts)
    return united.facts
