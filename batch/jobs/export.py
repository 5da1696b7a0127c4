"""Export, top to bottom: which generation answers, who is asked for, answers in a file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import redis

from api.contract.buckets import moment
from api.contract.ids import Kind, as_json, canonical, check_id
from batch.jobs.inspect import find_kept
from batch.progress import Progress
from batch.publish.export.answers import answer_all
from batch.publish.export.rows import Rows
from batch.publish.export.sheet import Format, open_sheet
from batch.publish.store import GenerationStore
from batch.settings import Settings

HEADER = "user_id"  # may stand above the ids of a file


class ExportTorn(RuntimeError):
    """The generation was cleared while it was read; no file was written."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, as its JSON says it; `short`: users with fewer posts than asked for."""

    file: str
    variant: str
    generation: int
    at: str
    users: int
    rows: int
    rungs: dict[str, int]
    short: int
    seconds: dict[str, float]


def export(
    settings: Settings,
    client: redis.Redis,
    progress: Progress,
    *,
    at_s: int,
    limit: int,
    form: Format,
    out: Path | None = None,
    users_file: Path | None = None,
    with_posts: bool = False,
) -> Exported:
    """Write what the API would answer to users at a time, takedowns and pins as they are now.

    Args:
        settings: Frozen settings; they name the variant.
        client: Client of the store, replies as bytes.
        progress: Where to show how far it is.
        at_s: The time, epoch seconds.
        limit: Posts a user.
        form: How the file is written.
        out: Where to; None: `export-<variant>-<generation>.<form>` here.
        users_file: Whom to, an id a line, who may have no list of their own; None: all who have one.
        with_posts: Write text and topic of posts, too.

    Raises:
        NothingServed: No generation is current.
        ValueError: A line of the file is no user id, or the path is none.
        ExportTorn: The generation was cleared meanwhile.
    """
    keys, store = settings.keys, GenerationStore(client, settings.keys)
    kept, history = find_kept(client, keys, settings.variant, at_s)
    manifest, number = kept.shared.manifest, kept.shared.manifest.generation
    down = kept.shared.numbers_of(history.taken_down)
    served = replace(
        kept.shared, posts={post: text for post, text in kept.shared.posts.items() if post not in down}
    )
    spelled: dict[str, str] = {}
    if users_file is None:
        users: Sequence[str] = store.user_ids(number)
    else:
        spelled = read_users(users_file, manifest.user_ids)
        users = list(spelled)
    rows = Rows(client, keys, served, spelled, with_posts=with_posts)
    path = out or Path(f"export-{settings.variant}-{number}.{form}")
    rungs, n_rows, short = Counter[str](), 0, 0
    with progress.step("export", len(users)) as advance, open_sheet(path, form, rows.schema) as write:
        for given in answer_all(client, keys, served, history.pins, users, at_s, limit):
            table = rows.table(given)
            write(table)
            rungs.update(one.rung for one in given)
            n_rows += len(table)
            short += sum(len(one.posts) < limit for one in given)
            advance(len(given))
        if store.state(number) != "sealed":
            raise ExportTorn(f"generation {number} was cleared while it was exported: export again")
    return Exported(
        file=str(path),
        variant=settings.variant,
        generation=number,
        at=moment(at_s).isoformat(),
        users=len(users),
        rows=n_rows,
        rungs=dict(rungs),
        short=short,
        seconds=progress.seconds,
    )


def read_users(path: Path, kind: Kind) -> dict[str, str]:
    """Return the users of a file by their canonical ids, each as the line that names them first spells it.

    A line is an id as it is, blanks around it aside; empty lines and `user_id` in the first do not count.

    Raises:
        ValueError: A line is no id of this kind, or there is none.
    """
    found: dict[str, str] = {}
    for place, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        text = line.strip()
        if not text or (place == 1 and text == HEADER):
            continue
        try:
            user_id = canonical(check_id(text), kind)
            fits = kind == "text" or isinstance(as_json(user_id, kind), int)
        except ValueError:
            fits = False
        if not fits:
            wanted = "a whole number" if kind == "numbers" else "an id"
            raise ValueError(
                f"line {place} of {path} holds {text[:40]!r}, which is not {wanted}, as users' ids are"
            )
        found.setdefault(user_id, text)
    if not found:
        raise ValueError(f"{path} names no user: write an id a line")
    return found
