"""Building a generation beside the one that is served: the one sequence of every way to make one.

Killed at any instant, this leaves what is served as it was; the next run clears what it left.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace

import redis
from redis.client import Pipeline

from api.contract.ids import quote
from api.contract.manifest import Manifest
from batch.publish import functions, shard
from batch.publish.config import PublishConfig
from batch.publish.fold import fold_seen, read_folded
from batch.publish.folder import GenerationFolder
from batch.publish.forget.refuse import refuse_forgotten
from batch.publish.gate.report import Report
from batch.publish.generation import GenerationContent
from batch.publish.kinds import refuse_other_kinds
from batch.publish.ledger.promotion import promote
from batch.publish.memory.plan import Plan
from batch.publish.memory.room import measure_taken
from batch.publish.names import save_names
from batch.publish.numbers import number_posts, write_numbers
from batch.publish.retire import retire, sweep
from batch.publish.store import GenerationStore
from batch.publish.user_digests import UserDigests
from batch.store.lease import Lease, LeaseLost, hold
from batch.store.restore import is_taken
from batch.store.server import Needs, require
from batch.store.who import who_am_i

# Users; fewer go in key by key. On a fresh machine what makes whole keys compiles for ten seconds, and that
# many lists and seen sets take seven key by key.
FEWEST_RESTORED = 4096

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


@dataclass(slots=True)
class Build:
    """A generation in state building. Whoever fills it adds to its checksums and counts.

    Attributes:
        store: Where it is written.
        config: How.
        lease: The right to publish; check it before each write.
        content: Everything but the lists.
        manifest: As it is so far; whole once the generation is sealed.
        checksums: Name to digest, for the manifest.
        counts: Name to count, for the manifest.
        held_back: The gate's report, where it stops the generation.
        past_s: First second that it answers, where it was made for a past time and is never current.
        restores: The store takes whole keys by RESTORE, see `batch.store.restore`.
        plan: What was planned of the store's memory; None: nothing was measured.
    """

    store: GenerationStore
    config: PublishConfig
    lease: Lease
    content: GenerationContent
    manifest: Manifest
    checksums: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    held_back: Report | None = None
    past_s: int | None = None
    restores: bool = False
    plan: Plan | None = None

    @property
    def number(self) -> int:
        """Return its number."""
        return self.manifest.generation

    @property
    def folder(self) -> GenerationFolder:
        """Return its folder."""
        return GenerationFolder.of(self.config.root, self.number)

    def keep_digests(self, digests: UserDigests) -> None:
        """Save the digests of all users, and take over the checksums and counts that follow from them."""
        digests.save(self.folder.user_digests)
        self.checksums |= digests.checksums()
        self.counts |= digests.counts()

    def judge(self, report: Report) -> None:
        """Put the gate's report into manifest and log; in the mode `on`, hold back what it doubts.

        Raises:
            GateClosed: The lists are incomplete: not worth keeping.
        """
        mode = self.config.gate
        extra = {"generation": self.number, "outcome": report.outcome, "why": report.why, "live": report.live}
        log.info("generation.judged", extra={**extra, "mode": mode})
        self.manifest = replace(self.manifest, gate={**asdict(report), "mode": mode})
        if mode == "on" and report.outcome != "proceed":
            self.held_back = report
            if report.outcome == "abort":
                raise GateClosed(self.number, report)


@contextmanager
def building(
    store: GenerationStore,
    content: GenerationContent,
    config: PublishConfig,
    reserve: Callable[[GenerationContent], Plan | None],
    *,
    past_s: int | None = None,
) -> Iterator[Build]:
    """Take a number, let the block fill the generation, seal it, make it current; clear it on failure.

    Args:
        store: Where it is written.
        content: Everything but the lists.
        config: How it is published.
        reserve: Makes sure that there is room, before anything is written, and is given the content with the
            numbers of its posts; None: the room is not measured.
        past_s: First second that it answers, where it is made for a past time and is never current.

    Raises:
        StoreUnfit: The server's version or settings would break the lists; nothing was written.
        IdsChanged: Ids that were numbers are text now; nothing was written.
        LeaseTaken: Another run is publishing; nothing was written.
        ForgottenMeanwhile: Users of the content are forgotten; nothing was written.
        LeaseLost: This run stalled and lost its turn; what is served did not change.
        GateClosed: The gate did not let it through.
    """
    refuse_other_kinds(store, content.variant, content.user_names, content.post_names, config.ids)
    with hold(store.client, store.keys.lease(), config.now(), config.progress) as lease:
        build = begin(store, content, config, lease, reserve, past_s=past_s)
        with clear_on_failure(build):
            build.folder.create()
            save_names(build.folder, build.content)
            yield build
            seal(build)
        if past_s is None:
            release(build)


def begin(
    store: GenerationStore,
    content: GenerationContent,
    config: PublishConfig,
    lease: Lease,
    reserve: Callable[[GenerationContent], Plan | None],
    *,
    past_s: int | None = None,
) -> Build:
    """Take a number, and note in the store that a generation is being built; arguments are `building`'s."""
    refuse_forgotten(store, content)
    content = number_posts(store, content)
    require(store.client, _needs(content), store.keys.counter())
    functions.load(store.client)
    if past_s is None:
        with config.stage("retire"):
            sweep(store, lease, config, content.variant)
    plan = reserve(content)
    build = _take_number(store, content, config, lease)
    build.past_s, build.plan = past_s, plan
    build.restores = takes_whole_keys(store, len(content.user_ids))
    return build


def takes_whole_keys(store: GenerationStore, n_users: int) -> bool:
    """Say whether that many users' keys go in by RESTORE: they are enough, and the store takes it."""
    return n_users >= FEWEST_RESTORED and is_taken(store.client, store.keys.list(0, 0))  # they count from 1


def _needs(content: GenerationContent) -> Needs:
    longest = max((len(name.encode()) for name in content.segments), default=0)
    return Needs.of(content.post_numbers.tolist(), content.depth, content.horizon.n_buckets, longest)


def _take_number(
    store: GenerationStore, content: GenerationContent, config: PublishConfig, lease: Lease
) -> Build:
    """Take the next number and note, before the first list, all that clearing it would need to know.

    What numbers of posts stand for is written before that: a dictionary may know more than is served.
    """
    write_numbers(store, lease, content)
    keys, number = store.keys, int(store.client.incr(store.keys.counter()))
    manifest = content.draft(number, config.now(), config.layout, read_folded(store))
    build = Build(store, config, lease, content, manifest)

    def note(pipe: Pipeline) -> None:
        pipe.unlink(*keys.obsolete)  # 2026-11: when a run wrote its facts is not kept any more, see 0050
        pipe.hset(keys.states(), str(number), "building")
        pipe.set(keys.users(number), " ".join(map(quote, content.user_names.canonical(content.user_ids))))
        if content.profiles:
            pipe.set(keys.profiles(number), " ".join(sorted(content.profiles)))
        pipe.set(keys.manifest(number), build.manifest.to_json())

    lease.commit(note)
    log.info("generation.begun", extra={"generation": number, "variant": content.variant})
    return build


@contextmanager
def clear_on_failure(build: Build) -> Iterator[None]:
    """Clear a generation again where the block fails, unless the lease is lost."""
    try:
        yield
    except LeaseLost:
        raise  # the next holder clears; we may no longer write
    except BaseException:
        with suppress(redis.RedisError, LeaseLost):
            retire(build.store, build.lease, build.config.root, build.number, build.config.progress)
        raise


def seal(build: Build) -> None:
    """Write the whole manifest and the state in one transaction: from here on the lists never change."""
    keys, number, report = build.store.keys, build.number, build.held_back
    build.counts |= measure_taken(build.plan, build.store.client) if build.plan else {}
    counts: Mapping[str, int] = {**build.manifest.counts, **build.counts}
    root = shard.root(build.checksums)
    build.manifest = replace(build.manifest, checksums=build.checksums, root=root, counts=dict(counts))
    build.folder.manifest.write_bytes(build.manifest.to_json())
    state = "quarantined" if report and report.outcome == "quarantine" else "sealed"

    def write(pipe: Pipeline) -> None:
        pipe.unlink(keys.shards(number))
        pipe.set(keys.manifest(number), build.manifest.to_json())
        pipe.hset(keys.states(), str(number), state)
        if build.past_s is not None:
            pipe.zadd(keys.past(build.content.variant), {str(number): build.past_s})

    build.lease.commit(write)
    log.info("generation.sealed", extra={"generation": number, "n_lists": build.manifest.counts["lists"]})


def release(build: Build) -> None:
    """Make it current, unless the gate holds it back; then retire what is beyond the number kept.

    Raises:
        GateClosed: The gate holds it back.
    """
    config, variant = build.config, build.content.variant
    if build.held_back is None:
        with config.stage("promote"):
            promote(build.store, build.number, config.now(), lease=build.lease, who=who_am_i())
    with config.stage("retire"):
        sweep(build.store, build.lease, config, variant, spared=build.number)
    if config.layout == "packed":
        with config.stage("pack seen"):
            users = build.content.user_names.canonical(build.content.user_ids)
            fold_seen(build.store, build.lease, users, config.progress)
    if build.held_back is None:
        return
    raise GateClosed(build.number, build.held_back)
