"""A refresh, top to bottom: who has moved, their features, their lists, one more generation."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import redis

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.features.text import Unplaceable
from batch.jobs.refresh.digests import Changes, InputDigests, compare, digest_inputs
from batch.jobs.refresh.plan import RefreshPlan, plan_refresh
from batch.jobs.refresh.start import Base, FullRunNeeded, find_base, refuse
from batch.jobs.refresh.steps import Kind, Step, make_steps
from batch.jobs.refresh.writer import publish_refreshed
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
        model: Name of the model, that of the last full run.
        facts: Checksum of all facts.
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
    model: str
    facts: str
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
    generations = GenerationStore(store, settings.keys)
    with progress.step("compare"):
        base = find_base(settings, generations, settings.state_dir / "generations")
        digests = digest_inputs(facts)
        changes = compare(base.facts, digests)
        refuse(base, facts, changes)
    n_users = Counter[Kind]()
    if not changes.any:
        return _outcome(base, base.manifest, digests, changes, n_users, progress)
    with progress.step("inputs"):
        plan = _plan(base, facts, changes)
    steps = _count(make_steps(settings, base, plan), n_users)
    with progress.phases("publish") as show:
        config = replace(PublishConfig.of(settings, show, progress.step), now=now)
        manifest = publish_refreshed(generations, base, plan, steps, digests, config)
    outcome = _outcome(base, manifest, digests, changes, n_users, progress)
    log.info("refresh.done", extra=asdict(outcome))
    return outcome


def _plan(base: Base, facts: Facts, changes: Changes) -> RefreshPlan:
    try:
        return plan_refresh(base.manifest, base.frozen, base.inputs(), facts, changes)
    except Unplaceable as exc:
        raise FullRunNeeded(str(exc)) from exc


def _count(steps: Iterator[Step], n_users: Counter[Kind]) -> Iterator[Step]:
    """Yield the steps, and count their users by kind."""
    for step in steps:
        n_users[step.kind] += len(step.users)
        yield step


def _outcome(
    base: Base,
    manifest: Manifest,
    digests: InputDigests,
    changes: Changes,
    n_users: Counter[Kind],
    progress: Progress,
) -> Outcome:
    return Outcome(
        generation=manifest.generation,
        base=base.manifest.generation,
        as_of=moment(manifest.as_of_s).isoformat(),
        full_as_of=moment(base.frozen.as_of_s).isoformat(),
        users_scored=n_users["scored"],
        users_merged=n_users["merged"],
        users_carried=n_users["carried"],
        users_new=int(changes.new_users.sum()),
        users_gone=changes.n_users_gone,
        posts_new=int(changes.new_posts.sum()),
        posts_edited=int((changes.posts & ~changes.new_posts).sum()),
        lists_written=(n_users["scored"] + n_users["merged"]) * manifest.n_buckets,
        lists_carried=n_users["carried"] * manifest.n_buckets,
        model=manifest.model,
        facts=digests.fingerprint,
        root=manifest.root,
        seconds=dict(progress.seconds),
    )
