"""Nights of a small made world: trained, scored and published as a run does it, and spoilt on purpose."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import redis

from api.contract.buckets import DAY_S
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.validation.rejects import Limits
from batch.data.write import write
from batch.evaluate.nightly import measure_run
from batch.features import asof
from batch.jobs.assemble import assemble_publication
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.learn.train import learn, training_rows
from batch.publish.config import GateMode
from batch.publish.generation import GenerationContent
from batch.publish.proof.inputs import Inputs
from batch.publish.publish import publish
from batch.publish.store import GenerationStore
from batch.score.predict import score_by_predict
from batch.score.ranked import RankedBlock
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import tables
from tests.content import config

N_TREES, DEPTH, TRAIN_DAYS, TEST_DAYS, N_BUCKETS = 20, 20, 10, 3, 3
KEYS = Keys()
SETTINGS = Settings(
    n_buckets=N_BUCKETS, depth=DEPTH, segment_by="gender", n_trees=N_TREES, train_days=TRAIN_DAYS, seed=3
)
# A world in which chance does not explain the lifts by cluster: a leak needs a feature that is alive.
WORLD = WorldConfig(1000, 400, 1, "gaussian", 2.0, date(2021, 12, 1), date(2022, 1, 14))


@cache
def whole() -> tuple[Facts, asof.Statics]:
    """Make the world once: 1,000 users, 400 posts, six weeks."""
    with TemporaryDirectory() as folder:
        write(folder, tables(WORLD), replace=True)
        facts = read(
            folder,
            mapping=Mapping.load(""),
            rejects=Path(folder, "rejects.jsonl"),
            limits=Limits(0, 0, 0, 0),
            now_s=2**33,
        )
    return facts, asof.describe(facts, WORLD.seed)


@dataclass(frozen=True, slots=True)
class Night:
    """All that one run hands to publishing."""

    content: GenerationContent
    inputs: Inputs

    def blocks(self) -> Iterator[RankedBlock]:
        """Score everything by LightGBM's own predict."""
        booster = lgb.Booster(model_str=self.inputs.model)
        inputs = self.inputs
        return score_by_predict(booster, inputs.sides, inputs.left_out, DEPTH, dense=inputs.dense)

    def of(self, users: npt.NDArray[np.integer]) -> "Night":
        """Return the same night with only some users, given by row number."""
        known = self.content
        content = replace(
            known,
            user_ids=known.user_ids[users],
            segment_of=[known.segment_of[user] for user in users.tolist()],
            views=known.views.of_users(users),
            likes=known.likes.of_users(users),
        )
        return Night(content, self.inputs.part(users, np.arange(N_BUCKETS)))

    def with_swapped(self, one: str, other: str) -> "Night":
        """Return the same night, scored from sides in which two columns stand in each other's place."""
        sides = self.inputs.sides
        side = next(feature.side for feature in sides.features if feature.name == one)
        names = [feature.name for feature in sides.features if feature.side == side]
        order = np.arange(len(names))
        a, b = names.index(one), names.index(other)
        order[[a, b]] = b, a
        swapped = sides.user[:, order] if side == "user" else sides.time[:, order]
        changed = replace(sides, **{side: swapped})  # type: ignore[arg-type] # the names of the sides
        return Night(self.content, replace(self.inputs, sides=changed))


@cache
def night(day: int) -> Night:
    """Return the run at the end of a day, counted from 1."""
    return compute(day)


def compute(day: int, *, for_all: bool = False) -> Night:
    """Compute the run at the end of a day; `for_all` takes what tells users apart from the model."""
    everything, known = whole()
    end_s = int(everything.time[0]) // DAY_S * DAY_S + day * DAY_S
    facts = everything.until(end_s - 1)
    split = Split(end_s - TEST_DAYS * DAY_S, end_s)
    metrics = measure_run(facts, known, split, Recipe.of(SETTINGS))
    estimates, rows = training_rows(facts, known, facts.as_of_s, Recipe.of(SETTINGS))
    if for_all:
        rows.x[:, [feature.side in ("user", "user_group") for feature in known.features]] = np.nan
    model = learn(facts, known, estimates, rows, Recipe.of(SETTINGS), metrics)
    if for_all:
        alike = np.tile(model.factors.x.mean(axis=0), (len(facts.users), 1))
        model = replace(model, factors=replace(model.factors, x=alike))
    tonight = assemble_publication(SETTINGS, facts, known, model, facts.as_of_s)
    return Night(tonight.content, tonight.inputs)


def publish_night(
    store: redis.Redis,
    folder: Path,
    run: Night,
    blocks: Iterator[RankedBlock] | None = None,
    *,
    inputs: bool = True,
    gate: GateMode = "on",
) -> Manifest:
    """Publish a night through the gate with its default limits."""
    return publish(
        GenerationStore(store, KEYS),
        run.content,
        run.blocks() if blocks is None else blocks,
        config(folder, ttl_s=14 * DAY_S, now=lambda: run.content.as_of_s + 60, gate=gate),
        inputs=run.inputs if inputs else None,
    )
