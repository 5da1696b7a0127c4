"""Publish: write a generation beside the one that is served, seal it, make it current by one write.

Killed at any instant, this leaves what is served as it was; the next run clears what it left.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import redis
from redis.client import Pipeline

from api.contract.codec import encode as as_text
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.judge.gate.gate import judge
from batch.judge.gate.portrait import Sample
from batch.judge.gate.report import Report
from batch.judge.gate.thresholds import Thresholds
from batch.publish import functions, seen, shard
from batch.publish import generation as editions
from batch.publish.evidence import Made, gather
from batch.publish.fill import Work, write_lists, write_shared
from batch.publish.generation import Edition, left_out
from batch.publish.ledger.promotion import promote
from batch.publish.memory.room import Room, reserve
from batch.publish.proof.inputs import INPUTS, Inputs
from batch.publish.retire import ledger, retire, sweep
from batch.publish.store.lease import LeaseLost, Progress, hold
from batch.publish.store.server import Needs, require
from batch.publish.store.wire import Wire
from batch.score.ranked import RankedBlock

log = logging.getLogger(__name__)


class GateClosed(RuntimeError):
    """The gate did not let a generation through; what is served did not change."""

    def __init__(self, generation: int, report: Report) -> None:
        """Name the generation and what stopped it."""
        self.generation, self.report = generation, report
        then = {
            "wait": f"serve it with `almanac generations promote {generation} --force`, or leave it",
            "quarantine": "it stays to be looked at until the next run",
            "abort": "its lists are cleared",
        }
        super().__init__(
            f"the gate stopped generation {generation} ({report.outcome}): {report.why}; "
            f"{then.get(report.outcome, '')}, and what was served is served on"
        )


def silent(what: str, done: int, total: int) -> None:
    """Show no progress."""


def publish(
    client: redis.Redis,
    keys: Keys,
    edition: Edition,
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
) -> Manifest:
    """Write, judge, seal and promote one generation; then retire what is beyond `kept`.

    Args:
        client: The store; replies must be bytes.
        keys: Names of the keys.
        edition: Everything but the lists.
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

    Returns:
        The manifest, as it stands in the store.

    Raises:
        StoreUnfit: The server's version or settings would break the lists, or its memory would not hold
            them; nothing was written.
        LeaseTaken: Another run is publishing; nothing was written.
        LeaseLost: This run stalled and lost its turn; what is served did not change.
        GateClosed: The gate did not let it through.
        ValueError: The blocks do not cover the edition's users.
    """
    longest = max((len(name.encode()) for name in edition.segments), default=0)
    require(client, Needs.of(edition.post_ids.tolist(), edition.depth, edition.horizon.n_buckets, longest))
    functions.load(client)
    with hold(client, keys.lease(), now(), progress) as lease:
        work = Work(client, keys, lease, edition, folder, progress)
        clear = partial(
            sweep, client, keys, lease, folder, variant=edition.variant, kept=kept, progress=progress
        )
        clear()
        room = reserve(client, keys, edition, kept, _newest_sealed(work)) if plan_memory else None
        manifest, report = _make(work, now(), blocks, inputs, room, limits, ttl_s, force=force)
        if report is None or report.outcome == "proceed" or force:
            promote(client, keys, manifest.generation, now(), force=force, lease=lease)
            clear()
            return manifest
        clear(spared=manifest.generation)
    raise GateClosed(manifest.generation, report)


def _make(
    work: Work,
    now_s: int,
    blocks: Iterable[RankedBlock],
    inputs: Inputs | None,
    room: Room | None,
    limits: Thresholds | None,
    ttl_s: int,
    *,
    force: bool,
) -> tuple[Manifest, Report | None]:
    """Write, judge and seal; what fails on the way is cleared."""
    client, keys, folder = work.client, work.keys, work.folder
    draft = _begin(work, now_s)
    try:
        made = _fill(work, draft, blocks, inputs, ttl_s)
        if room:
            made = replace(made, draft=replace(draft, counts=draft.counts | room.counts(client)))
        report = judge(gather(client, keys, folder, made, limits), limits) if limits else None
        _refuse_incomplete(made, report, force=force)
        return _seal(work, made, report, force=force), report
    except LeaseLost:
        raise  # the next holder clears; we may no longer write
    except BaseException:
        with suppress(redis.RedisError, LeaseLost):
            retire(client, keys, work.lease, folder, draft.generation, work.progress)
        raise


def _begin(work: Work, now_s: int) -> Manifest:
    """Take the next number and note, before the first list, all that clearing it would need to know."""
    keys, number = work.keys, int(work.client.incr(work.keys.counter()))
    draft = work.edition.draft(number, now_s)

    def note(pipe: Pipeline) -> None:
        pipe.hset(keys.states(), str(number), "building")
        pipe.set(keys.users(number), as_text(work.edition.user_ids.tolist()))
        pipe.set(keys.manifest(number), draft.to_json())

    work.lease.commit(note)
    home = work.folder / str(number)
    if home.exists():  # of a store that is no more: in this one the number is new
        shutil.rmtree(home)
    home.mkdir(parents=True)
    log.info("generation.begun", extra={"generation": number, "variant": work.edition.variant})
    return draft


def _fill(
    work: Work, draft: Manifest, blocks: Iterable[RankedBlock], inputs: Inputs | None, ttl_s: int
) -> Made:
    """Write lists, shared keys, then seen posts and inputs; return what the gate must know of them."""
    edition, keys, number = work.edition, work.keys, draft.generation
    checksums: dict[str, str] = {}
    sample = Sample(len(edition.user_ids), _longest(edition), edition.depth)
    newest = _newest_sealed(work)
    with Wire(work.client) as wire:
        for block in shard.covering(blocks, edition):
            name = shard.names(block.first, len(block.posts))
            checksums[name] = write_lists(work, wire, number, block, ttl_s)
            sample.add(block)
            shard.write_parquet(work.folder / str(number) / f"{name}.parquet", edition, block)
            work.progress("lists", block.first + len(block.posts), len(edition.user_ids))
        checksums["shared"] = write_shared(work, wire, number)
        for name, times, key in (("seen", edition.views, keys.seen), ("likes", edition.likes, keys.likes)):
            since_s = seen.held_until(edition, times, name, newest)
            seen.write_seen(wire, work.lease, edition, times, key, since_s, work.progress)
            checksums[name] = seen.mark(edition, times, edition.as_of_s)
    if inputs is not None:
        checksums[INPUTS] = inputs.save(work.folder / str(number) / INPUTS)
    return Made(edition, draft, checksums, sample, inputs)


def _refuse_incomplete(made: Made, report: Report | None, *, force: bool) -> None:
    if report and report.outcome == "abort" and not force:
        raise GateClosed(made.draft.generation, report)


def _longest(edition: Edition) -> npt.NDArray[np.int64]:
    """Return int64 (users,): the posts that each user's lists could hold."""
    hidden = np.diff(left_out(edition.seen_policy, edition.views, edition.likes).start)
    return np.asarray(np.minimum(edition.depth, len(edition.post_ids) - hidden), np.int64)


def _seal(work: Work, made: Made, report: Report | None, *, force: bool) -> Manifest:
    """Write the whole manifest and the state in one transaction: from here on the lists never change."""
    keys, number = work.keys, made.draft.generation
    drawn = editions.sealed(made.draft, dict(made.checksums), shard.root(made.checksums), made.sample.n_below)
    manifest = replace(drawn, gate=report.values() if report else made.edition.gate)
    (work.folder / str(number) / "manifest.json").write_bytes(manifest.to_json())
    barred = report is not None and report.outcome == "quarantine" and not force
    state = "quarantined" if barred else "sealed"

    def seal(pipe: Pipeline) -> None:
        pipe.set(keys.manifest(number), manifest.to_json())
        pipe.hset(keys.states(), str(number), state)

    work.lease.commit(seal)
    log.info("generation.sealed", extra={"generation": number, "n_lists": manifest.counts["lists"]})
    if report:
        extra = {"generation": number, "outcome": report.outcome, "why": report.why, "live": report.live}
        log.info("generation.judged", extra=extra)
    return manifest


def _newest_sealed(work: Work) -> Manifest | None:
    """Return the manifest of the newest sealed generation in the store, of whichever variant."""
    known = ledger(work.client, work.keys).manifests
    return known[max(known)] if known else None
