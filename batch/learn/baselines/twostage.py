"""The field's usual pipeline: candidates by item-kNN and ALS, then a LightGBM ranker over them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from api.contract.buckets import DAY_S
from batch.features import asof
from batch.features.sides import Feature
from batch.learn.baselines.interactions import Floats, Ints, Past, Peer, Ranking
from batch.learn.baselines.models import als
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.trees import fit as boost
from batch.learn.trees import parameters_for

N_CANDIDATES = 200  # of each source
TRAIN_S = 7 * DAY_S  # the last week's impressions train the ranker; shorter where the history is
MOST_ROWS, N_TREES, N_LEAVES = 300_000, 100, 31
WIDTH_S = 3600
USERS_AT_ONCE = 64
BELOW = -1e3  # log-odds; popular posts stand below every candidate
SOURCES = (Feature("knn", "user_group"), Feature("als", "user_group"))  # the side tells nothing here


def two_stage(past: Past) -> Ranking:
    """Rank the candidates by trees over features as of a time and both sources' scores; then popular posts.

    The sources are fitted twice: before the week whose impressions train the trees, and on everything.
    """
    facts, at_s = past.facts, past.facts.as_of_s
    begin_s = at_s - min(TRAIN_S, (at_s - int(facts.time[0])) // 2)
    rows = np.flatnonzero(facts.views & (facts.time > begin_s))
    rng = np.random.default_rng(past.seed)
    rows = np.sort(rng.choice(rows, min(MOST_ROWS, len(rows)), replace=False))
    before = _sources(replace(past, facts=facts.until(begin_s)))
    x = _features(past, begin_s, facts.user[rows], facts.post[rows], facts.time[rows])
    x = np.column_stack([x, _pairs(before, facts.user[rows], facts.post[rows])])
    parameters = parameters_for(len(rows), N_LEAVES, past.seed, past.threads)
    ranker = boost(x, facts.target[rows], (*past.known.features, *SOURCES), parameters, N_TREES)
    sources, popular = _sources(past), past.rates()
    start_s = at_s - at_s % WIDTH_S
    sides = asof.sides(
        facts, past.known, asof.tally(facts, past.known).advance(at_s), np.array([start_s], np.int64)
    )

    def scores(users: Ints) -> Floats:
        out = np.empty((len(users), len(popular)))
        for low in range(0, len(users), USERS_AT_ONCE):
            some = users[low : low + USERS_AT_ONCE]
            found = [source(some) for source in sources]
            row, post = np.nonzero(np.logical_or(*(_among_best(one) for one in found)))
            rest = sides.rows(some[row], post, np.zeros(len(row), np.int64))
            columns = np.column_stack([rest, *(one[row, post] for one in found)])
            out[low : low + len(some)] = BELOW + popular
            out[low + row, post] = np.asarray(ranker.predict(columns, raw_score=True), np.float64)
        return out

    return scores


def _sources(past: Past) -> tuple[Ranking, Ranking]:
    return item_knn(cosine)(past), als(past)


def _features(
    past: Past, at_s: int, user: npt.NDArray[np.integer], post: npt.NDArray[np.integer], time: Ints
) -> npt.NDArray[np.float32]:
    starts, bucket = np.unique(time - time % WIDTH_S, return_inverse=True)
    counts = asof.tally(past.facts, past.known).advance(at_s)
    return asof.sides(past.facts, past.known, counts, starts).rows(user, post, bucket)


def _pairs(
    sources: tuple[Ranking, Ranking], user: npt.NDArray[np.integer], post: npt.NDArray[np.integer]
) -> Floats:
    """Return both sources' scores of (user, post) pairs, float64 (pairs, 2)."""
    out, order = np.empty((len(user), 2)), np.argsort(user, kind="stable")
    distinct, first = np.unique(user[order], return_index=True)
    ends = np.append(first, len(user))
    for low in range(0, len(distinct), USERS_AT_ONCE):
        high = min(low + USERS_AT_ONCE, len(distinct))
        rows = order[ends[low] : ends[high]]
        place = np.searchsorted(distinct[low:high], user[rows])
        for column, source in enumerate(sources):
            out[rows, column] = source(distinct[low:high].astype(np.int64))[place, post[rows]]
    return out


def _among_best(scores: Floats) -> npt.NDArray[np.bool_]:
    n = min(N_CANDIDATES, scores.shape[1])
    return scores >= np.partition(scores, -n, axis=1)[:, -n, None]


PEERS = (Peer("two_stage", two_stage, "implicit"),)
