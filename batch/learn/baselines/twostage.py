"""The field's usual pipeline: candidates by item-kNN and ALS, then a LightGBM ranker over them."""

from dataclasses import replace

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.features import asof
from batch.features.sides import Feature
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.models import als
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.baselines.recommender import PostScores, ScoreRecommender, users_at_once
from batch.learn.trees import fit, parameters_for, snapshot

N_CANDIDATES = 200  # of each source
TRAIN_S = 7 * DAY_S  # the last week's impressions train the ranker; shorter where the history is
MOST_ROWS, N_TREES, N_LEAVES = 300_000, 100, 31
WIDTH_S = 3600
USERS_AT_ONCE = 64
BELOW = -1e3  # log-odds; popular posts stand below every candidate
SOURCES = (Feature("knn", "user_group"), Feature("als", "user_group"))  # the side tells nothing here


def two_stage(interactions: Interactions) -> PostScores:
    """Rank the candidates by trees over features as of a time and both sources' scores; then popular posts.

    The sources are fitted twice: before the week whose impressions train the trees, and on everything.
    """
    facts, statics, at_s = interactions.facts, interactions.statics, interactions.facts.as_of_s
    begin_s = at_s - min(TRAIN_S, (at_s - int(facts.time[0])) // 2)
    rows = np.flatnonzero(facts.views & (facts.time > begin_s))
    rng = np.random.default_rng(interactions.seed)
    rows = np.sort(rng.choice(rows, min(MOST_ROWS, len(rows)), replace=False))
    counts = asof.start_tally(facts, statics)
    x = snapshot(facts, statics, counts.advance(begin_s), WIDTH_S, rows)
    before = _fit_sources(replace(interactions, facts=facts.until(begin_s)))
    user, post = facts.user[rows].astype(np.int64), facts.post[rows].astype(np.int64)
    n_posts = len(facts.posts)
    pairs = [ScoreRecommender(source, n_posts).pairs(user, post) for source in before]
    parameters = parameters_for(len(rows), N_LEAVES, interactions.seed, interactions.threads)
    x = np.column_stack([x, *pairs])
    ranker = fit(x, facts.target[rows], (*statics.features, *SOURCES), parameters, N_TREES)
    sources, popular = _fit_sources(interactions), interactions.rates()
    start_s = at_s - at_s % WIDTH_S
    sides = asof.make_sides(facts, statics, counts.advance(at_s), np.array([start_s], np.int64))

    def scores(users: Ints) -> Floats:
        out = np.empty((len(users), len(popular)))
        at_once = users_at_once(n_posts, USERS_AT_ONCE)
        for low in range(0, len(users), at_once):
            some = users[low : low + at_once]
            found = [source(some) for source in sources]
            row, post = np.nonzero(np.logical_or(*(_among_best(one) for one in found)))
            rest = sides.rows(some[row], post, np.zeros(len(row), np.int64))
            columns = np.column_stack([rest, *(one[row, post] for one in found)])
            out[low : low + len(some)] = BELOW + popular
            out[low + row, post] = np.asarray(ranker.predict(columns, raw_score=True), np.float64)
        return out

    return scores


def _fit_sources(interactions: Interactions) -> tuple[PostScores, PostScores]:
    return item_knn(cosine)(interactions), als(interactions)


def _among_best(scores: Floats) -> Bools:
    n = min(N_CANDIDATES, scores.shape[1])
    return scores >= np.partition(scores, -n, axis=1)[:, -n, None]
