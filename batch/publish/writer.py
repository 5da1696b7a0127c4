"""Publish: a whole generation, all of its lists written anew."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import redis

from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.progress import silent
from batch.publish import seen, shard
from batch.publish.fill import Work, write_lists, write_shared
from batch.publish.gate.gate import judge
from batch.publish.gate.gate_inputs import Made, gather
from batch.publish.gate.report import Report
from batch.publish.gate.stats import Sample
from batch.publish.gate.thresholds import Thresholds
from batch.publish.generation import GenerationContent, left_out
from batch.publish.memory.room import Room, reserve
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.release import GateClosed, newest_sealed, release
from batch.publish.user_digests import UserDigests
from batch.score.ranked import RankedBlock
from batch.store.lease import Progress
from batch.store.wire import PipelinedWriter

__all__ = ["GateClosed", "publish"]


def publish(
    client: redis.Redis,
    keys: Keys,
    content: GenerationContent,
    blocks: Iterable[RankedBlock],
    folder: Path,
    *,
    now: Callable[[], int],
    ttl_s: int,
    kept: int,
    progress: Progress = silent,
    inputs: Inputs | None = None,
    limits: Thresholds | None = None,
    force: bool = False,
    plan_memory: bool = False,
    keep: Callable[[Path], None] | None = None,
) -> Manifest:
    """Write, judge, seal and promote one generation; then retire what is beyond `kept`.

    Args:
        client: The store; replies must be bytes.
        keys: Names of the keys.
        content: Everything but the lists.
        blocks: Ranked lists of all users, in order; taken one at a time while the lease is held.
        folder: Gets a folder by the generation's number with the lists and their scores as Parquet.
        now: The clock, epoch seconds.
        ttl_s: Life of the users' lists: a batch that stays dead leaves popular lists, not stale ones.
        kept: Sealed generations that stay for this variant, the current one included. With 1, a request
            that began before the promotion may miss its list and fall back.
        progress: Told what is being written, how far, of how much.
        inputs: What the blocks are computed from; kept in the generation's folder, so that `verify` and
            the gate can compute lists again.
        limits: Where the gate draws its lines; None: no gate, everything is let through.
        force: Serve what the gate would hold back; logged as `gate.overridden`.
        plan_memory: Measure first, in two seconds, what the run will take in this store; refuse it where
            that does not fit, and put what was planned and taken into the manifest's counts.
        keep: Writes into the generation's folder, before it is sealed, what a later refresh needs.

    Returns:
        The manifest, as it stands in the store.

    Raises:
        StoreUnfit: The server's version or settings would break the lists, or its memory would not hold
            them; nothing was written.
        LeaseTaken: Another run is publishing; nothing was written.
        LeaseLost: This run stalled and lost its turn; what is served did not change.
        GateClosed: The gate did not let it through.
        ValueError: The blocks do not cover the content's users.
    """
    whole = _Whole(blocks, inputs, ttl_s, kept, limits, plan_memory, keep)
    return release(client, keys, content, folder, whole, now=now, kept=kept, progress=progress, force=force)


@dataclass(frozen=True, slots=True)
class _Whole:
    """The steps of publishing everything; see `release.Steps`, and `publish` for the parts."""

    blocks: Iterable[RankedBlock]
    inputs: Inputs | None
    ttl_s: int
    kept: int
    limits: Thresholds | None
    plan_memory: bool
    keep: Callable[[Path], None] | None

    def reserve(self, work: Work) -> Room | None:
        """Measure what the run will take, and refuse it where that does not fit."""
        newest = newest_sealed(work)
        return reserve(work.client, work.keys, work.content, self.kept, newest) if self.plan_memory else None

    def fill(self, work: Work, draft: Manifest) -> Made:
        """Write lists, shared keys, then seen posts and inputs."""
        content, keys, number = work.content, work.keys, draft.generation
        home = work.folder / str(number)
        sample = Sample(len(content.user_ids), _longest(content), content.depth)
        newest = newest_sealed(work)
        marks: dict[str, seen.Marks] = {}
        with PipelinedWriter(work.client) as wire:
            lists, n_short = self._lists(work, wire, draft, sample)
            checksums = {"shared": write_shared(work, wire, number)}
            for name, times, key in (
                ("seen", content.views, keys.seen),
                ("likes", content.likes, keys.likes),
            ):
                since_s = seen.held_until(content, times, name, newest)
                seen.write_seen(wire, work.lease, content, times, key, since_s, work.progress)
                marks[name] = seen.mark(content, times, content.as_of_s)
        user_digests = UserDigests(content.user_ids, lists, n_short, marks["seen"], marks["likes"])
        user_digests.save(home)
        if self.inputs is not None:
            checksums[INPUTS] = self.inputs.save(home / INPUTS)
        if self.keep is not None:
            self.keep(home)
        return Made(
            content, draft, {**checksums, **user_digests.checksums()}, user_digests, sample, self.inputs
        )

    def _lists(
        self, work: Work, wire: PipelinedWriter, draft: Manifest, sample: Sample
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Write all lists; return each user's digest and how many of his lists are short."""
        content, digests, n_short = work.content, [b""], [np.empty(0, np.int64)]
        with shard.Files(work.folder / str(draft.generation), content) as files:
            for block in shard.pieces(shard.covering(self.blocks, content)):
                digests += write_lists(work, wire, draft.generation, block, self.ttl_s)
                n_short.append(shard.n_short(block, content.depth))
                sample.add(block)
                files.add(block)
                work.progress("lists", block.first + len(block.posts), len(content.user_ids))
        return shard.as_rows(digests), np.concatenate(n_short)

    def ask(self, work: Work, made: Made) -> Report | None:
        """Ask the gate."""
        if self.limits is None:
            return None
        return judge(gather(work.client, work.keys, work.folder, made, self.limits), self.limits)


def _longest(content: GenerationContent) -> npt.NDArray[np.int64]:
    """Return int64 (users,): the posts that each user's lists could hold."""
    hidden = np.diff(left_out(content.seen_policy, content.views, content.likes).start)
    return np.asarray(np.minimum(content.depth, len(content.post_ids) - hidden), np.int64)
