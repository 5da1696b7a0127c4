"""Publish a refresh: lists that changed are written, the others copied inside the store."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from api.contract.keys import Id
from api.contract.manifest import SLEEPERS, Manifest
from batch.arrays import Bools, Ints
from batch.data.rows import find_rows
from batch.data.seen import SeenTimes
from batch.jobs.refresh.digests import InputDigests
from batch.jobs.refresh.frozen import keep_frozen
from batch.jobs.refresh.plan import RefreshPlan
from batch.jobs.refresh.start import Base
from batch.jobs.refresh.steps import Step
from batch.jobs.refresh.stored import read_stored
from batch.publish import seen, shard
from batch.publish.asleep import find_empty
from batch.publish.config import PublishConfig
from batch.publish.fill import write_lists, write_shared
from batch.publish.folder import link
from batch.publish.gate.gate_inputs import reread, rescore_sample
from batch.publish.gate.report import Report, check_checksums, check_model
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan
from batch.publish.memory.probe import see_room
from batch.publish.memory.room import refuse_unfit
from batch.publish.proof.inputs import INPUTS
from batch.publish.seen import Marks
from batch.publish.seen_sets import write_seen
from batch.publish.store import GenerationStore
from batch.publish.topics import CHECKSUM, spell_sum, write_topics
from batch.publish.user_digests import UserDigests
from batch.publish.writer import Build, building
from batch.store.cluster_wire import open_writer
from batch.store.wire import PipelinedWriter, pack


class BaseGone(RuntimeError):
    """Another generation has been made current since this refresh began."""

    exit_code = 5


class ListsGone(RuntimeError):
    """Lists that were to be carried over are not in the store any more."""

    exit_code = 4


def publish_refreshed(
    store: GenerationStore,
    base: Base,
    plan: RefreshPlan,
    steps: Iterable[Step],
    digests: InputDigests,
    config: PublishConfig,
) -> Manifest:
    """Publish a generation of which only some lists are new.

    Args:
        store: Where to.
        base: The generation that it starts from.
        plan: Everything but the lists; seen posts and likes of the moved users alone.
        steps: Who is carried over, and the lists of the others.
        digests: Of the facts now, for the next refresh.
        config: How. The gate asks what can go wrong here: are the lists there, and what the model gives.
            Model and features are those of a run that was asked.

    Raises:
        BaseGone: The base is not served any more; nothing was written.
        ListsGone: Lists of the base are not in the store any more.
        ValueError: The steps do not cover the content's users once.
        RuntimeError: What `batch.publish.writer.building` raises.
    """
    with building(store, plan.content, config, partial(_reserve, store, base.manifest)) as build:
        _fill(build, base, plan, steps)
        if plan.content.topic_depth:  # of all users: a bucket's scores are a small part of a whole run's
            build.checksums[CHECKSUM] = spell_sum(write_topics(build, plan.inputs))
        keep_frozen(base.folder, build.folder, digests)
        if config.gate != "off":
            with config.stage("gate"):
                rng = np.random.default_rng(build.number)
                checks = [check_checksums(*reread(build, rng))]
                found = rescore_sample(build, plan.inputs, rng)
                checks += [check_model(*found)] if found else []
                build.judge(Report(tuple(checks), base.manifest.generation))
    return build.manifest


def _reserve(store: GenerationStore, base: Manifest, _content: GenerationContent) -> Plan | None:
    """Make sure that the base is still served, and that there is room for as much as it took."""
    current, _ = store.read_served(base.variant)
    if current != base.generation:
        raise BaseGone(
            f"generation {base.generation} was served when this refresh began, now {current}: run again"
        )
    taken = base.counts.get("bytes_taken")
    if taken is None:
        return None
    used, limit = see_room(store.client)
    plan = Plan(generation=taken, seen=0, generations=1, total=0, used=used, limit=limit, adds=taken)
    refuse_unfit(plan)
    return plan


def _fill(build: Build, base: Base, plan: RefreshPlan, steps: Iterable[Step]) -> None:
    """Copy lists, write lists and save inputs at the same time, then shared keys, seen posts, digests."""
    content, keys, folder = build.content, build.store.keys, build.folder
    link(base.folder.lists(), folder.path)
    with (
        ThreadPoolExecutor(1) as saving,
        ThreadPoolExecutor(1) as copying,
        open_writer(build.store.client) as wire,
    ):
        inputs = saving.submit(plan.inputs.save, folder.inputs)
        lists, n_short, copies = _take_steps(build, wire, base, steps, copying)
        build.checksums["shared"] = write_shared(build, wire)
        marks = [
            _write_seen(build, wire, base, plan.moved, times, held, key)
            for times, held, key in (
                (content.views, base.digests.seen, keys.seen),
                (content.likes, base.digests.likes, keys.likes),
            )
        ]
        build.keep_digests(UserDigests(content.user_ids, lists, n_short, *marks))
        build.checksums[INPUTS] = inputs.result()
        n_carried = sum(copy.result() for copy in copies)
    build.counts |= {"carried": n_carried, "carried_from": base.manifest.generation}
    if SLEEPERS in base.manifest.counts:
        build.counts[SLEEPERS] = base.manifest.counts[SLEEPERS] - _count_stirred(base, content, plan.moved)


def _count_stirred(base: Base, content: GenerationContent, moved: Bools) -> int:
    """Return how many sleepers of the base have lists of their own now, or are gone."""
    users, manifest, n = base.digests.user_ids, base.manifest, 0
    others = users[~np.isin(users, content.user_ids[~moved])]
    for low in range(0, len(others), shard.USERS):
        some = others[low : low + shard.USERS]
        posts, _ = read_stored(some, base.folder, manifest.horizon, manifest.depth)
        n += int(find_empty(manifest.counts, posts).sum())
    return n


def _take_steps(
    build: Build, wire: PipelinedWriter, base: Base, steps: Iterable[Step], copying: Executor
) -> tuple[npt.NDArray[np.uint8], Ints, list[Future[int]]]:
    """Write lists; return the digests and numbers of short lists of all users, and the copies under way."""
    content, copies = build.content, list[Future[int]]()
    row = find_rows(base.digests.user_ids, content.user_ids)
    lists, n_short = base.digests.lists[row], base.digests.n_short[row]
    with shard.open_parquet(build.folder.changed_lists(build.number)) as file:
        for step in _check_cover(build, steps):
            if step.lists is None:
                ids = content.user_names.canonical(content.user_ids[step.users])
                copies.append(copying.submit(copy_lists, build, base.manifest.generation, ids))
            elif len(step.users):
                posts, scores = step.lists.posts, step.lists.scores
                lists[step.users] = shard.as_rows(write_lists(build, wire, step.users, posts))
                n_short[step.users] = shard.count_short(posts, content.depth)
                table = shard.table(content, step.users, posts, scores)
                file.write_table(table, row_group_size=shard.ROW_GROUP)
    return lists, n_short, copies


def _check_cover(build: Build, steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps, and make sure that they hold every user once."""
    n_users, n_done = len(build.content.user_ids), 0
    left = np.ones(n_users, np.bool_)
    for step in steps:
        if len(np.unique(step.users)) != len(step.users) or not left[step.users].all():
            raise ValueError("a user comes twice in the steps of a refresh")
        left[step.users] = False
        yield step
        n_done += len(step.users)
        build.config.progress("lists", n_done, n_users)
    if left.any():
        raise ValueError(f"the steps cover {n_done} of {n_users} users")


def copy_lists(build: Build, base: int, users: Sequence[Id]) -> int:
    """Copy users' lists of generation `base`, and give each a new life; return how many users they are.

    The server copies them: 150 bytes a user go over the wire. A copy has the life of what it was copied
    from until it gets its own, so none is without. Commands of one connection are carried out some hundred
    at a time, and readers get their turn in between.

    Raises:
        ListsGone: Some were not there.
        LeaseLost: This run stalled and lost its turn.
    """
    keys, life = build.store.keys, b"%d" % build.config.ttl_s
    with open_writer(build.store.client) as wire:
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
    return len(users)


def _write_seen(
    build: Build,
    wire: PipelinedWriter,
    base: Base,
    moved: Bools,
    times: SeenTimes,
    held: Marks,
    key: Callable[[Id], str],
) -> Marks:
    """Write what moved users have seen and the store lacks; return the marks of all users.

    `held` marks what the base's users had: a user whose older pairs still give it lacks only later ones.
    """
    content, as_of_s = build.content, base.manifest.as_of_s
    row = find_rows(base.digests.user_ids, content.user_ids)
    held, then = held.of(row), seen.mark(content, times, as_of_s)
    same = (row >= 0) & (then.n == held.n) & (then.sums == held.sums).all(axis=1)
    after_s = np.where(same, as_of_s, np.iinfo(np.int64).min)
    lacking = times.where(times.time > after_s[times.user])
    write_seen(wire, build.lease, content, lacking, key, None, build.config.progress)
    now = seen.mark(content, times, content.as_of_s)
    return Marks(np.where(moved, now.n, held.n), np.where(moved[:, None], now.sums, held.sums))
