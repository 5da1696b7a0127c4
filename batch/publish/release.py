"""Release: build a generation beside the one that is served, judge and seal it, make it current by one write.

Killed at any instant, this leaves what is served as it was; the next run clears what it left.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import redis
from redis.client import Pipeline

from api.contract.codec import encode as as_text
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.publish import functions, shard
from batch.publish import generation as generation_content
from batch.publish.fill import Work
from batch.publish.gate.gate_inputs import Made
from batch.publish.gate.report import Report
from batch.publish.generation import GenerationContent
from batch.publish.ledger.promotion import promote
from batch.publish.memory.room import Room
from batch.publish.retire import ledger, retire, sweep
from batch.store.lease import LeaseLost, Progress, hold
from batch.store.server import Needs, require

log = logging.getLogger(__name__)


class GateClosed(RuntimeError):
    """The gate did not let a generation through; what is served did not change."""

    exit_code = 6

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


class Steps(Protocol):
    """What differs between the ways to build a generation; called in this order while the lease is held."""

    def reserve(self, work: Work) -> Room | None:
        """Make sure that it can be built, before anything is written; None: the room is not measured."""

    def fill(self, work: Work, draft: Manifest) -> Made:
        """Write everything but what makes it sealed."""

    def ask(self, work: Work, made: Made) -> Report | None:
        """Ask the gate; None: there is none."""


def release(
    client: redis.Redis,
    keys: Keys,
    content: GenerationContent,
    folder: Path,
    steps: Steps,
    *,
    now: Callable[[], int],
    kept: int,
    progress: Progress,
    force: bool,
) -> Manifest:
    """Build, judge, seal and promote one generation; then retire what is beyond `kept`.

    For the arguments, the result and the errors see `writer.publish`.
    """
    longest = max((len(name.encode()) for name in content.segments), default=0)
    require(client, Needs.of(content.post_ids.tolist(), content.depth, content.horizon.n_buckets, longest))
    functions.load(client)
    with hold(client, keys.lease(), now(), progress) as lease:
        work = Work(client, keys, lease, content, folder, progress)
        clear = partial(
            sweep, client, keys, lease, folder, variant=content.variant, kept=kept, progress=progress
        )
        clear()
        manifest, report = _make(work, now, steps, force=force)
        if report is None or report.outcome == "proceed" or force:
            promote(client, keys, manifest.generation, now(), force=force, lease=lease)
            clear()
            return manifest
        clear(spared=manifest.generation)
    raise GateClosed(manifest.generation, report)


def _make(work: Work, now: Callable[[], int], steps: Steps, *, force: bool) -> tuple[Manifest, Report | None]:
    """Write, judge and seal; what fails on the way is cleared."""
    room = steps.reserve(work)
    draft = _begin(work, now())
    try:
        made = steps.fill(work, draft)
        if room:
            made = replace(made, draft=replace(draft, counts=made.draft.counts | room.counts(work.client)))
        report = steps.ask(work, made)
        _refuse_incomplete(made, report, force=force)
        return _seal(work, made, report, force=force), report
    except LeaseLost:
        raise  # the next holder clears; we may no longer write
    except BaseException:
        with suppress(redis.RedisError, LeaseLost):
            retire(work.client, work.keys, work.lease, work.folder, draft.generation, work.progress)
        raise


def take_number(work: Work, now_s: int) -> Manifest:
    """Take the next number and note, before the first list, all that clearing it would need to know."""
    keys, number = work.keys, int(work.client.incr(work.keys.counter()))
    draft = work.content.draft(number, now_s)

    def note(pipe: Pipeline) -> None:
        pipe.unlink(*keys.obsolete)  # 2026-11: when a run wrote its facts is not kept any more, see 0050
        pipe.hset(keys.states(), str(number), "building")
        pipe.set(keys.users(number), as_text(work.content.user_ids.tolist()))
        if work.content.profiles:
            pipe.set(keys.profiles(number), " ".join(sorted(work.content.profiles)))
        pipe.set(keys.manifest(number), draft.to_json())

    work.lease.commit(note)
    return draft


def _begin(work: Work, now_s: int) -> Manifest:
    draft = take_number(work, now_s)
    number, home = draft.generation, work.folder / str(draft.generation)
    if home.exists():  # of a store that is no more: in this one the number is new
        shutil.rmtree(home)
    home.mkdir(parents=True)
    log.info("generation.begun", extra={"generation": number, "variant": work.content.variant})
    return draft


def _refuse_incomplete(made: Made, report: Report | None, *, force: bool) -> None:
    if report and report.outcome == "abort" and not force:
        raise GateClosed(made.draft.generation, report)


def _seal(work: Work, made: Made, report: Report | None, *, force: bool) -> Manifest:
    """Write the whole manifest and the state in one transaction: from here on the lists never change."""
    keys, number = work.keys, made.draft.generation
    user_digests, root = made.user_digests, shard.root(made.checksums)
    counts = {
        "short_lists": int(user_digests.n_short.sum()),
        "seen": int(user_digests.seen.n.sum()),
        "likes": int(user_digests.likes.n.sum()),
    }
    drawn = generation_content.sealed(made.draft, dict(made.checksums), root, **counts)
    manifest = replace(drawn, gate=report.values() if report else made.content.gate)
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


def newest_sealed(work: Work) -> Manifest | None:
    """Return the manifest of the newest sealed generation in the store, of whichever variant."""
    known = ledger(work.client, work.keys).manifests
    return known[max(known)] if known else None
