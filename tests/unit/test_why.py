"""Why a post is where it is: parts that add up, places as a plain oracle has them, liked posts near it."""

from dataclasses import replace
from typing import NamedTuple

import lightgbm as lgb
import numpy as np
import pytest

from batch.arrays import AnyInts, Bools, Floats
from batch.data.seen import SeenPosts
from batch.features import asof
from batch.learn.chosen import columns_of, tell_columns
from batch.learn.factors.hour_effects import HourEffects
from batch.learn.hour_trees import add_hours
from batch.learn.recipe import Recipe
from batch.learn.train import train
from batch.publish.explain.evidence import Evidence, find_evidence
from batch.publish.explain.parts import split_scores
from batch.publish.explain.place import explain_post, find_place
from batch.publish.explain.why import Why
from batch.publish.proof.inputs import Inputs
from batch.score.caps import Caps
from batch.score.predict import dense_scores, raw_scores
from tests.facts import even_likes_even

RECIPE = Recipe(30, 10**6, 3600, n_trees=5, n_leaves=7, seed=1, threads=1)
N = 1_000
HOUR_S, DEPTH = 3_600, 8


class Made(NamedTuple):
    inputs: Inputs
    columns: dict[str, int]


@pytest.fixture(scope="module")
def made() -> Made:
    """Train a small world whose topics are liked at some hours, and lay out what its lists come from."""
    facts = even_likes_even(n_users=40, n_posts=60, days=14)
    statics = asof.describe(facts, seed=1)
    model = train(facts, statics, facts.as_of_s, RECIPE).model
    rng = np.random.default_rng(5)
    effects = rng.normal(size=(int(statics.texts.topic.max()) + 1, 24))
    hours = HourEffects("topic", statics.texts.topic.astype(np.int32), effects)
    start = facts.as_of_s - facts.as_of_s % HOUR_S
    counts = asof.start_tally(facts, statics).advance(facts.as_of_s)
    sides = asof.make_sides(facts, statics, counts, np.arange(24, dtype=np.int64) * HOUR_S + start)
    text = add_hours(model.text, statics.features, hours)
    inputs = Inputs(text, sides, SeenPosts.none(40), model.factors.dense)
    return Made(inputs, columns_of(model.metrics))


def draw(inputs: Inputs, seed: int) -> tuple[AnyInts, AnyInts, AnyInts]:
    """Draw (user, post, bucket) triples, by row number."""
    rng, sides = np.random.default_rng(seed), inputs.sides
    users, posts, buckets = (
        rng.integers(n, size=N) for n in (len(sides.user_ids), len(sides.post_ids), len(sides.starts))
    )
    return users, posts, buckets


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_parts_add_up_to_the_score_of_every_pair_and_bucket(made: Made, seed: int) -> None:
    at = draw(made.inputs, seed)
    booster = lgb.Booster(model_str=made.inputs.model)
    published = np.asarray(booster.predict(made.inputs.sides.rows(*at), raw_score=True))
    assert made.inputs.dense is not None
    published += dense_scores(made.inputs.dense, at[0])[np.arange(N), at[1]]

    parts = split_scores(made.inputs, made.columns, *at)

    np.testing.assert_allclose(parts.scores, published, rtol=0, atol=1e-9)
    np.testing.assert_allclose(sum(parts.families().values()), published, rtol=0, atol=1e-9)
    assert {"hour", "trees", "taste"} <= parts.families().keys()
    assert np.abs(parts.families()["hour"]).max() > 0.1


def test_the_model_tells_whose_each_column_is(made: Made) -> None:
    assert made.inputs.dense is not None
    assert sum(made.columns.values()) == made.inputs.dense[0].shape[1]


def test_an_older_model_has_its_estimate_as_one_part_and_the_same_sum(made: Made) -> None:
    at = draw(made.inputs, 3)

    parts, told = split_scores(made.inputs, {}, *at), split_scores(made.inputs, made.columns, *at)

    assert ("estimate", "estimate") in parts.names
    np.testing.assert_allclose(parts.scores, told.scores, rtol=0, atol=1e-9)
    assert columns_of({"columns_version": 2.0, "columns_post": 1.0}) == {}
    assert columns_of(tell_columns({"taste": 3, "post": 1})) == {"post": 1, "taste": 3}


def oracle(
    scores: Floats, left_out: AnyInts, opened: Bools, caps: Caps | None, post: int
) -> tuple[str, int | None, int | None, float | None]:
    """Return state, place, rank and what is lacking, by plain loops."""
    out = {*left_out.tolist()}
    ranked = [p for p in range(len(scores)) if opened[p] and p not in out]
    ranked.sort(key=lambda p: (-scores[p], p))
    listed, pool = list[int](), list(ranked)
    while pool and len(listed) < DEPTH:
        fits = pool
        if caps is not None:
            near = [caps.topic[p] for p in listed[-(caps.window - 1) :]]
            fits = [p for p in pool if near.count(caps.topic[p]) < caps.most] or pool
        listed.append(fits[0])
        pool.remove(fits[0])
    if not opened[post]:
        return "closed", None, None, None
    if post in out:
        return "left_out", None, None, None
    rank = ranked.index(post) + 1
    if post in listed:
        return "listed", listed.index(post) + 1, rank, None
    if any(ranked.index(other) > rank - 1 for other in listed):
        return "capped", None, rank, None
    return "ranked", None, rank, float(scores[listed[-1]] - scores[post])


def test_what_keeps_a_post_out_is_what_a_plain_oracle_says() -> None:
    rng, states = np.random.default_rng(11), dict[str, int]()
    for _ in range(N):
        n = int(rng.integers(1, 40))
        scores = rng.normal(size=n).round(1)  # ties are many
        left_out = np.flatnonzero(rng.random(n) < 0.2)
        opened = np.asarray(rng.random(n) < 0.8, np.bool_)
        caps = Caps(1, 4, rng.integers(0, 3, n).astype(np.int32)) if rng.random() < 0.5 else None
        post = int(rng.integers(n))

        found = find_place(scores, left_out, opened, DEPTH, caps, post)

        state, place, rank, lacks = oracle(scores, left_out, opened, caps, post)
        assert (found.state, found.place, found.rank, found.lacks) == (state, place, rank, lacks)
        states[state] = states.get(state, 0) + 1
    assert set(states) == {"listed", "left_out", "closed", "capped", "ranked"}
    assert min(states.values()) > 10


def test_a_post_is_explained_by_its_place_and_the_same_score(made: Made) -> None:
    seen = SeenPosts(np.r_[0, np.ones(40, np.int64)], np.array([7], np.int32))
    inputs = replace(made.inputs, left_out=seen)
    scores = raw_scores(lgb.Booster(model_str=inputs.model), inputs.sides, np.array([0]), 3, inputs.dense)[0]
    best = [row for row in np.argsort(-scores, kind="stable").tolist() if row != 7]

    first, _ = explain_post(inputs, made.columns, 0, best[0], 3, DEPTH)
    far, parts = explain_post(inputs, made.columns, 0, best[20], 3, DEPTH)

    assert (first.state, first.place) == ("listed", 1)
    assert (far.state, far.rank, far.n_candidates) == ("ranked", 21, 59)
    assert far.lacks == pytest.approx(scores[best[DEPTH - 1]] - scores[best[20]], abs=1e-12)
    assert parts.scores[0] == pytest.approx(far.score, abs=1e-9)
    assert explain_post(inputs, made.columns, 0, 7, 3, DEPTH)[0].state == "left_out"


def test_liked_posts_are_evidence_whichever_of_the_two_names_the_other() -> None:
    similar = {1: [9, 3], 2: [8, 8, 1], 3: [1], 4: [7]}

    found = find_evidence(1, [1, 2, 3, 4, 3], similar, 5)

    assert found == [Evidence(3, 1), Evidence(2, 3)]
    assert find_evidence(1, [1, 2, 3, 4], similar, 1) == [Evidence(3, 1)]


def test_the_sentence_says_when_a_post_was_seen() -> None:
    why = Why("ann", 17, 3, 1_640_424_000, 1_640_422_800, "seen", 20, seen_s=1_640_390_400)

    assert why.sentence() == "user ann has seen post 17 on 2021-12-25 at 00:00"
    assert why.values()["seen_at"] == "2021-12-25T00:00:00+00:00"
