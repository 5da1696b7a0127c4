"""What a night has read and learnt, kept in the state folder for a run that goes on after one that died.

Facts are kept once they are read, under the number of the run; the model's name once it is trained. Whoever
begins within the hours of the setting after a run that did not end well takes both, where what they were made
from is still the same; so the lists come out as they would have.
"""

import hashlib
import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import orjson
import redis

import batch
from api.address import hide_password
from api.contract.buckets import moment
from batch.data.facts import Facts
from batch.data.forgotten import drop_forgotten, unite_forgotten
from batch.data.kept import FactsSpoilt, read_facts, write_facts
from batch.data.load import load_mapping, read_facts_now, work_folder
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.progress import Progress
from batch.runs.recorded import Record
from batch.settings import Settings
from batch.store.connection import events_location

log = logging.getLogger(__name__)

FOLDER, MODELS = "facts-read", "models"  # in the state folder
HOUR_S = 3600
From = Literal["", "read", "describe", "evaluate", "estimate", "train", "features", "publish"]
LEARNT = ("features", "publish")  # stages that come after the model
ANEW = ("read", "evaluate", "estimate", "train")  # who begins there wants a fit of the night's own
_READS = (  # settings that say which rows are facts
    "ids",
    "filter_by",
    "text_model",
    "max_rejected_share",
    "max_duplicate_share",
    "max_unknown_post_share",
    "max_future_share",
)


class NothingKept(ValueError):
    """A run was to begin in the middle, and nothing is there to begin from."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of kept facts; a JSON file beside their folder.

    Attributes:
        run: Number of the run that read them, and the folder's name.
        read_s: When, epoch seconds.
        key: Of where they come from and the settings that say which rows are facts.
        digest: Of the folder.
        model: Name of the model that was trained on them; empty before.
        model_key: Of what it was made from.
    """

    run: int
    read_s: int
    key: str
    digest: str
    model: str = ""
    model_key: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """What a run begins with: facts, the model where that is kept, and where the model will be noted."""

    facts: Facts
    model: Ranker | None
    kept: Kept | None
    model_key: str
    folder: Path

    def keep_model(self, model: Ranker) -> None:
        """Note the name of the model, which lies among the models of the state folder."""
        if self.kept is not None and _folder_of(self.folder, self.kept.run).is_dir():
            _save(self.folder, replace(self.kept, model=model.fingerprint, model_key=self.model_key))


def start_night(
    settings: Settings,
    store: redis.Redis,
    location: str,
    progress: Progress,
    record: Record,
    how: str,
    begin: From = "",
) -> Night:
    """Return the facts that a run is made from, read or kept, and the model where it is kept too.

    Args:
        settings: Of the run.
        store: Client of the store.
        location: Folder or URL of the facts.
        progress: Where to show the steps.
        record: Of the run, which has begun.
        how: What else the model depends on: the days of its test, as text.
        begin: Stage to begin at: what comes before it is taken from what is kept. Empty: as much as there
            is, after a run that did not end well; `read`: nothing is taken.

    Raises:
        NothingKept: There is nothing that it could begin from.
        SourceError: The facts cannot be read; TooManyRejected: too many of them are bad.
    """
    folder, hours = settings.state_dir / FOLDER, settings.resume_h
    _drop_old(folder, hours)
    key = key_of(settings, location)
    kept = _choose(folder, record, key, begin) if hours and begin != "read" else None
    facts = _take(settings, store, progress, record, kept)
    if facts is None:
        kept, facts = _read(settings, store, location, progress, record, key)
    model_key = _digest(kept.digest if kept else "", str(Recipe.of(settings)), how, digest_of_code())
    record.fingerprint = model_key[:16]
    model = _model(settings, kept, model_key, begin)
    return Night(facts, model, kept, model_key, folder)


def _read(
    settings: Settings, store: redis.Redis, location: str, progress: Progress, record: Record, key: str
) -> tuple[Kept | None, Facts]:
    """Read the facts, and keep them."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with work_folder(settings.state_dir) as work:
        facts = read_facts_now(settings, store, location, progress, work)
        if not settings.resume_h or record.number is None:
            return None, facts
        with progress.step("keep"):
            return _keep(settings.state_dir / FOLDER, facts, key, record.number), facts


def key_of(settings: Settings, location: str) -> str:
    """Return 64 hex digits of where facts come from, and of the settings that say which rows are facts."""
    events = hide_password(events_location(settings))
    return _digest(events, digest_of_source(settings, location), digest_of_code())


def digest_of_source(settings: Settings, location: str) -> str:
    """Return 64 hex digits of where tables come from, and of the settings that say which rows are facts."""
    chosen = str([getattr(settings, name) for name in _READS])
    return _digest(hide_password(location), repr(load_mapping(settings)), chosen)


def digest_of_code() -> str:
    """Return 64 hex digits of the batch's sources: other code may read or learn otherwise."""
    root = Path(batch.__path__[0])
    return _digest(*(path.read_text("utf-8") for path in sorted(root.rglob("*.py"))))


def forget_kept(state_dir: Path) -> bool:
    """Remove kept facts, since somebody is forgotten; return whether there were any."""
    was = (state_dir / FOLDER).is_dir()
    shutil.rmtree(state_dir / FOLDER, ignore_errors=True)
    return was


def prune_models(state_dir: Path, n_kept: int) -> None:
    """Remove all but the newest `n_kept` models."""
    models = sorted((state_dir / MODELS).glob("*"), key=lambda path: path.stat().st_mtime)
    for path in models[:-n_kept]:
        shutil.rmtree(path, ignore_errors=True)


def _choose(folder: Path, record: Record, key: str, begin: From) -> Kept | None:
    """Return the kept facts that this run may take; None where it should read.

    Raises:
        NothingKept: It was told to take some.
    """
    kept = _load(folder)
    if begin:
        if kept is None:
            raise NothingKept(
                f"--from {begin} needs facts that a run has kept, and there are none: leave it out"
            )
        if kept.key != key:
            raise NothingKept(
                f"--from {begin} cannot take the kept facts, which were read from elsewhere, or by other "
                "settings or code: leave it out"
            )
        return kept
    last = record.before
    if kept is None or kept.key != key or last is None:
        return None
    since = record.runs.between(last.kind, last.variant, kept.run, last.number)
    died = all(
        run.outcome not in (None, "done") and run.resumes for run in since
    )  # all that came after it, too
    return kept if died and kept.run in [run.number for run in since] else None


def _take(
    settings: Settings, store: redis.Redis, progress: Progress, record: Record, kept: Kept | None
) -> Facts | None:
    """Read kept facts; None where there are none, they are spoilt, or one of their users is forgotten."""
    if kept is None:
        return None
    folder = settings.state_dir / FOLDER
    forgotten = unite_forgotten(store, settings.keys, settings.state_dir)
    record.keep("read")
    progress.skip("read", "keep")
    try:
        with progress.step("read") as advance:
            facts = read_facts(_folder_of(folder, kept.run), kept.digest)
            advance(len(facts.time))
    except (FactsSpoilt, OSError) as exc:
        log.warning("facts.spoilt", extra={"why": str(exc)})
        forget_kept(settings.state_dir)
        return None
    if drop_forgotten(facts, forgotten) is not facts:
        forget_kept(settings.state_dir)
        return None
    record.tell(resumed_from=kept.run)
    as_of = moment(facts.as_of_s).isoformat()
    log.warning("run.resumed", extra={"run": record.number, "facts_of_run": kept.run, "as_of": as_of})
    return facts


def _model(settings: Settings, kept: Kept | None, model_key: str, begin: From) -> Ranker | None:
    """Return the model that was trained on the kept facts, by the same settings and code.

    Raises:
        NothingKept: It is to be taken, and there is none.
    """
    found = None
    if kept is not None and kept.model and kept.model_key == model_key and begin in ("", *LEARNT):
        found = Ranker.load(settings.state_dir / MODELS / kept.model)
    if found is None and begin in LEARNT:
        raise NothingKept(
            f"--from {begin} needs a model that was trained on the kept facts by these settings and this "
            "code, and there is none: begin --from train"
        )
    return found


def _keep(folder: Path, facts: Facts, key: str, run: int) -> Kept | None:
    """Write facts for whoever goes on from them, in the place of older ones; None where they cannot be."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        digest = write_facts(facts, _folder_of(folder, run))
        facts.release()
        kept = Kept(run, int(time.time()), key, digest)
        _save(folder, kept)
    except (OSError, ValueError, TypeError) as exc:
        log.warning("facts.unkept", extra={"why": str(exc)})
        return None
    return kept


def _drop_old(folder: Path, hours: float) -> None:
    kept = _load(folder)
    if folder.is_dir() and (kept is None or not 0 <= time.time() - kept.read_s < hours * HOUR_S):
        shutil.rmtree(folder, ignore_errors=True)


def _load(folder: Path) -> Kept | None:
    try:
        return Kept(**orjson.loads((folder / "kept.json").read_bytes()))
    except (OSError, TypeError, orjson.JSONDecodeError):
        return None


def _save(folder: Path, kept: Kept) -> None:
    part = folder / "kept.json.part"
    part.write_bytes(orjson.dumps(asdict(kept)))
    part.replace(folder / "kept.json")


def _folder_of(folder: Path, run: int) -> Path:
    return folder / str(run)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
