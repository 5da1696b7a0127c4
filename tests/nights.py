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

from api.contract.buckets import DAY_S, Horizon
from api.contract.keys import Keys
from api.contract.manifest import Manifest
from batch.features import asof, popularity
from batch.features.profile import segments
from batch.judge.evaluate import Plan, evaluate
from batch.judge.gate.thresholds import Thresholds
from batch.learn import ranker
from batch.learn.learn import Recipe
from batch.learn.split import Split
from batch.publish.generation import Edition, left_out, post_json
from batch.publish.proof.inputs import Inputs
from batch.publish.writer import publish
from batch.score.predict import scorer
from batch.score.ranked import RankedBlock
from batch.source.facts import Facts
from batch.source.mapping import Mapping
from batch.source.read import read
from batch.source.seen import SeenTimes, earliest
from batch.source.sink import write
from batch.world.config import WorldConfig
from batch.world.feed import tables

N_TREES, DEPTH, TRAIN_DAYS, TEST_DAYS, N_BUCKETS = 20, 20, 10, 3, 3
KEYS = Keys()
WORLD = WorldConfig(300, 400, 3, "gaussian", 1.0, date(2021, 12, 1), date(2021, 12, 31))


@cache
def whole() -> tuple[Facts, asof.Statics]:
    """Make the world once: 300 users, 400 posts, thirty days."""
    with TemporaryDirectory() as folder:
        write(folder, tables(WORLD), replace=True, progress=lambda *_: None)
        facts = read(
            folder,
            mapping=Mapping.load(""),
            rejects=Path(folder, "rejects.jsonl"),
            max_rejected_share=0.0,
            now_s=2**33,
            progress=lambda *_: None,
        )
    return facts, asof.statics(facts, WORLD.seed)


@dataclass(frozen=True, slots=True)
class Night:
    """All that one run hands to publishing."""

    edition: Edition
    inputs: Inputs

    def blocks(self) -> Iterator[RankedBlock]:
        """Score everything by LightGBM's own predict."""
        booster = lgb.Booster(model_str=self.inputs.model)
        return scorer(booster, dense=self.inputs.dense)(self.inputs.sides, self.inputs.left_out, DEPTH)

    def of(self, users: npt.NDArray[np.integer]) -> "Night":
        """Return the same night with only some users, given by row number."""
        known = self.edition
        edition = replace(
            known,
            user_ids=known.user_ids[users],
            segment_of=[known.segment_of[user] for user in users.tolist()],
            views=_of(known.views, users),
            likes=_of(known.likes, users),
        )
        return Night(edition, self.inputs.part(users, np.arange(N_BUCKETS)))

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
        return Night(self.edition, replace(self.inputs, sides=changed))


def _of(times: SeenTimes, users: npt.NDArray[np.integer]) -> SeenTimes:
    at = np.concatenate([np.arange(times.start[user], times.start[user + 1]) for user in users.tolist()])
    start = np.concatenate([[0], np.cumsum(np.diff(times.start)[users])]).astype(np.int64)
    return SeenTimes(start, times.post[at], times.time[at])


@cache
def night(day: int) -> Night:
    """Return the run at the end of a day, counted from 1."""
    return compute(day)


def compute(day: int, *, blank: tuple[str, ...] = ()) -> Night:
    """Compute the run at the end of a day; training sees nothing in the columns of the sides in `blank`."""
    everything, known = whole()
    end_s = int(everything.time[0]) // DAY_S * DAY_S + day * DAY_S
    facts = everything.until(end_s - 1)
    as_of_s = facts.as_of_s
    split = Split(end_s - TEST_DAYS * DAY_S, end_s)
    plan = Plan(split, Recipe(TRAIN_DAYS, 10**6, 3600, N_TREES, 31, WORLD.seed))
    metrics = evaluate(facts, known, plan, {})
    rng = np.random.default_rng(WORLD.seed)
    rows = asof.rows(facts, known, end_s - TRAIN_DAYS * DAY_S, end_s, 3600, 10**6, rng)
    rows.x[:, [feature.side in blank for feature in known.features]] = np.nan
    model = ranker.train(
        rows, known.features, as_of_s, n_trees=N_TREES, n_leaves=31, seed=WORLD.seed, metrics=metrics
    )
    horizon = Horizon.after(as_of_s, 3600, N_BUCKETS)
    counts = asof.tally(facts, known).advance(as_of_s)
    sides = asof.sides(facts, known, counts, np.array(horizon.starts, np.int64))
    names, segment = segments(facts.users, ("gender",))
    popular = popularity.rank(facts, counts, sides.starts, segment, len(names), DEPTH)
    edition = Edition(
        variant="default",
        as_of_s=as_of_s,
        horizon=horizon,
        depth=DEPTH,
        seen_policy="views",
        model=model.fingerprint,
        features=tuple(feature.name for feature in model.features),
        segment_by=("gender",),
        user_ids=facts.user_ids,
        post_ids=facts.post_ids,
        posts=post_json(facts.posts),
        popular=popular.buckets,
        segments=dict(zip(names, popular.segments, strict=True)),
        segment_of=[names[number] if number >= 0 else None for number in segment],
        catalogue=popular.catalogue,
        views=earliest(facts, "views"),
        likes=earliest(facts, "likes"),
        metrics=metrics,
    )
    return Night(edition, Inputs(model.text, sides, left_out("views", edition.views, edition.likes)))


def publish_night(
    store: redis.Redis,
    folder: Path,
    run: Night,
    blocks: Iterator[RankedBlock] | None = None,
    *,
    inputs: bool = True,
    force: bool = False,
) -> Manifest:
    """Publish a night through the gate with its default limits."""
    return publish(
        store,
        KEYS,
        run.edition,
        run.blocks() if blocks is None else blocks,
        folder,
        now=lambda: run.edition.as_of_s + 60,
        ttl_s=14 * DAY_S,
        kept=2,
        inputs=run.inputs if inputs else None,
        limits=Thresholds(),
        force=force,
    )
