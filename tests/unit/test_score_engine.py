"""The engine against LightGBM's own `predict`, over random models: every list, position by position."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import lightgbm as lgb
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.features.sides import Feature, Side, Sides
from batch.score import predict
from batch.score.engine import score
from batch.score.ranked import RankedBlock, SeenRows

ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36, 1e-34, 3e9, -0.5, 1e30], np.float32)


@dataclasses.dataclass(frozen=True)
class World:
    """What one example scores."""

    booster: lgb.Booster
    sides: Sides
    seen: SeenRows
    depth: int


def make_sides(rng: np.random.Generator, n_users: int, n_posts: int, n_buckets: int, n_groups: int) -> Sides:
    """Draw sides with numerical, categorical, constant and tied columns, and odd values among them."""
    sides: list[Side] = ["user", "user", "user", "post", "post", "post", "time", "user_group", "user_group"]
    kinds = rng.permutation(9)
    features = tuple(
        Feature(f"f{k}", sides[kind], categorical=bool(rng.random() < 0.3)) for k, kind in enumerate(kinds)
    )

    def draw(feature: Feature, *shape: int) -> np.ndarray:
        if feature.categorical:
            values = rng.integers(-1, 70, shape).astype(np.float32)
        else:
            form = rng.integers(0, 3)
            values = (
                rng.normal(size=shape)
                if form == 0
                else rng.integers(-2, 3, shape)
                if form == 1
                else np.ones(shape)
            ).astype(np.float32)
        odd = rng.random(shape) < rng.choice([0.0, 0.15])
        return np.where(odd, rng.choice(ODD, shape), values).astype(np.float32)

    def columns(side: Side, n: int) -> np.ndarray:
        some = [draw(feature, n) for feature in features if feature.side == side]
        return np.stack(some, axis=1)

    return Sides(
        features=features,
        user_ids=np.arange(n_users, dtype=np.int64),
        post_ids=np.arange(n_posts, dtype=np.int64) * 3 + 1,
        starts=np.arange(n_buckets, dtype=np.int64) * 3600,
        user=columns("user", n_users),
        post=columns("post", n_posts),
        time=columns("time", n_buckets),
        user_group=np.stack([draw(f, n_users, n_groups) for f in features if f.side == "user_group"]),
        group=rng.integers(0, n_groups, n_posts).astype(np.int32),
    )


def make_seen(rng: np.random.Generator, n_users: int, n_posts: int) -> SeenRows:
    """Draw seen sets of every size, from none to all posts."""
    seen = rng.random((n_users, n_posts)) < rng.choice([0.0, 0.1, 0.9, 1.0], (n_users, 1))
    start = np.concatenate([[0], np.cumsum(seen.sum(axis=1))]).astype(np.int64)
    return SeenRows(start, np.nonzero(seen)[1].astype(np.int32))


def make_world(seed: int, n_trees: int, n_leaves: int, params: dict[str, object]) -> World:
    """Draw a world and train a model on its own rows and noisy labels."""
    rng = np.random.default_rng(seed)
    n_users, n_posts, n_buckets, n_groups = (int(rng.integers(1, top)) for top in (40, 150, 6, 5))
    sides = make_sides(rng, n_users, n_posts, n_buckets, n_groups)
    n = 1500
    rows = sides.rows(*(rng.integers(0, top, n) for top in (n_users, n_posts, n_buckets)))
    with np.errstate(all="ignore"):
        signal = np.nan_to_num(rows, nan=1.0, posinf=1.0, neginf=-1.0).clip(-3, 3) @ rng.normal(
            size=rows.shape[1]
        )
    target = signal + rng.normal(size=n)
    label = target if params["objective"] == "regression" else (target > np.median(target)).astype(float)
    data = lgb.Dataset(
        rows,
        label,
        group=[10] * (n // 10) if params["objective"] == "lambdarank" else None,
        feature_name=[f.name for f in sides.features],
        categorical_feature=[k for k, f in enumerate(sides.features) if f.categorical],
        init_score=rng.normal(size=n) if rng.random() < 0.3 else None,
    )
    fixed = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2, "num_leaves": n_leaves, "seed": seed}
    booster = lgb.train(fixed | params, data, n_trees)
    return World(booster, sides, make_seen(rng, n_users, n_posts), int(rng.integers(1, 60)))


def joined(blocks: Iterator[RankedBlock]) -> tuple[np.ndarray, np.ndarray]:
    """Put blocks together, checking that they are consecutive."""
    some = list(blocks)
    at = 0
    for block in some:
        assert block.first == at
        at += len(block.posts)
    return np.concatenate([b.posts for b in some]), np.concatenate([b.scores for b in some])


def assert_same(world: World, **options: Any) -> None:
    """Compare every list and every score with those of `predict`, bit by bit."""
    posts, scores = joined(
        score(world.booster.model_to_string(), world.sides, world.seen, world.depth, **options)
    )
    wanted = predict.scorer(world.booster, dense=options.get("dense"))
    wanted_posts, wanted_scores = joined(wanted(world.sides, world.seen, world.depth))
    np.testing.assert_array_equal(posts, wanted_posts)
    np.testing.assert_array_equal(scores, wanted_scores)


PARAMS = st.fixed_dictionaries(
    {
        "objective": st.sampled_from(["binary", "regression", "lambdarank"]),
        "use_missing": st.booleans(),
        "zero_as_missing": st.booleans(),
        "max_bin": st.sampled_from([3, 15, 255]),
        "max_cat_to_onehot": st.sampled_from([1, 4, 64]),
        "learning_rate": st.sampled_from([0.001, 0.1, 1.0]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    n_trees=st.sampled_from([1, 2, 7, 30, 100, 300]),
    n_leaves=st.sampled_from([2, 3, 8, 31, 63, 64, 65, 128, 255]),
    params=PARAMS,
)
def test_no_list_differs_from_predicts(
    seed: int, n_trees: int, n_leaves: int, params: dict[str, object]
) -> None:
    assert_same(make_world(seed, n_trees, n_leaves, params))
