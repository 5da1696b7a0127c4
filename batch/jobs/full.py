"""One run, top to bottom: facts → features → model → lists → generation; each step takes the last value."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis

from api.contract.buckets import moment
from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.data.load import read_facts_now
from batch.evaluate.nightly import measure_run
from batch.features import asof
from batch.jobs.assemble import Publication, assemble_publication
from batch.jobs.baselines import publish_baseline
from batch.jobs.refresh.digests import InputDigests, digest_inputs
from batch.jobs.refresh.frozen import freeze
from batch.jobs.warm import Start, choose_start, keep_fit
from batch.learn.baselines.named import find_baseline, require_package
from batch.learn.chosen import compared_of, describe_choice, weights_of
from batch.learn.factors.collaborative import REGRESSED
from batch.learn.given import digest, read_model
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from batch.learn.train import AGE, renew, train
from batch.progress import Progress
from batch.publish.config import PublishConfig
from batch.publish.kinds import refuse_other_kinds
from batch.publish.publish import Keep, publish
from batch.publish.store import GenerationStore
from batch.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did, as its JSON says it."""

    generation: int
    variant: str
    as_of: str
    rows_read: dict[str, int]
    rows_rejected: dict[str, int]
    rows_ignored: dict[str, int]
    time_units_guessed: dict[str, int]
    times_hint: str
    columns_ignored: dict[str, list[str]]
    forgotten: dict[str, int]
    shown: str
    views: int
    views_liked: int
    users: int
    users_with_profile: int
    users_without_profile: int
    posts: int
    posts_without_text: int
    posts_without_embedding: int
    broken_embeddings: int
    infinite: dict[str, int]
    lists_written: int
    facts: str
    root: str
    model: str
    chosen: str
    metrics: dict[str, float]
    seconds: dict[str, float]


class PublishBy(Protocol):
    """Makes a generation of what is ready for publication."""

    def __call__(
        self,
        settings: Settings,
        generations: GenerationStore,
        tonight: Publication,
        keep: Keep,
        progress: Progress,
    ) -> Manifest:
        """Return its manifest; `keep` writes into its folder what later refreshes need."""


def publish_here(
    settings: Settings, generations: GenerationStore, tonight: Publication, keep: Keep, progress: Progress
) -> Manifest:
    """Score, write, seal and promote in this process."""
    with progress.phases("publish") as show:
        config = PublishConfig.of(settings, show, progress.step)
        return publish(generations, tonight.content, tonight.lists, config, inputs=tonight.inputs, keep=keep)


def run(
    settings: Settings,
    store: redis.Redis,
    location: str,
    progress: Progress,
    *,
    split: Split | None = None,
    evaluated: bool = True,
    facts: Facts | None = None,
    given: Path | None = None,
    trained: Ranker | None = None,
    anew: bool = False,
    keep: Callable[[Ranker], None] = lambda _model: None,
    publish_by: "PublishBy | None" = None,
) -> Result:
    """Read, learn, score and publish; what is served changes only by the last step's single write.

    A variant named as one of `batch.learn.baselines` is made by it, any other by our own model.

    Args:
        settings: Frozen settings of this run.
        store: Client of the store, replies as bytes.
        location: Folder or URL of the facts.
        progress: Where to show the steps.
        split: Test days of the evaluation; None finds the last week of histories.
        evaluated: False skips the evaluation and the two trainings it takes; a baseline's run has none.
        facts: What `read_facts_now` has read already; None reads them.
        given: Text of a model that somebody trained on our features; None trains ours.
        trained: Our model, where an earlier run has made it of these facts; it is taken as long as features
            still mean what its trees know.
        anew: Our model is fitted anew, though weights and trees of some nights ago are kept.
        keep: Called with the model once it is saved.
        publish_by: Makes a generation of what is ready; None: `publish_here`.

    Raises:
        LookupError: The baseline needs a package that is not installed.
        SourceError: The facts cannot be read; TooManyRejected: too many of them are bad.
        IdsChanged: Ids that were numbers are text now.
        ValueError: They cannot train a model.
        RuntimeError: What `publish` raises.
    """
    baseline = find_baseline(settings.variant)
    if baseline is not None:
        if publish_by is not None:
            raise ValueError(f"variant {settings.variant!r} is a peer's, which has no shards: run it whole")
        require_package(baseline)
        if given is not None:
            raise ValueError(f"variant {settings.variant!r} is a peer's, which ranks by no model of yours")
    facts = facts or read_facts_now(settings, store, location, progress)
    generations = GenerationStore(store, settings.keys)  # asked before the work
    refuse_other_kinds(generations, settings.variant, facts.user_names, facts.post_names, settings.ids)
    with progress.step("describe"):
        if baseline is None and given is None:
            start = choose_start(settings, facts, location, anew=anew)
        else:
            start = Start(asof.describe(facts, settings.seed), None)
        statics = start.statics
    if baseline is not None:
        manifest = publish_baseline(settings, store, facts, statics, baseline, progress)
        return _finish(facts, digest_inputs(facts), manifest, progress)
    if given is not None:
        model = read_model(given, facts, statics, facts.as_of_s)
        model.save(settings.state_dir / "models" / model.fingerprint)
    elif trained is not None and trained.made_of == digest(facts, statics):
        model = trained
    else:
        model = learn(settings, facts, location, start, progress, split=split, evaluated=evaluated, keep=keep)
    with progress.step("features"):
        tonight = assemble_publication(settings, facts, statics, model, facts.as_of_s)
        digests = digest_inputs(facts)
    manifest = (publish_by or publish_here)(
        settings, generations, tonight, freeze(facts, statics, tonight, digests), progress
    )
    model.save(settings.state_dir / "model")
    return _finish(facts, digests, manifest, progress)


def learn(
    settings: Settings,
    facts: Facts,
    location: str,
    start: Start,
    progress: Progress,
    *,
    split: Split | None,
    evaluated: bool,
    keep: Callable[[Ranker], None],
) -> Ranker:
    """Test our model, train or renew it, and save it under its fingerprint; arguments are those of `run`."""
    recipe, statics = Recipe.of(settings), start.statics
    metrics = _evaluate(settings, facts, statics, split, progress) if evaluated else {}
    if start.kept is not None:
        progress.skip("train")
        model = renew(start.kept, facts, statics, recipe, metrics, progress)
    else:
        training = train(facts, statics, facts.as_of_s, recipe, metrics, progress)
        model = training.model
        keep_fit(settings, facts, location, statics, training)
    _tell_choice(model, facts)
    model.save(settings.state_dir / "models" / model.fingerprint)
    keep(model)
    return model


def _tell_choice(model: Ranker, facts: Facts) -> None:
    """Log what was chosen to be published, and what it was compared with."""
    told = {
        "model": model.fingerprint,
        "says": describe_choice(model.metrics),
        "weights": weights_of(model.metrics),
        "compared": compared_of(model.metrics),
        "age_days": model.metrics[AGE],
        "left_out": max(len(facts.posts) - REGRESSED, 0) if facts.shown == "choices" else 0,
    }
    log.info("model.chosen", extra=told)


def _evaluate(
    settings: Settings,
    facts: Facts,
    statics: asof.Statics,
    split: Split | None,
    progress: Progress,
) -> dict[str, float]:
    with progress.step("evaluate"):
        split = split or last_week(facts)
        if split is None:
            log.warning("evaluation.skipped", extra={"why": "no user comes back on a later day"})
            return {}
        if facts.versions is not None:
            facts = facts.described_at(split.test_from_s - 1)
            statics = asof.describe(facts, settings.seed)
        return measure_run(facts, statics, split, Recipe.of(settings))


def _finish(facts: Facts, digests: InputDigests, manifest: Manifest, progress: Progress) -> Result:
    report = facts.report
    return Result(
        generation=manifest.generation,
        variant=manifest.variant,
        as_of=moment(manifest.as_of_s).isoformat(),
        rows_read=report.read,
        rows_rejected=report.rejected,
        rows_ignored=report.ignored,
        time_units_guessed=report.time_units_guessed,
        times_hint=report.times_hint,
        columns_ignored=report.columns_ignored,
        forgotten=report.forgotten,
        shown=facts.shown,
        views=int(facts.views.sum()),
        views_liked=int(facts.target.sum()),
        users=len(facts.users),
        users_with_profile=report.users_with_profile,
        users_without_profile=report.users_without_profile,
        posts=len(facts.posts),
        posts_without_text=report.posts_without_text,
        posts_without_embedding=report.posts_without_embedding,
        broken_embeddings=report.broken_embeddings,
        infinite=report.infinite,
        lists_written=manifest.counts["lists"],
        facts=digests.fingerprint,
        root=manifest.root,
        model=manifest.model,
        chosen=describe_choice(manifest.metrics),
        metrics=manifest.metrics,
        seconds=progress.seconds,
    )
