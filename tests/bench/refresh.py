"""What a refresh costs beside scoring and publishing everything, in one run, on one store.

A made world is scored and published whole; some users' facts change; a refresh follows; then everything is
scored and published whole again on the same frozen parts, and the two must be equal byte for byte.
"""

import os
import platform
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import redis

from api.contract.buckets import DAY_S
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.data.seen import earliest
from batch.features import asof
from batch.features.profile import segments
from batch.jobs.assemble import assemble_publication, score_lists
from batch.jobs.refresh.digests import InputDigests, compare, digest_inputs
from batch.jobs.refresh.frozen import Frozen, freeze
from batch.jobs.refresh.plan import plan_refresh
from batch.jobs.refresh.refresh import Outcome, refresh
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.progress import Progress, silent
from batch.publish.config import PublishConfig
from batch.publish.folder import GenerationFolder
from batch.publish.proof.inputs import INPUTS, load
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts as simulate
from batch.store.connection import connect_store
from tests.bench.made import FIRST_DAY, Size

EARLIER_DAYS = 81  # before the simulated days; with them 90, the span of the original's feed
LIKE_RATE = 0.107
NEW_EVENTS = 10  # of each user who changes


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of whole publications and of refreshes, whether they agree, and what the store held.

    Attributes:
        first: The first generation, published into an empty store.
        first_s: Seconds of its scoring and publishing.
        whole_s: The same of the one on the frozen parts.
        refresh_s: Seconds of the refresh.
        outcome: What it did.
        same: It equals the whole one.
        peak: Most bytes that the store took: the whole one being built beside the refresh and the first.
    """

    first: Manifest
    first_s: float
    whole_s: float
    refresh_s: float
    outcome: Outcome
    same: bool
    peak: int


def run(size: Size | None = None, share: float = 0.01, threads: int = 0) -> dict[str, object]:
    """Measure and return the figures.

    `ratio` is against scoring and publishing everything into an empty store, `ratio_seen_held` against doing
    so beside an older generation, when all seen posts but the newest are in the store already.
    `store_mb_peak` is with three generations in the store: two, and the one being built.

    Args:
        size: What is made; None: the original's users, posts and seen posts.
        share: Users that move between the two, 0..1.
        threads: Threads of everything; 0: all cores.

    Raises:
        AssertionError: The refresh is not equal to the whole publication.
    """
    size = size or Size()
    facts = make_facts(size)
    with TemporaryDirectory() as folder:
        settings = Settings(
            state_dir=Path(folder),
            n_buckets=size.n_buckets,
            n_trees=size.n_trees,
            n_leaves=size.n_leaves,
            seed=size.seed,
            threads=threads,
        )
        with connect_store(settings) as store:
            found = _measure(settings, store, facts, share)
    assert found.same, "the refresh is not what a whole publication on the frozen parts gives"
    planned, taken = (found.first.counts[name] for name in ("bytes_planned", "bytes_taken"))
    n_events, n_users, n_posts = len(facts.time), len(facts.users), len(facts.posts)
    return {
        "machine": f"{os.cpu_count()} × {platform.machine()}",
        "size": f"{n_users} users × {n_posts} posts × {size.n_buckets} buckets, {n_events} events",
        "users_moved": found.outcome.users_scored,
        "seconds_whole": round(found.first_s, 1),
        "seconds_whole_seen_held": round(found.whole_s, 1),
        "seconds_refresh": round(found.refresh_s, 2),
        "seconds_of_steps": found.outcome.seconds,
        "ratio": round(found.refresh_s / found.first_s, 4),
        "ratio_seen_held": round(found.refresh_s / found.whole_s, 4),
        "lists_written": found.outcome.lists_written,
        "lists_carried": found.outcome.lists_carried,
        "store_mb_planned": round(planned / 1e6, 1),
        "store_mb_taken": round(taken / 1e6, 1),
        "plan_error": round(planned / taken - 1, 4),
        "store_mb_peak": round(found.peak / 1e6, 1),
        "root": found.outcome.root,
        "equal": found.same,
    }


def _measure(settings: Settings, store: redis.Redis, facts: Facts, share: float) -> Measured:
    base, first_s = publish_first(settings, store, facts)
    later = move(facts, share, np.random.default_rng(settings.seed))
    begin = time.perf_counter()
    outcome = refresh(settings, store, later, Progress(), now=lambda: int(time.time()))
    refresh_s = time.perf_counter() - begin
    whole, whole_s = _whole(settings, store, base, later)
    peak = int(store.info("memory")["used_memory_peak"])
    return Measured(base, first_s, whole_s, refresh_s, outcome, whole.root == outcome.root, peak)


def make_facts(size: Size) -> Facts:
    """Simulate the last days, and draw earlier ones, so that users have seen as many posts as they had."""
    last = FIRST_DAY + timedelta(days=size.n_days)
    world = WorldConfig(size.n_users, size.n_posts, size.seed, start=FIRST_DAY, end=last)
    facts = simulate(world)
    rng = np.random.default_rng(size.seed)
    n = max(size.n_users * size.n_seen - len(facts.time), 0)
    return replace(
        facts,
        user=np.concatenate([rng.integers(0, size.n_users, n, np.int32), facts.user]),
        post=np.concatenate([rng.integers(0, size.n_posts, n, np.int32), facts.post]),
        time=np.concatenate([np.sort(world.start_s - rng.integers(1, EARLIER_DAYS * DAY_S, n)), facts.time]),
        action=np.concatenate([np.zeros(n, np.int8), facts.action]),
        target=np.concatenate([(rng.random(n) < LIKE_RATE).astype(np.int8), facts.target]),
    )


def publish_first(settings: Settings, store: redis.Redis, facts: Facts) -> tuple[Manifest, float]:
    """Learn, then score and publish whole; return the seconds of the latter two."""
    known = asof.describe(facts, settings.seed)
    model = train(facts, known, facts.as_of_s, Recipe.of(settings)).model
    first = assemble_publication(settings, facts, known, model, facts.as_of_s)
    keep = freeze(facts, known, first, digest_inputs(facts))
    begin = time.perf_counter()
    manifest = publish(
        GenerationStore(store, Keys(settings.prefix)),
        first.content,
        first.lists,
        replace(PublishConfig.of(settings, silent), gate="off"),
        inputs=first.inputs,
        keep=keep,
    )
    return manifest, time.perf_counter() - begin


def move(facts: Facts, share: float, rng: np.random.Generator) -> Facts:
    """Let some users go on for a while."""
    n_users = max(1, round(share * len(facts.users)))
    user = np.repeat(rng.choice(len(facts.users), n_users, replace=False), NEW_EVENTS)
    n = len(user)
    at_s = np.sort(rng.integers(facts.as_of_s + 1, facts.as_of_s + 3600, n))
    return replace(
        facts,
        user=np.concatenate([facts.user, rng.permutation(user).astype(np.int32)]),
        post=np.concatenate([facts.post, rng.integers(0, len(facts.posts), n, np.int32)]),
        time=np.concatenate([facts.time, at_s]),
        action=np.concatenate([facts.action, np.zeros(n, np.int8)]),
        target=np.concatenate([facts.target, (rng.random(n) < LIKE_RATE).astype(np.int8)]),
    )


def _whole(settings: Settings, store: redis.Redis, base: Manifest, facts: Facts) -> tuple[Manifest, float]:
    """Score and publish everything on the frozen parts; return the seconds of that."""
    folder = GenerationFolder.of(settings.state_dir / "generations", base.generation)
    before = InputDigests.load(folder.frozen)
    inputs = load(folder.inputs, None, base.checksums[INPUTS])
    planned = plan_refresh(
        base, Frozen.load(folder.frozen), inputs, facts, compare(before, digest_inputs(facts))
    )
    names, segment = segments(facts.users, base.segment_by)
    content = replace(
        planned.content,
        views=earliest(facts, "views"),
        likes=earliest(facts, "likes"),
        segment_of=[names[number] if number >= 0 else None for number in segment],
    )
    begin = time.perf_counter()
    manifest = publish(
        GenerationStore(store, Keys(settings.prefix)),
        content,
        score_lists(settings, planned.inputs, content.depth),
        replace(PublishConfig.of(settings, silent), gate="off"),
        inputs=planned.inputs,
    )
    return manifest, time.perf_counter() - begin
