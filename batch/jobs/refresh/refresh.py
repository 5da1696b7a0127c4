"""A refresh, top to bottom: who has moved, their features, their lists, one more generation."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import redis

from api.contract.buckets import moment
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.features.text import Unplaceable
from batch.jobs.assemble import score_lists
from batch.jobs.refresh.digests import Changes, compare, digest_inputs
from batch.jobs.refresh.frozen import keep_frozen
from batch.jobs.refresh.plan import RefreshPlan, plan_refresh
from batch.jobs.refresh.start import FullRunNeeded, Start, find_start, refuse
from batch.jobs.refresh.steps import Work
from batch.jobs.refresh.stored import read_stored
from batch.jobs.refresh.writer import Refreshed, publish_refreshed
from batch.progress import Progress
from batch.publish.config import PublishConfig, clock
from batch.publish.store import GenerationStore
from batch.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a refresh did, as its JSON says it.

    Attributes:
        generation: The new one; the one it started from where nothing had moved.
        base: The one it started from.
        as_of: Newest fact, ISO 8601.
        full_as_of: Newest fact of the last full run, whose model and tables these are.
        users_scored: Users whose lists were scored against all posts.
        users_merged: Users in whose lists a new or edited post found a place.
        users_carried: Users whose lists were copied as they were.
        users_new: Users whom the base did not know.
        users_gone: Users whom the facts do not know any more.
        posts_new: Posts that the base did not know.
        posts_edited: Posts whose text, topic or embedding differs.
        lists_written: Lists that were written.
        lists_carried: Lists that were copied.
        root: Checksum of the generation.
        seconds: Step to its seconds.
    """

    generation: int
    base: int
    as_of: str
    full_as_of: str
    users_scored: int
    users_merged: int
    users_carried: int
    users_new: int
    users_gone: int
    posts_new: int
    posts_edited: int
    lists_written: int
    lists_carried: int
    root: str
    seconds: dict[str, float]


def refresh(
    settings: Settings,
    store: redis.Redis,
    facts: Facts,
    progress: Progress,
    *,
    now: Callable[[], int] = clock,
) -> Outcome:
    """Publish a generation that differs from the served one by what has changed since.

    It is byte for byte what scoring and publishing everything would give with the model, the tables, the
    posts' and all users' features and the horizon of the last full run.

    Args:
        settings: Frozen settings; those that shape lists must be the last full run's.
        store: Client of the store, replies as bytes.
        facts: All facts as they are now.
        progress: Where to show the steps.
        now: The clock, epoch seconds.

    Raises:
        FullRunNeeded: It cannot; nothing was written.
        RuntimeError: What `publish_refreshed` raises.
    """
    generations = GenerationStore(store, Keys(settings.prefix))
    with progress.step("compare"):
        begin = find_start(settings, generations, settings.state_dir / "generations")
        digests = digest_inputs(facts)
        changes = compare(begin.facts, digests)
        refuse(begin, facts, changes)
    work = Work()
    if not changes.any:
        return _outcome(begin, begin.base.manifest, changes, work, progress)
    with progress.step("inputs"):
        plan = _plan(begin, facts, changes)
    base = begin.base
    stored = partial(
        read_stored, folder=base.folder, horizon=base.manifest.horizon, depth=base.manifest.depth
    )
    steps = work.steps(plan, partial(score_lists, settings), stored)
    with progress.phases("publish") as show:
        refreshed = Refreshed(base, steps, plan.moved, plan.inputs, keep_frozen(base.folder, digests))
        config = replace(PublishConfig.of(settings, show), now=now)
        manifest = publish_refreshed(generations, plan.content, refreshed, config)
    outcome = _outcome(begin, manifest, changes, work, progress)
    log.info("refresh.done", extra=asdict(outcome))
    return outcome


def _plan(begin: Start, facts: Facts, changes: Changes) -> RefreshPlan:
    try:
        return plan_refresh(begin.base.manifest, begin.frozen, begin.inputs(), facts, changes)
    except Unplaceable as exc:
        raise FullRunNeeded(str(exc)) from exc


def _outcome(begin: Start, manifest: Manifest, changes: Changes, work: Work, progress: Progress) -> Outcome:
    n_buckets = manifest.n_buckets
    return Outcome(
        generation=manifest.generation,
        base=begin.base.manifest.generation,
        as_of=moment(manifest.as_of_s).isoformat(),
        full_as_of=moment(begin.frozen.as_of_s).isoformat(),
        users_scored=work.scored,
        users_merged=work.merged,
        users_carried=work.carried,
        users_new=int(changes.new_users.sum()),
        users_gone=changes.n_users_gone,
        posts_new=int(changes.new_posts.sum()),
        posts_edited=int((changes.posts & ~changes.new_posts).sum()),
        lists_written=(work.scored + work.merged) * n_buckets,
        lists_carried=work.carried * n_buckets,
        root=manifest.root,
        seconds=dict(progress.seconds),
    )
