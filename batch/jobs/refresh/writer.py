"""Publish a refresh: lists that changed are written, the others copied inside the store."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from api.contract.manifest import Manifest
from batch.data.seen import SeenTimes
from batch.jobs.refresh.digests import find_rows
from batch.jobs.refresh.start import Base
from batch.publish import seen, shard
from batch.publish.config import PublishConfig
from batch.publish.fill import write_lists, write_shared
from batch.publish.folder import GenerationFolder, link
from batch.publish.gate.gate_inputs import reread, rescore_sample
from batch.publish.gate.report import Report, check_checksums, check_model
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan
from batch.publish.memory.probe import max_memory, weigh
from batch.publish.memory.room import Room, refuse_unfit
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.seen import Marks
from batch.publish.store import GenerationStore
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build, building
from batch.score.ranked import RankedBlock
from batch.store.wire import PipelinedWriter, pack

Ints = npt.NDArray[np.int64]


class BaseGone(RuntimeError):
    """Another generation has been made current since this refresh began."""

    exit_code = 5


class ListsGone(RuntimeError):
    """Lists that were to be carried over are not in the store any more."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Step:
    """Some users of a generation, by row, ascending; together the steps hold every user once.

    Attributes:
        carried: int64. Users whose lists are those of the base.
        written: int64. Users whose lists follow.
        lists: Posts and scores of `written`, row by row; posts are rows of the content's. None: nobody.
    """

    carried: Ints
    written: Ints
    lists: RankedBlock | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh publishes.

    Attributes:
        base: What it starts from.
        steps: Who is carried over, and the lists of the others.
        moved: bool (users,). Users whose seen posts and likes the content holds; the others' are the base's.
        inputs: What all lists follow from, those carried over, too.
        keep: Writes into the generation's folder what the next refresh needs.
    """

    base: Base
    steps: Iterable[Step]
    moved: npt.NDArray[np.bool_]
    inputs: Inputs
    keep: Callable[[GenerationFolder], None]


def publish_refreshed(
    store: GenerationStore, content: GenerationContent, refreshed: Refreshed, config: PublishConfig
) -> Manifest:
    """Publish a generation of which only some lists are new.

    Args:
        store: Where to.
        content: Everything but the lists; seen posts and likes of the moved users only.
        refreshed: What is carried over and what is new.
        config: How. The gate asks what can go wrong here: are the lists there, and what the model gives.
            Model and features are those of a run that was asked.

    Raises:
        BaseGone: The base is not served any more; nothing was written.
        ListsGone: Lists of the base are not in the store any more.
        ValueError: The steps do not cover the content's users once.
        RuntimeError: What `batch.publish.writer.building` raises.
    """
    base = refreshed.base
    with building(store, content, config, partial(_reserve, store, base.manifest)) as build:
        _fill(build, refreshed)
        if config.gate != "off":
            rng = np.random.default_rng(build.number)
            checks = [check_checksums(*reread(build, rng))]
            found = rescore_sample(build, refreshed.inputs, rng)
            checks += [check_model(*found)] if found else []
            build.judge(Report(tuple(checks), base.manifest.generation))
    return build.manifest


def _reserve(store: GenerationStore, base: Manifest) -> Room | None:
    """Make sure that the base is still served, and that there is room for as much as it took."""
    current, _ = store.read_served(base.variant)
    if current != base.generation:
        raise BaseGone(
            f"generation {base.generation} was served when this refresh began, now {current}: run again"
        )
    taken = base.counts.get("bytes_taken")
    if taken is None:
        return None
    used = weigh(store.client)
    plan = Plan(taken, 0, 1, 0, used, max_memory(store.client), taken)
    refuse_unfit(plan)
    return Room(plan, used)


def _fill(build: Build, refreshed: Refreshed) -> None:
    """Copy lists, write lists and save inputs at the same time, then shared keys, seen posts, digests."""
    content, keys, folder = build.content, build.store.keys, build.folder
    link(refreshed.base.folder.lists(), folder.path)
    with (
        ThreadPoolExecutor(1) as saving,
        ThreadPoolExecutor(1) as copying,
        PipelinedWriter(build.store.client) as wire,
    ):
        inputs = saving.submit(refreshed.inputs.save, folder.inputs)
        carried = _Carried(build, refreshed.base, copying)
        _take_steps(build, wire, refreshed.steps, carried)
        build.checksums["shared"] = write_shared(build, wire)
        refreshed.keep(folder)
        marks = [
            _write_seen(build, wire, refreshed, times, name, key)
            for times, name, key in ((content.views, "seen", keys.seen), (content.likes, "likes", keys.likes))
        ]
        digests = UserDigests(content.user_ids, carried.lists, carried.n_short, *marks)
        digests.save(folder.user_digests)
        build.checksums |= digests.checksums() | {INPUTS: inputs.result()}
        for copy in carried.copies:
            copy.result()
    build.counts |= digests.counts()
    build.counts |= {"carried": carried.n_users, "carried_from": refreshed.base.manifest.generation}


class _Carried:
    """What is carried over from the base: digests and counts of all users' lists, and copies under way."""

    def __init__(self, build: Build, base: Base, copying: ThreadPoolExecutor) -> None:
        row = find_rows(base.digests.user_ids, build.content.user_ids)
        self.lists, self.n_short = base.digests.lists[row], base.digests.n_short[row]
        self.n_users, self.copies = 0, list[Future[None]]()
        self._build, self._base, self._copying = build, base.manifest.generation, copying

    def copy(self, users: Ints) -> None:
        """Copy the lists of users, given by row, beside all else."""
        self.n_users += len(users)
        ids = self._build.content.user_ids[users].tolist()
        self.copies.append(self._copying.submit(copy_lists, self._build, self._base, ids))


def _take_steps(build: Build, wire: PipelinedWriter, steps: Iterable[Step], carried: _Carried) -> None:
    content, number = build.content, build.number
    left = np.ones(len(content.user_ids), np.bool_)
    with shard.open_parquet(build.folder.changed_lists(number)) as file:
        for step in steps:
            _tick_off(left, step)
            carried.copy(step.carried)
            if step.lists is not None and len(step.written):
                posts, scores = step.lists.posts, step.lists.scores
                carried.lists[step.written] = shard.as_rows(write_lists(build, wire, step.written, posts))
                carried.n_short[step.written] = shard.count_short(posts, content.depth)
                file.write_table(shard.table(content, step.written, posts, scores))
            build.config.progress("lists", len(left) - int(left.sum()), len(left))
    if left.any():
        raise ValueError(f"the steps cover {len(left) - int(left.sum())} of {len(left)} users")


def _tick_off(left: npt.NDArray[np.bool_], step: Step) -> None:
    rows = np.concatenate([step.carried, step.written])
    if len(np.unique(rows)) != len(rows) or not left[rows].all():
        raise ValueError("a user comes twice in the steps of a refresh")
    left[rows] = False


def copy_lists(build: Build, base: int, users: Sequence[int]) -> None:
    """Copy users' lists of generation `base`, and give each a new life.

    The server copies them: 150 bytes a user go over the wire. A copy has the life of what it was copied
    from until it gets its own, so none is without. Commands of one connection are carried out some hundred
    at a time, and readers get their turn in between.

    Raises:
        ListsGone: Some were not there.
        LeaseLost: This run stalled and lost its turn.
    """
    keys, life = build.store.keys, b"%d" % build.config.ttl_s
    with PipelinedWriter(build.store.client) as wire:
        for user_id in users:
            build.lease.check()
            source, target = keys.list(user_id, base).encode(), keys.list(user_id, build.number).encode()
            wire.send(pack(b"COPY", source, target) + pack(b"EXPIRE", target, life), 2)
        wire.flush()
        n_gone = wire.n_zeros // 2  # COPY and EXPIRE answer 0 where there is nothing
    if n_gone:
        raise ListsGone(
            f"{n_gone} of {len(users)} lists of generation {base} are gone from the store: "
            "publish whole with `almanac run`"
        )


def _write_seen(
    build: Build,
    wire: PipelinedWriter,
    refreshed: Refreshed,
    times: SeenTimes,
    name: str,
    key: Callable[[int], str],
) -> Marks:
    """Write what moved users have seen and the store lacks; return the marks of all users."""
    content, base, moved = build.content, refreshed.base, refreshed.moved
    as_of_s = base.manifest.as_of_s
    row = find_rows(base.digests.user_ids, content.user_ids)
    held: Marks = getattr(base.digests, name).of(row)
    then = seen.mark(content, times, as_of_s)
    same = (row >= 0) & (then.n == held.n) & (then.sums == held.sums).all(axis=1)
    lacking = _later(times, np.where(same, as_of_s, np.iinfo(np.int64).min))
    seen.write_seen(wire, build.lease, content, lacking, key, None, build.config.progress)
    now = seen.mark(content, times, content.as_of_s)
    return Marks(np.where(moved, now.n, held.n), np.where(moved[:, None], now.sums, held.sums))


def _later(times: SeenTimes, after_s: Ints) -> SeenTimes:
    """Return the pairs of each user that are later than the user's moment."""
    return times.where(times.time > after_s[times.user])
