"""Evaluation in full: shown posts, all posts, a made world's truth; on one split or on rolling origins."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from api.contract.buckets import moment
from batch.data.facts import Facts
from batch.evaluate.cold import Cold, cold
from batch.evaluate.contest import OURS
from batch.evaluate.metrics import CUTS, Ints
from batch.evaluate.nightly import Line, Plan, weekly
from batch.evaluate.own import Trained
from batch.evaluate.results import BASELINE
from batch.evaluate.section import Section, Tested, section
from batch.evaluate.sessions import FEW as FEW_SHOWN
from batch.evaluate.sessions import Shown, sessions
from batch.evaluate.truth import expected
from batch.evaluate.unseen import DRAWN, Asked, listed, unseen
from batch.evaluate.unseen import FEW as FEW_LISTED
from batch.features import asof
from batch.features.profile import segments
from batch.learn.baselines import counts, neighbours
from batch.learn.baselines.interactions import Past
from batch.learn.baselines.recommender import Fitted, Ranked
from batch.learn.split import Split

FEED_S = 14 * 3600  # of a split's first day, for which lists of all posts are made
PEERS = (
    (BASELINE, counts.popular),
    ("popular_by_segment", counts.popular_by_segment),
    ("item_knn_cosine", neighbours.item_knn(neighbours.cosine)),
)
FEW_EXPECTED = ("expected_hitrate_at_5", "normalized_at_5")


@dataclass(frozen=True, slots=True)
class Data:
    """What the facts hold; `texts` names what posts are compared by, `views` what a view says."""

    users: int
    users_without_profile: int
    posts: int
    texts: str
    impressions: int
    likes: int
    views: str


@dataclass(frozen=True, slots=True)
class Origin:
    """One split: everybody learns from what lies before it; it ends with the facts at the latest."""

    test_from: str
    test_to: str
    sessions: int
    users_asked: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that was measured.

    Attributes:
        data: What the facts hold.
        origins: The splits, oldest first; their lists are pooled.
        shown: The order of shown posts; None where no session is long enough.
        all_posts: Lists of all unseen posts; None where nobody liked a post that he had not seen before.
        truth: The same lists by a made world's truth; None where there is none.
        cold: Users and posts held out entirely; None where that was not asked for.
    """

    data: Data
    origins: tuple[Origin, ...]
    shown: Section | None
    all_posts: Section | None
    truth: Section | None
    cold: Cold | None

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scope:
    """How far an evaluation goes.

    Attributes:
        weeks: Splits; more than 1: of a week each from the plan's begin on, everybody trained anew for each.
        segment_by: Profile columns that name a user's segment; those that are not there are left out.
        truth: The chance of a like, of a made world.
        held: Share of the users, and apart from them of the posts, that is held out entirely; 0: none.
    """

    weeks: int = 1
    segment_by: tuple[str, ...] = ()
    truth: Line | None = None
    held: float = 0.0


def evaluate_in_full(
    facts: Facts,
    known: asof.Statics,
    plan: Plan,
    scope: Scope,
    progress: Callable[[int], None] = lambda _n: None,
) -> Evaluation:
    """Measure ours beside random, popular and kNN on what lies after each split.

    Nobody sees a fact of a split, not even of its earlier days; ours is trained as it would be published.

    Args:
        facts: All events.
        known: What does not change with time.
        plan: The (first) split, and how ours is trained.
        scope: How far to go.
        progress: Called with 1 after each split, and each split's cold part.

    Raises:
        ValueError: What lies before a split cannot train ours, or nothing in any split can be ranked.
    """
    splits = weekly(plan.split, scope.weeks)
    tests, origins = [], []
    for split in splits:
        tests.append(_tested(facts, known, Plan(split, plan.recipe), scope.truth))
        origins.append(_origin(split, tests[-1], facts.as_of_s))
        progress(1)
    if not any(test for kinds in tests for test in kinds):
        raise ValueError(
            f"no session of ten impressions and no like of an unseen post lies in the test days from "
            f"{origins[0].test_from} on: nothing can be ranked"
        )
    by = segments(facts.users, scope.segment_by)
    rng = np.random.default_rng(plan.recipe.seed)
    shown, all_posts, truth = (
        section([kinds[k] for kinds in tests], *by, few, rng)
        for k, few in enumerate((FEW_SHOWN, FEW_LISTED, FEW_EXPECTED))
    )
    held_out = None
    if scope.held:
        plans = [Plan(split, plan.recipe) for split in splits]
        held_out = cold(facts, known, plans, scope.held, progress)
    return Evaluation(_data(facts, known), tuple(origins), shown, all_posts, truth, held_out)


Kinds = tuple[Tested | None, Tested | None, Tested | None]


def _tested(facts: Facts, known: asof.Statics, plan: Plan, truth: Line | None) -> Kinds:
    """Train everybody before a split; rank what it shows, and all posts that are new to its users."""
    split, seed = plan.split, plan.recipe.seed
    what, asked = Shown.of(facts, split, seed), Asked.of(facts, split, np.random.default_rng(seed))
    if what is None and not len(asked.users):
        return None, None, None
    past = Past(facts.until(split.test_from_s - 1), known, seed, plan.recipe.threads)
    made = Trained.at(facts, known, split.test_from_s - 1, plan.recipe)
    peers: dict[str, Fitted] = {name: Ranked(fit(past)) for name, fit in PEERS}
    lines = {"oracle": truth} if truth else {}
    shown = sessions(made, peers, split, what, lines) if what else None
    if not len(asked.users):
        return shown, None, None
    at_s = split.test_from_s + FEED_S
    everybody = {OURS: made.ours(at_s), **peers, DRAWN: Ranked(counts.random(past))}
    lists: dict[str, Ints] = {name: unseen(fitted, asked, max(CUTS)) for name, fitted in everybody.items()}
    in_truth = None
    if truth:
        ranked = {name: rows for name, rows in lists.items() if name != DRAWN}
        in_truth = expected(asked, ranked, truth, at_s)
    return shown, listed(asked, lists, known.texts), in_truth


def _origin(split: Split, kinds: Kinds, last_s: int) -> Origin:
    end_s = min(split.test_to_s, max(last_s + 1, split.test_from_s))
    begin, end = (moment(at_s).isoformat() for at_s in (split.test_from_s, end_s))
    shown, listed_for, _ = kinds
    return Origin(begin, end, len(shown.user) if shown else 0, len(listed_for.user) if listed_for else 0)


def _data(facts: Facts, known: asof.Statics) -> Data:
    texts = "embeddings" if facts.embeddings is not None else "texts"
    return Data(
        users=len(facts.users),
        users_without_profile=facts.report.users_without_profile,
        posts=len(facts.posts),
        texts=texts if np.isfinite(known.texts.space).any() else "topics",
        impressions=int(facts.views.sum()),
        likes=int((facts.target == 1).sum()),
        views=facts.shown,
    )
