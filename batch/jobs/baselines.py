"""A baseline's run: it learns from the facts, and its lists are published under its own name."""

from dataclasses import replace

import numpy as np
import redis

from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.features import asof
from batch.jobs.assemble import add_explored, add_similar, assemble_content
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import read_tuned
from batch.learn.baselines.model_name import model_name
from batch.learn.baselines.recommender import Baseline
from batch.learn.recipe import read_stages
from batch.progress import Progress
from batch.publish.config import PublishConfig
from batch.publish.generation import choose_left_out
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.settings import Settings


def publish_baseline(
    settings: Settings,
    store: redis.Redis,
    facts: Facts,
    statics: asof.Statics,
    baseline: Baseline,
    progress: Progress,
) -> Manifest:
    """Fit a baseline on all facts and publish its lists of all users, the cold ones included.

    It keeps no model, so it leaves no inputs to score again from; and the gate is not asked, which would
    rightly stop what many of them are for: one list for all, places by chance.

    Raises:
        RuntimeError: What `publish` raises.
    """
    given = read_tuned(settings.tuned, baseline.name, baseline.knobs)
    stages = read_stages(settings)
    interactions = Interactions(facts, statics, settings.seed, settings.threads, given, stages)
    with progress.step("train"):
        fitted = baseline.fit(interactions)
    with progress.step("features"):
        counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
        own = assemble_content(settings, facts, counts, model_name(baseline, interactions))
        own = add_similar(settings, facts, statics, own)
        own = add_explored(settings, facts, statics, counts, own)
    seen = choose_left_out(own.seen_policy, own.views, own.likes)
    opened = None if own.windows is None else own.windows.at(np.array(own.horizon.starts))
    with progress.phases("publish") as show:
        return publish(
            GenerationStore(store, settings.keys),
            own,
            fitted.blocks(seen, own.depth, own.horizon.n_buckets, opened),
            replace(PublishConfig.of(settings, show, progress.step), gate="off"),
        )
