"""Publish a refresh: lists that changed are written, the others copied inside the store."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.seen import SeenTimes
from batch.jobs.refresh.base import Base
from batch.jobs.refresh.carried import changed_name, copy_lists, link_lists
from batch.progress import silent
from batch.publish import seen, shard
from batch.publish.fill import Work, write_lists, write_shared
from batch.publish.gate.gate_inputs import Made, reread, rescored
from batch.publish.gate.report import Check, Report
from batch.publish.gate.stats import Sample
from batch.publish.generation import GenerationContent
from batch.publish.memory.plan import Plan
from batch.publish.memory.probe import weight
from batch.publish.memory.room import Room
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.release import release
from batch.publish.retire import served
from batch.publish.seen import Marks
from batch.publish.user_digests import UserDigests
from batch.score.ranked import RankedBlock
from batch.store.lease import Progress
from batch.store.server import StoreUnfit
from batch.store.wire import PipelinedWriter

Ints = npt.NDArray[np.int64]


class BaseGone(RuntimeError):
    """Another generation has been made current since this refresh began."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Step:
    """Some users of a generation, by row, ascending; together the steps hold every user once.

    Attributes:
        carried: int64. Users whose lists are those of the base.
        written: int64. Users whose lists follow.
        lists: Posts and scores of `written`, row by row; posts are rows of the content's.
    """

    carried: Ints
    written: Ints
    lists: RankedBlock


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh publishes.

    Attributes:
        base: What it starts from.
        steps: Who is carried over, and the lists of the others.
        moved: bool (users,). Users whose seen posts and likes the content holds; the others' are the base's.
        inputs: What all lists follow from, those carried over, too.
        ttl_s: Life of the users' lists.
        gate: Ask, before promotion, whether the lists are there and are what the model gives.
        keep: Writes into the generation's folder what the next refresh needs.
    """

    base: Base
    steps: Iterable[Step]
    moved: npt.NDArray[np.bool_]
    inputs: Inputs
    ttl_s: int
    gate: bool
    keep: Callable[[Path], None]

    def reserve(self, work: Work) -> Room | None:
        """Make sure that the base is still served, and that there is room for as much as it took."""
        base = self.base.manifest
        current, _ = served(work.client, work.keys, base.variant)
        if current != base.generation:
            raise BaseGone(
                f"generation {base.generation} was served when this refresh began, now {current}: run again"
            )
        taken = base.counts.get("bytes_taken")
        if taken is None:
            return None
        used, limit = weight(work.client), int(work.client.config_get("maxmemory").get("maxmemory") or 0)
        plan = Plan(taken, 0, 1, 0, used, limit, taken)
        reason = plan.refusal()
        if reason:
            raise StoreUnfit(reason)
        return Room(plan, used)

    def fill(self, work: Work, draft: Manifest) -> Made:
        """Copy lists, write lists and save inputs at the same time, then shared keys, seen posts, digests."""
        content, home = work.content, work.folder / str(draft.generation)
        link_lists(self.base.home, home)
        with (
            ThreadPoolExecutor(1) as saving,
            ThreadPoolExecutor(1) as copying,
            PipelinedWriter(work.client) as wire,
        ):
            inputs = saving.submit(self.inputs.save, home / INPUTS)
            lists, n_short, copies, n_carried = self._lists(work, wire, draft, copying)
            checksums = {"shared": write_shared(work, wire, draft.generation)}
            self.keep(home)
            seen_marks = self._seen(work, wire, content.views, "seen", work.keys.seen)
            like_marks = self._seen(work, wire, content.likes, "likes", work.keys.likes)
            user_digests = UserDigests(content.user_ids, lists, n_short, seen_marks, like_marks)
            user_digests.save(home)
            checksums[INPUTS] = inputs.result()
            for copy in copies:
                copy.result()
        counts = {"carried": n_carried, "carried_from": self.base.manifest.generation}
        sample = Sample(0, np.empty(0, np.int64), content.depth)
        draft = replace(draft, counts=draft.counts | counts)
        return Made(
            content, draft, {**checksums, **user_digests.checksums()}, user_digests, sample, self.inputs
        )

    def _lists(
        self, work: Work, wire: PipelinedWriter, draft: Manifest, copying: ThreadPoolExecutor
    ) -> tuple[npt.NDArray[np.uint8], Ints, list[Future[None]], int]:
        """Take the steps; return digests, short lists, the copies under way, and how many users they are."""
        content, number, base = work.content, draft.generation, self.base
        row, _ = base.user_digests.rows(content.user_ids)
        lists, n_short = base.user_digests.lists[row], base.user_digests.n_short[row]
        left, copies, n_carried = np.ones(len(row), np.bool_), [], 0
        with shard.open_parquet(work.folder / str(number) / changed_name(number)) as file:
            for step in self.steps:
                _tick(left, step)
                n_carried += len(step.carried)
                ids = content.user_ids[step.carried].tolist()
                copies.append(
                    copying.submit(copy_lists, work, base.manifest.generation, number, ids, self.ttl_s)
                )
                if len(step.written):
                    own = replace(work, content=part(content, step.written))
                    digests = write_lists(own, wire, number, step.lists, self.ttl_s)
                    lists[step.written] = shard.as_rows(digests)
                    n_short[step.written] = shard.n_short(step.lists, content.depth)
                    file.write_table(shard.table(own.content, step.lists))
                work.progress("lists", len(left) - int(left.sum()), len(left))
        if left.any():
            raise ValueError(f"the steps cover {len(left) - int(left.sum())} of {len(left)} users")
        return lists, n_short, copies, n_carried

    def _seen(
        self, work: Work, wire: PipelinedWriter, times: SeenTimes, name: str, key: Callable[[int], str]
    ) -> Marks:
        """Write what moved users have seen and the store lacks; return the marks of all users."""
        content, base = work.content, self.base
        row, known = base.user_digests.rows(content.user_ids)
        held: Marks = getattr(base.user_digests, name).of(row)
        then = seen.mark(content, times, base.manifest.as_of_s)
        same = known & (then.n == held.n) & (then.sums == held.sums).all(axis=1)
        lacking = _later(times, np.where(same, base.manifest.as_of_s, np.iinfo(np.int64).min))
        seen.write_seen(wire, work.lease, content, lacking, key, None, work.progress)
        now = seen.mark(content, times, content.as_of_s)
        return Marks(np.where(self.moved, now.n, held.n), np.where(self.moved[:, None], now.sums, held.sums))

    def ask(self, work: Work, made: Made) -> Report | None:
        """Ask what can go wrong in a refresh: model and features are those of a run that was asked."""
        if not self.gate:
            return None
        rng = np.random.default_rng(made.draft.generation)
        n, n_bad = reread(work.client, work.keys, made, rng)
        says = f"{n - n_bad} of {n} shards read back from the store have the checksum of what was sealed"
        checks = [Check("checksum", "abort" if n_bad else "proceed", says, float(n_bad), 0.0)]
        found = rescored(work.client, work.keys, made, rng)
        if found is not None:
            n, n_bad = found
            says = f"{n - n_bad} of {n} lists are what the stored model gives, place by place"
            checks.append(Check("model", "quarantine" if n_bad else "proceed", says, float(n_bad), 0.0))
        return Report(tuple(checks), self.base.manifest.generation)


def publish_refreshed(
    client: redis.Redis,
    keys: Keys,
    content: GenerationContent,
    refreshed: Refreshed,
    folder: Path,
    *,
    now: Callable[[], int],
    kept: int,
    progress: Progress = silent,
    force: bool = False,
) -> Manifest:
    """Publish a generation of which only some lists are new; for the rest see `writer.publish`.

    Args:
        client: The store; replies must be bytes.
        keys: Names of the keys.
        content: Everything but the lists; seen posts and likes of the moved users only.
        refreshed: What is carried over and what is new.
        folder: Where generations lie on disk.
        now: The clock, epoch seconds.
        kept: Sealed generations that stay for this variant.
        progress: Told what is being written, how far, of how much.
        force: Serve what the gate would hold back.

    Raises:
        BaseGone: The base is not served any more; nothing was written.
        ListsGone: Lists of the base are not in the store any more.
        ValueError: The steps do not cover the content's users once.
    """
    return release(
        client, keys, content, folder, refreshed, now=now, kept=kept, progress=progress, force=force
    )


def part(content: GenerationContent, rows: Ints) -> GenerationContent:
    """Return the content of some users, given by row, with nothing seen."""
    nothing = SeenTimes.none(len(rows))
    return replace(
        content,
        user_ids=content.user_ids[rows],
        segment_of=[content.segment_of[row] for row in rows.tolist()],
        views=nothing,
        likes=nothing,
    )


def _tick(left: npt.NDArray[np.bool_], step: Step) -> None:
    """Take note that a step has come."""
    rows = np.concatenate([step.carried, step.written])
    if len(np.unique(rows)) != len(rows) or not left[rows].all():
        raise ValueError("a user comes twice in the steps of a refresh")
    left[rows] = False


def _later(times: SeenTimes, after_s: Ints) -> SeenTimes:
    """Return the pairs of each user that are later than the user's moment."""
    return times.where(times.time > after_s[times.user])
