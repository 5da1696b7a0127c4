"""Forget one user, top to bottom: tombstone, store, generations, models, events, the store's log."""

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from api.contract.ids import Kind, canonical, check_id
from batch.data.forgotten import unite_forgotten
from batch.data.ids import encode_ids
from batch.data.live.accepted import drain_accepted
from batch.data.live.delete import delete_live
from batch.data.validation.rejects import drop_rejects
from batch.jobs.resume import forget_kept
from batch.learn.ranker import drop_users
from batch.overview.kept import forget_in_overviews
from batch.progress import Progress
from batch.publish.backfilled import FOLDER
from batch.publish.forget.generations import find_kinds, forget_everywhere
from batch.publish.forget.store import forget_notes, forget_sets, renew_streams
from batch.publish.store import GenerationStore
from batch.runs.forget import forget_told
from batch.runs.runs import Runs
from batch.settings import Settings
from batch.store.connection import events_location
from batch.store.lease import hold
from batch.store.log import rewrite_log

log = logging.getLogger(__name__)

UNTOUCHED = "the facts' own tables are as they were: delete the user there; until then runs leave them out"
POSTGRES = "PostgreSQL keeps deleted rows until its next VACUUM, and in its own log and backups"
ELSEWHERE = "files of generations {} are not on this disk: run this where ALMANAC_STATE_DIR holds them, too"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was touched, as its JSON says it; never the user's id.

    Attributes:
        known: Whether anything of the user was found.
        touched: Place to how many of its things are gone.
        generations: Generations in the store that held lists of the user.
        remains: What could not be done here, a sentence each.
        untouched: What is not ours to delete.
        seconds: Step to its seconds.
    """

    known: bool
    touched: dict[str, int]
    generations: tuple[int, ...]
    remains: tuple[str, ...]
    untouched: str
    seconds: dict[str, float]


def forget(settings: Settings, client: redis.Redis, user_id: str, progress: Progress) -> Outcome:
    """Take all that is kept of a user out of store, folders and events' database; leave a tombstone.

    Of all variants, under the lease. It can be done twice, after a kill, and of a user nobody knows.

    Raises:
        ValueError: That is no user id.
        OtherKey: The state folder is another store's.
        LeaseTaken: A run is publishing.
        SourceError: The events' database cannot be written; run it again.
    """
    check_id(user_id)
    store, state_dir = GenerationStore(client, settings.keys), settings.state_dir
    root, backfilled = state_dir / "generations", state_dir / FOLDER
    kinds: set[Kind] = {
        "text",
        *find_kinds(store, [root, backfilled]),
    }  # an event may come before any of them
    forms = sorted({canonical(user_id, kind) for kind in kinds})

    def is_gone(text: str) -> bool:
        return any(canonical(text, kind) in forms for kind in kinds)

    state_dir.mkdir(parents=True, exist_ok=True)
    url = events_location(settings)
    with (
        progress.phases("forget") as show,
        hold(client, store.keys.lease(), int(time.time()), show) as lease,
    ):
        unite_forgotten(client, store.keys, state_dir, forms)  # from here on the API records nothing of them
        drain_accepted(settings, client)
        renew_streams(store)
        deleted = delete_live(url, is_gone, settings.database_stall_s)
        touched = {"seen sets": forget_sets(store, forms), "events": len(deleted.event_ids)}
        touched["events' notes"] = forget_notes(store, deleted.event_ids)
        touched["exposures"] = deleted.n_exposures
        found = forget_everywhere(store, lease, root, backfilled, forms, show)
        touched |= {"lists": sum(found.lists.values()), "generations' files": found.files}
        codes = encode_ids(forms)
        folders = [state_dir / "model", *sorted((state_dir / "models").glob("*"))]
        touched["models"] = sum(drop_users(folder, codes) for folder in folders)
        forget_kept(state_dir)  # facts of everybody: a run reads them again
        touched["rejected rows"] = drop_rejects(state_dir / "rejects.jsonl", is_gone)
        touched["tracebacks"] = _drop_traceback(state_dir / "last-error.txt", user_id, forms)
        touched["runs' lines"] = forget_told(Runs(state_dir), [user_id, *forms])
        touched["overviews"] = forget_in_overviews(Runs(state_dir).folder, is_gone)
        remains = [rewrite_log(client, show)]
    remains += [POSTGRES if any(deleted) and not url.startswith("sqlite") else ""]
    remains += [ELSEWHERE.format(", ".join(map(str, found.elsewhere))) if found.elsewhere else ""]
    outcome = Outcome(
        known=any(touched.values()),
        touched=touched,
        generations=tuple(found.lists),
        remains=tuple(filter(None, remains)),
        untouched=UNTOUCHED,
        seconds=progress.seconds,
    )
    log.info("user.forgotten", extra=asdict(outcome))
    return outcome


def _drop_traceback(path: Path, user_id: str, forms: list[str]) -> int:
    """Remove the last bug's traceback if it may name the user; return how many files that were."""
    if not path.is_file():
        return 0
    text = path.read_text("utf-8", errors="replace").lower()
    if not any(form.lower() in text for form in (user_id, *forms)):
        return 0
    path.unlink()
    return 1
