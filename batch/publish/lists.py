"""Anybody's lists as a generation: what `almanac publish` does, for whoever has a frame in memory.

from batch.publish.lists import publish_lists
publish_lists(frame, variant="mine")
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from api.contract.buckets import DAY_S, epoch, moment
from api.contract.manifest import Manifest
from batch.progress import SILENT, Progress
from batch.publish.config import PublishConfig
from batch.publish.foreign.arrange import lay_out
from batch.publish.foreign.check import Checked, Task, check_lists
from batch.publish.foreign.content import make_content
from batch.publish.foreign.faults import Line, ListsRefused
from batch.publish.foreign.source import Frame
from batch.publish.kinds import refuse_other_kinds
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store.connection import connect_store

WORK = "lists-"  # begins the names of folders in which rows are sorted

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, or would be.

    Attributes:
        manifest: Of the generation; None after a dry run.
        variant: Under which name.
        as_of: When the lists were made; ISO 8601, UTC, as the next two.
        valid_from: When the first bucket begins.
        valid_until: When the last one ends.
        buckets: How many there are.
        rows: Rows read.
        rows_cut: Rows deeper than ALMANAC_DEPTH, which are left out.
        users: Users with lists.
        users_forgotten: Users who are left out because they are forgotten.
        lists: Lists read.
        depth: Posts in the longest one.
        posts: Posts of the generation, those that no list holds included.
        known_by: What says which posts there are: `items`, `generation N`, or the `lists` themselves.
        items_left_out: Rows of the table of items that were left out, by reason.
        faults: What is wrong with the lists.
        refused: Why they are refused; None where they are not.
        seconds: What each step took.
    """

    manifest: Manifest | None
    variant: str
    as_of: str
    valid_from: str
    valid_until: str
    buckets: int
    rows: int
    rows_cut: int
    users: int
    users_forgotten: int
    lists: int
    depth: int
    posts: int
    known_by: str
    items_left_out: dict[str, int]
    faults: list[Line]
    refused: str | None
    seconds: dict[str, float]

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON, with the generation's number in the manifest's place."""
        raw = asdict(replace(self, manifest=None))
        del raw["manifest"]
        return {"generation": self.manifest.generation if self.manifest else None, **raw}


def publish_lists(
    lists: str | Path | Frame,
    *,
    variant: str = "",
    query: str = "",
    items: str | Path | Frame | None = None,
    as_of: datetime | None = None,
    valid_for_s: int | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    progress: Progress = SILENT,
) -> Published:
    """Check lists that somebody else made, and publish them as a generation of their own.

    Args:
        lists: A file, a glob or a folder of Parquet, CSV or JSON lines; a URL with `query`; or a frame of
            pandas, polars or Arrow, or names to arrays. See `foreign.shapes` for its columns.
        variant: Name under which they are served; empty: the settings'.
        query: SQL, asked of the URL `lists`, or of where the facts lie.
        items: The table of all items, likewise: an id, a text, a topic. None: what is current knows them.
        as_of: When the lists were made, UTC; now where None.
        valid_for_s: Seconds that they hold; None: as long as they live in the store.
        dry_run: Check and count, and change nothing.
        settings: Which store, limits and depth; read from the environment where None.
        progress: Where to show the steps.

    Raises:
        SourceError: The lists or the items cannot be read, or have no such columns.
        ListsRefused: More of the lists is wrong than the settings allow; nothing was written.
        IdsChanged: Ids that were numbers are text now; nothing was written.
        RuntimeError: What `publish` raises.
    """
    chosen = settings or Settings()
    chosen = chosen.replace(variant=variant) if variant else chosen
    as_of_s, now_s = epoch(as_of) if as_of else int(time.time()), time.time()
    if as_of_s > now_s:
        raise ValueError(f"as_of={moment(as_of_s).isoformat()} is later than now: when were the lists made?")
    with connect_store(chosen, progress) as client, _work_folder(chosen.state_dir, now_s) as folder:
        store = GenerationStore(client, chosen.keys)
        task = Task(lists, query, items, as_of_s, valid_for_s, folder)
        checked = check_lists(chosen, store, task, progress)
        refuse_other_kinds(store, chosen.variant, checked.users.names, checked.posts.names, chosen.ids)
        why = checked.refused
        log.info(
            "lists.checked", extra={"rows": checked.read.n_rows, "refused": why, "faults": _counts(checked)}
        )
        if dry_run:
            return _describe(chosen, checked, as_of_s, None, progress)
        if why:
            raise ListsRefused(why)
        content = make_content(chosen, checked, as_of_s)
        with progress.phases("publish") as show:
            config = PublishConfig.of(chosen, show, progress.step)
            config = replace(config, ttl_s=max(config.ttl_s, valid_for_s or 0))
            manifest = publish(store, content, lay_out(checked.arranged, checked.horizon), config)
        return _describe(chosen, checked, as_of_s, manifest, progress)


@contextmanager
def _work_folder(state_dir: Path, now_s: float) -> Iterator[Path]:
    """Give a folder for rows while they are sorted, and remove it, and those that killed processes left."""
    state_dir.mkdir(parents=True, exist_ok=True)
    for left in state_dir.glob(f"{WORK}*"):
        if left.stat().st_mtime < now_s - DAY_S:  # nobody sorts for so long
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=WORK, dir=state_dir) as folder:
        yield Path(folder)


def _counts(checked: Checked) -> dict[str, int]:
    return {line.fault: line.n for line in checked.report}


def _describe(
    settings: Settings, checked: Checked, as_of_s: int, manifest: Manifest | None, progress: Progress
) -> Published:
    horizon, arranged = checked.horizon, checked.arranged
    return Published(
        manifest=manifest,
        variant=settings.variant,
        as_of=moment(as_of_s).isoformat(),
        valid_from=moment(horizon.start_s).isoformat(),
        valid_until=moment(horizon.end_s).isoformat(),
        buckets=horizon.n_buckets,
        rows=checked.read.n_rows,
        rows_cut=arranged.n_cut,
        users=len(checked.users.codes),
        users_forgotten=checked.n_forgotten,
        lists=arranged.n_lists,
        depth=arranged.depth,
        posts=len(checked.posts.codes),
        known_by=checked.known_by,
        items_left_out=checked.items_left_out or {},
        faults=checked.report,
        refused=checked.refused,
        seconds=progress.seconds,
    )
