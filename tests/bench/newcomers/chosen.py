"""Rows of what users chose, in which a post is new when somebody first takes it; the next day judges."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import redis

from api.contract.buckets import DAY_S
from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.learn.judges import ChoiceJudge
from batch.settings import Settings
from tests.bench.newcomers.follow import NO_POST, K, Moment, follow, hide_seen, keep_posts, rank_scores

PART = 0.25, 0.45  # of the rows in order of time: where posts come that are followed
KEPT = 0.5  # of the rows: none later is read
Ndcg = dict[str, Floats]  # of each ranking's lists


def judge_rows(
    settings: Settings, client: redis.Redis, facts: Facts, n_cuts: int
) -> Iterator[tuple[int, dict[str, Ndcg]]]:
    """Yield the hours since a post came, and NDCG@10 of lists: of all takes of a day, and of those new since.

    A full run is made in the second before each of some posts is first taken, evenly chosen.
    """
    facts = facts.select(slice(int(KEPT * len(facts.time))))
    came = np.full(len(facts.posts), np.iinfo(np.int64).max)
    np.minimum.at(came, facts.post, facts.time)
    low, high = (facts.time[int(share * len(facts.time) / KEPT)] for share in PART)
    moments = np.unique(came[(came > low) & (came < high)])
    for number in np.linspace(0, len(moments) - 1, n_cuts).round().astype(int).tolist():

        def known(at_s: int) -> Facts:
            return keep_posts(facts.until(at_s), came <= at_s)

        own = settings.replace(prefix=f"{settings.prefix}{number}")
        for moment in follow(own, client, known, int(moments[number]) - 1):
            later = keep_posts(facts.until(moment.at_s + DAY_S), came <= moment.at_s)
            yield moment.hours, _judge(moment, later, number)


def _judge(moment: Moment, later: Facts, seed: int) -> dict[str, Ndcg]:
    taken: dict[str, Any] = {"target": later.views.astype(np.int8), "weight": None}
    rng = np.random.default_rng([seed, 41])
    judge = ChoiceJudge.of(replace(later, **taken), moment.at_s, moment.at_s + DAY_S, rng)
    every = np.ones(len(later.posts), np.bool_)
    of_new = judge.of_posts(moment.new)
    return {
        "all": _measure(judge, moment, every, rng),
        "new_in_all": _measure(of_new, moment, every, rng),
        "new": _measure(of_new, moment, moment.new, rng),
    }


def _measure(judge: ChoiceJudge, moment: Moment, candidates: Any, rng: np.random.Generator) -> Ndcg:
    users, n_posts = judge.users, len(candidates)
    if not len(users):
        return dict.fromkeys([*moment.ranks, "random"], np.empty(0))
    found = {name: rank(users, candidates) for name, rank in moment.ranks.items()}
    open_to = hide_seen(moment.facts, users, candidates)
    found["random"] = rank_scores(rng.random((len(users), n_posts)), open_to)
    return {name: judge.gains_of_each(_score(lists, n_posts)) for name, lists in found.items()}


def _score(lists: Ints, n_posts: int) -> Floats:
    """Return float64 (lists, posts): above 0 in a list, the higher the earlier; below it for all others."""
    scores = np.tile(-1.0 - np.arange(n_posts), (len(lists), 1))
    row, place = np.nonzero(lists != NO_POST)
    scores[row, lists[row, place]] = K - place
    return scores
