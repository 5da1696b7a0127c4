"""Lists read, sorted and checked, and all that is known beside them: everything before a byte is written."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from api.contract.buckets import Horizon
from api.contract.ids import Kind
from batch.arrays import Ints, Ints32
from batch.data.forgotten import Forgotten, unite_forgotten
from batch.data.ids import IdNames, as_texts
from batch.data.rows import find_rows
from batch.data.validation.ids import Ids, Places
from batch.progress import Progress
from batch.publish.foreign.arrange import Arranged, arrange
from batch.publish.foreign.faults import Faults, Line, refusal
from batch.publish.foreign.known import Base, find_base, read_base_posts, read_items, read_segments
from batch.publish.foreign.posts import Posts, unite_posts
from batch.publish.foreign.reading import Read, read_rows
from batch.publish.foreign.shapes import find_shape
from batch.publish.foreign.source import Frame, open_source
from batch.publish.foreign.span import find_horizon
from batch.publish.foreign.spill import Spill
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.store.connection import facts_location


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for.

    Attributes:
        lists: A path, a URL or a frame; see `source.open_source`.
        query: SQL, or nothing.
        items: The table of all items; None: what is current knows them.
        as_of_s: When the lists were made, epoch seconds.
        valid_for_s: Seconds that they hold; None: as long as they live in the store.
        folder: Takes the rows while they are sorted.
    """

    lists: str | Path | Frame
    query: str
    items: str | Path | Frame | None
    as_of_s: int
    valid_for_s: int | None
    folder: Path


@dataclass(frozen=True, slots=True)
class Users:
    """The users of the lists.

    Attributes:
        codes: int64 (users,), ascending.
        names: What the codes stand for.
        segment_of: Each user's segment in what is current; None: they have none there.
    """

    codes: Ints
    names: IdNames
    segment_of: list[str | None]


@dataclass(frozen=True, slots=True)
class Checked:
    """Lists that were checked.

    Attributes:
        base: What is current.
        read: What was read.
        users: Whose lists they are.
        posts: All posts.
        segments: Names of the segments.
        arranged: The lists.
        horizon: The times that they answer.
        report: What is wrong with them.
        items_left_out: Rows of the table of items that were left out, by reason; None: there is no table.
        n_forgotten: Users who are left out because they are forgotten.
    """

    base: Base | None
    read: Read
    users: Users
    posts: Posts
    segments: tuple[str, ...]
    arranged: Arranged
    horizon: Horizon
    report: list[Line]
    items_left_out: dict[str, int] | None
    n_forgotten: int

    @property
    def refused(self) -> str | None:
        """Return why the lists are refused; None where they are not."""
        why = refusal(self.report)
        if why is None and not len(self.users.codes):
            return "no list is left: each row has a fault, or its user is forgotten"
        return why

    @property
    def known_by(self) -> str:
        """Return what says which posts there are: `items`, `generation N`, or the `lists` themselves."""
        if self.items_left_out is not None:
            return "items"
        return "lists" if self.base is None else f"generation {self.base.manifest.generation}"


def check_lists(settings: Settings, store: GenerationStore, task: Task, progress: Progress) -> Checked:
    """Read lists, sort them on disk and count what is wrong; nothing is written but into the task's folder.

    Raises:
        SourceError: Lists or items cannot be read, or have no such columns.
        ListsRefused: Their times make too many buckets.
    """
    base, faults, spill = find_base(store, settings.variant), Faults(), Spill(task.folder / "rows")
    kinds = _kinds(settings, base, task)
    user_ids, post_ids = Ids(kinds[0]), Ids(kinds[1])
    items, left_out, read = _read(settings, task, (user_ids, post_ids), spill, faults, progress)
    before = None if base is None else read_base_posts(store, base, post_ids)
    posts = unite_posts(post_ids, read.posts, before, items, base.manifest.post_ids if base else None)
    forgotten = unite_forgotten(store.client, store.keys, settings.state_dir)
    codes, names, row, n_forgotten = _unite_users(user_ids, read.users, forgotten)
    with progress.step("segments", len(codes)) as advance:
        known = read_segments(store, base, names.canonical(codes), advance)
    users, segments = Users(codes, names, known), base.manifest.segments if base else ()
    place = {name: k for k, name in enumerate(segments)}
    segment = np.array([place.get(name or "", -1) for name in known], np.int64)
    with progress.step("sort"):
        arranged = arrange(
            spill,
            row,
            posts.row,
            segment,
            (len(posts.codes), len(segments), settings.depth),
            faults,
            _Namer(users, posts, post_ids, read.posts).name,
            ranked=read.is_ranked,
        )
    n_before = _count_absent(store, base, user_ids, codes, faults)
    life_s = task.valid_for_s or settings.list_ttl_s
    horizon = find_horizon(read.starts, task.as_of_s, life_s, task.valid_for_s, settings.n_buckets)
    report = faults.report(settings, read.n_rows, arranged.n_lists, n_before)
    return Checked(base, read, users, posts, segments, arranged, horizon, report, left_out, n_forgotten)


def _kinds(settings: Settings, base: Base | None, task: Task) -> tuple[Kind | None, Kind | None]:
    """Return what ids of users and of posts are, where what is current says so; None: lists or items decide.

    What is served under the variant says so of both, and whatever knows the posts of theirs.
    """
    if base is None:
        return None, None
    may_change = settings.ids == "text"  # from numbers
    users, posts = base.manifest.user_ids, base.manifest.post_ids
    knows_posts = base.is_own or task.items is None
    return (
        users if base.is_own and not (may_change and users == "numbers") else None,
        posts if knows_posts and not (may_change and posts == "numbers") else None,
    )


def _read(
    settings: Settings, task: Task, ids: tuple[Ids, Ids], spill: Spill, faults: Faults, progress: Progress
) -> tuple[tuple[Ints, pd.DataFrame] | None, dict[str, int] | None, Read]:
    """Read the table of items, which may decide what ids are, then the lists."""
    items: tuple[Ints, pd.DataFrame] | None = None
    left_out: dict[str, int] | None = None
    stall_s = settings.database_stall_s
    with ExitStack() as stack:
        source = open_source(stack, task.lists, task.query, facts_location(settings), stall_s)
        shape = find_shape(source.names, source.where)
        if task.items is not None:
            with progress.step("read items"):
                table = open_source(stack, task.items, "", "", stall_s)
                marks, frame, left_out = read_items(table, ids[1], task.folder)
                items = (marks, frame)
        with progress.step("read") as advance:
            read = read_rows(source, shape, *ids, spill, faults, advance)
    return items, left_out, read


def _unite_users(ids: Ids, found: Places, forgotten: Forgotten) -> tuple[Ints, IdNames, Ints32, int]:
    """Return the users' codes, ascending, what these stand for, and the row of each place.

    Forgotten users are left out: their places have the row -1, and it is said how many they are.
    """
    if ids.kind is None:
        ids.decide(found.marks)
    read = ids.codes(ids.settle(found.marks))
    every = np.unique(read)
    codes = every[~forgotten.hold(ids.names(every).canonical(every))]
    return codes, ids.names(codes), find_rows(codes, read), len(every) - len(codes)


def _count_absent(store: GenerationStore, base: Base | None, ids: Ids, codes: Ints, faults: Faults) -> int:
    """Count users with lists in what is current under the variant and none here; return all the former."""
    if base is None or not base.is_own:
        return 0
    users = store.user_ids(base.manifest.generation)
    there = ids.codes(ids.parse(as_texts(users)).value)
    absent = np.flatnonzero(~np.isin(there, codes))
    if len(absent):
        faults.add("absent_user", len(absent), f"user {users[absent[0]]}")
    return len(users)


@dataclass(frozen=True, slots=True)
class _Namer:
    """Spells users and posts for examples."""

    users: Users
    posts: Posts
    ids: Ids
    read: Places

    def name(self, user: int, post: int | None) -> str:
        """Return a user by row, or, where one is given, a post by row or `~place`."""
        if post is None:
            return self.users.names.spelled(self.users.codes[[user]])[0][:60]
        if post >= 0:
            return self.posts.names.spelled(self.posts.codes[[post]])[0][:60]
        codes = self.ids.codes(self.ids.settle(self.read.marks[[~post]]))
        return self.ids.names(codes).spelled(codes)[0][:60]
