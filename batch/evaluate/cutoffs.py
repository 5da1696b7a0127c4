"""Rolling cut-offs on what users chose: all learn from before, all unseen posts are candidates.

A warm user (some history before the cut-off, some new like after it) is asked for the ten posts he will like
next of all that he has not taken. What is relevant is what he then liked.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from batch.data.facts import Facts
from batch.evaluate.contest import OURS, Cost, entries, spent
from batch.evaluate.intervals import intervals
from batch.evaluate.metrics import Floats, Hits, Ints, ndcg, recall
from batch.evaluate.unseen import Asked, unseen
from batch.features import asof
from batch.learn.baselines.interactions import Past
from batch.learn.baselines.recommender import ours
from batch.learn.recipe import Recipe
from batch.learn.split import Split

Interval = tuple[float, float]

K = 10
FIRST_SHARE = 0.5  # of all events lies before the first cut-off
FIGURES = (f"ndcg_at_{K}", f"recall_at_{K}")


@dataclass(frozen=True, slots=True)
class Rank:
    """How one did over all cut-offs together. Intervals are of 95 %, over users.

    Attributes:
        name: Whose.
        ndcg_at_10: Mean over users and cut-offs; a perfect list has 1.
        recall_at_10: Mean share of what is relevant that the list holds.
        ahead: By how much ours is better in each figure, with its interval; None for ours.
        by_cut: `ndcg_at_10` at each cut-off.
        cost: Seconds to learn and to rank at one cut-off, mean; most memory.
    """

    name: str
    ndcg_at_10: float
    recall_at_10: float
    ahead: dict[str, tuple[float, Interval]] | None
    by_cut: tuple[float, ...]
    cost: Cost


@dataclass(frozen=True, slots=True)
class Unseen:
    """All ranks, best NDCG first, and on how much they rest.

    Attributes:
        ranks: Of all who took part.
        best_peer: By figure, the peer with the highest mean.
        cuts: Begins of the tests, epoch seconds; each ends with the next, the last with the facts.
        n_users: Different users asked.
        n_lists: Users asked, over all cut-offs.
        absent: Who could not take part, and why.
    """

    ranks: tuple[Rank, ...]
    best_peer: dict[str, str]
    cuts: tuple[int, ...]
    n_users: int
    n_lists: int
    absent: dict[str, str]

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


@dataclass(slots=True)
class _Sheet:
    """What one contestant reached, cut-off by cut-off: float64 (asked, figures) each."""

    figures: list[Floats]
    costs: list[Cost]


def cut_offs(facts: Facts, n: int) -> list[Split]:
    """Return `n` tests that follow one another over the second half of the events, as many events in each.

    Raises:
        ValueError: The events do not make so many tests.
    """
    first = [int(len(facts.time) * (FIRST_SHARE + (1 - FIRST_SHARE) * k / n)) for k in range(n)]
    starts = [int(facts.time[row]) for row in first] if len(facts.time) else []
    bounds = [*starts, int(facts.time[-1]) + 1] if starts else []
    if len(np.unique(bounds)) != n + 1 or starts[0] == facts.time[0]:
        raise ValueError(f"{len(facts.time)} events do not make {n} tests: ask for fewer cut-offs")
    return [Split(begin, end) for begin, end in pairwise(bounds)]


def compare_unseen(
    facts: Facts, known: asof.Statics, recipe: Recipe, n_cuts: int, names: tuple[str, ...] = ()
) -> Unseen:
    """Let all learn anew before each cut-off, and ask them for warm users' lists of unseen posts.

    Args:
        facts: All events; what a contestant learns from ends before its cut-off.
        known: What does not change with time.
        recipe: How ours is trained; its blend is weighed on the last choices before each cut-off.
        n_cuts: Cut-offs, as `cut_offs` sets them.
        names: Peers that take part; empty for all.

    Raises:
        ValueError: Too few events, or at some cut-off no warm user.
    """
    rng = np.random.default_rng(recipe.seed)
    sheets: dict[str, _Sheet] = {}
    owners: list[Ints] = []
    absent: dict[str, str] = {}
    splits = cut_offs(facts, n_cuts)
    for split in splits:
        asked = _warm(Asked.of(facts, split, rng))
        owners.append(asked.users)
        past = Past(facts.until(split.test_from_s - 1), known, recipe.seed, recipe.threads)
        for entry in entries(past, partial(ours, past, recipe, split.test_from_s), names):
            if entry.fitted is None:
                absent[entry.name] = entry.why_absent
                continue
            with spent(entry.cost, "rank_s"):
                lists = unseen(entry.fitted, asked, K)
            hits = Hits.of_lists(lists, asked.row, asked.post)
            sheet = sheets.setdefault(entry.name, _Sheet([], []))
            sheet.figures.append(np.column_stack([ndcg(hits, K, achievable=True), recall(hits, K)]))
            sheet.costs.append(entry.cost)
    owner = np.concatenate(owners)
    ranks = sorted(_ranks(sheets, owner, rng), key=lambda rank: -rank.ndcg_at_10)
    peers = [rank for rank in ranks if rank.name != OURS]
    best = {figure: max(peers, key=lambda r: float(getattr(r, figure))).name for figure in FIGURES if peers}
    begins = tuple(split.test_from_s for split in splits)
    return Unseen(tuple(ranks), best, begins, len(np.unique(owner)), len(owner), absent)


def _warm(asked: Asked) -> Asked:
    """Return those asked who have a history.

    Raises:
        ValueError: Nobody has.
    """
    warm = asked.n_seen > 0
    if not warm.any():
        raise ValueError(
            f"nobody with a history before {asked.split.test_from_s} likes anything new until "
            f"{asked.split.test_to_s}: ask for fewer cut-offs"
        )
    theirs, number = warm[asked.row], np.cumsum(warm) - 1
    return replace(
        asked,
        users=asked.users[warm],
        seen=asked.seen[warm],
        row=number[asked.row[theirs]].astype(np.int64),
        post=asked.post[theirs],
    )


def _ranks(sheets: dict[str, _Sheet], owner: Ints, rng: np.random.Generator) -> list[Rank]:
    own = {name: np.concatenate(sheet.figures) for name, sheet in sheets.items()}
    others = [name for name in own if name != OURS]
    gaps = np.hstack([np.empty((len(owner), 0)), *(own[OURS] - own[name] for name in others)])
    bounds = intervals(gaps, np.ones_like(gaps), owner, rng)
    found = []
    for name, sheet in sheets.items():
        ahead = None
        if name != OURS:
            first = others.index(name) * len(FIGURES)
            columns = range(first, first + len(FIGURES))
            ahead = {
                figure: (float(gaps[:, at].mean()), (float(bounds[at, 0]), float(bounds[at, 1])))
                for figure, at in zip(FIGURES, columns, strict=True)
            }
        means = own[name].mean(axis=0)
        by_cut = tuple(float(part[:, 0].mean()) for part in sheet.figures)
        found.append(Rank(name, float(means[0]), float(means[1]), ahead, by_cut, Cost.mean(sheet.costs)))
    return found
