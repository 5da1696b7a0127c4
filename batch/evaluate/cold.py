"""Cold users and posts: some are taken out of all that trains, and ranked as on their first day."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from batch.data.facts import Facts
from batch.evaluate.contest import OURS
from batch.evaluate.metrics import Floats, pairs_won
from batch.evaluate.nightly import Plan
from batch.evaluate.results import BASELINE, Column, Columns, column
from batch.evaluate.section import Section, Tested, impressions, section
from batch.evaluate.sessions import AUC, RANDOM, Shown, chance, columns
from batch.evaluate.unseen import Asked, K, unseen
from batch.evaluate.variety import share_among
from batch.features import asof
from batch.features.signatures import find
from batch.learn.baselines import counts
from batch.learn.baselines.interactions import Past
from batch.learn.baselines.recommender import Fitted, Ours, Ranked, ours
from batch.learn.factors.cold_start import shared_factors
from batch.learn.split import Split

N_PROFILES = 2_000  # with lists for unknown users, as a run has unless a setting says otherwise
HELD = 0.1  # share of the users, or of the posts, that is taken out
EXPOSED = f"share_of_top_{K}"
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cold:
    """What is known on the first day.

    Attributes:
        users: Sessions of users whose whole past was taken out: profile and hour are all that is known.
        posts: Pairs of a session in which a post stands whose whole past was taken out: text and topic are
            all that is known of it.
        exposure: Lists of all unseen posts: the share of the first ten places that such posts have.
        share_of_posts: Which share of all posts they are.
        share_of_likes: Which share they have in what was liked afterwards.
    """

    users: Section | None
    posts: Section | None
    exposure: Section | None
    share_of_posts: float
    share_of_likes: float


def cold(
    facts: Facts,
    known: asof.Statics,
    plans: list[Plan],
    share: float = HELD,
    progress: Callable[[int], None] = lambda _n: None,
) -> Cold:
    """Hold out users, and apart from them posts, train ours and peers without them, and rank with them.

    Args:
        facts: All events.
        known: What does not change with time.
        plans: Splits, and how ours is trained; each split takes out others.
        share: Of the users who come in a split, and of all posts.
        progress: Called with 1 after each training.

    Raises:
        ValueError: What is left before a split cannot train ours.
    """
    users, posts, lists, likes = [], [], [], []
    n_posts = len(facts.posts)
    for number, plan in enumerate(plans):
        split, rng = plan.split, np.random.default_rng([plan.recipe.seed, number])
        came = np.unique(facts.between(split.test_from_s, split.test_to_s).user)
        users.append(_users(facts, known, plan, _drawn(rng, came, len(facts.users), share)))
        progress(1)
        held = _drawn(rng, np.arange(n_posts), n_posts, share)
        kept = without(facts, split, held[facts.post])
        own, others = _trained(kept, known, plan)
        everybody: dict[str, Fitted] = {OURS: own, **others}
        posts.append(_pairs(kept, plan, held, everybody))
        asked = Asked.of(kept, split, rng)
        likes.append(held[asked.post])
        lists.append(_exposed(asked, held, everybody))
        progress(1)
    rng, none = np.random.default_rng(plans[0].recipe.seed), np.full(len(facts.users), -1, np.int32)
    of_users, of_posts, of_lists = (section(tests, (), none, (), rng) for tests in (users, posts, lists))
    liked = np.concatenate(likes)
    share_of_likes = float(liked.mean()) if len(liked) else float("nan")
    return Cold(of_users, of_posts, of_lists, float(held.mean()), share_of_likes)


def without(facts: Facts, split: Split, held: Flags) -> Facts:
    """Return the facts without the events before a split that are held out, bool (events,)."""
    kept = ~held | (facts.time >= split.test_from_s)
    names = ("user", "post", "time", "action", "target")
    return replace(facts, **{name: getattr(facts, name)[kept] for name in names})


def _drawn(rng: np.random.Generator, among: npt.NDArray[np.integer], n: int, share: float) -> Flags:
    """Return bool (n,): a share of some rows, at least one of them if there is any."""
    held = np.zeros(n, np.bool_)
    held[rng.choice(among, min(len(among), max(1, round(share * len(among)))), replace=False)] = True
    return held


def _trained(kept: Facts, known: asof.Statics, plan: Plan) -> tuple[Ours, dict[str, Fitted]]:
    """Fit ours, and beside it what needs no history of the user, on what lies before the split."""
    begin_s = plan.split.test_from_s
    past = Past(kept.until(begin_s - 1), known, plan.recipe.seed, plan.recipe.threads)
    return ours(past, plan.recipe, begin_s), {
        BASELINE: Ranked(counts.popular(past)),
        "popular_by_segment": Ranked(counts.popular_by_segment(past)),
        RANDOM: Ranked(counts.random(past)),
    }


def _users(facts: Facts, known: asof.Statics, plan: Plan, held: Flags) -> Tested | None:
    """Rank what held-out users' sessions showed."""
    kept = without(facts, plan.split, held[facts.user])
    what = Shown.of(kept, plan.split, plan.recipe.seed, held)
    if what is None:
        return None
    own, others = _trained(kept, known, plan)
    everybody: dict[str, Fitted] = {OURS: introduced(own, facts.users, held), **others}
    rankings: dict[str, Columns] = {
        name: columns(what, fitted.pairs(what.user, what.post))
        for name, fitted in everybody.items()
        if name != RANDOM
    }
    rankings[RANDOM] = chance(what)
    return Tested(rankings, what.owner, np.zeros(len(what.owner), np.int64), len(what.event))


def introduced(own: Ours, users: pd.DataFrame, held: Flags) -> Ours:
    """Return ours as users without a history are served who tell their profile: its users' mean factors.

    Args:
        own: Trained without the users held out.
        users: Profiles of all.
        held: bool (users,).
    """
    signatures, factors = find(users, N_PROFILES), own.model.factors
    others = np.where(held, -1, signatures.of_user)
    shared = shared_factors(factors.x, factors.y, others, len(signatures.names))
    told = held & (signatures.of_user >= 0)
    x = factors.x.copy()
    x[told] = shared[signatures.of_user[told]]
    return replace(own, model=replace(own.model, factors=replace(factors, x=x)))


def _pairs(kept: Facts, plan: Plan, held: Flags, everybody: dict[str, Fitted]) -> Tested | None:
    """Rank the split's sessions; only pairs that hold a held-out post count."""
    what = Shown.of(kept, plan.split, plan.recipe.seed)
    if what is None:
        return None
    rankings: dict[str, Columns] = {}
    for name, fitted in everybody.items():
        if name != RANDOM:
            rankings[name] = {AUC: pairs_with(what, fitted.pairs(what.user, what.post), held[what.post])}
    pairs = rankings[BASELINE][AUC].wholes
    rankings[RANDOM] = {AUC: Column(pairs / 2, pairs)}
    past = impressions(kept, plan.split.test_from_s)[what.owner]
    return Tested(rankings, what.owner, past, len(what.event))


def pairs_with(what: Shown, scores: Floats, held: Flags) -> Column:
    """Count each session's pairs that hold a held-out impression: all of them less those of two others.

    Args:
        what: Sessions.
        scores: float64 (n,). Of its impressions.
        held: bool (n,). The impressions of held-out posts.
    """
    won, pairs = pairs_won(what.session, scores, what.liked)
    old = pairs_won(what.session[~held], scores[~held], what.liked[~held])
    for total, part in zip((won, pairs), old, strict=True):
        total[: len(part)] -= part  # the last sessions may hold none of the others
    return Column(won, pairs)


def _exposed(asked: Asked, held: Flags, everybody: dict[str, Fitted]) -> Tested | None:
    """Return which share of the first places of lists of unseen posts the held-out ones have."""
    if not len(asked.users):
        return None
    lists = {name: unseen(fitted, asked, K) for name, fitted in everybody.items()}
    rankings: dict[str, Columns] = {
        name: {EXPOSED: column(share_among(rows, held))} for name, rows in lists.items()
    }
    past = impressions(asked.facts, asked.split.test_from_s)[asked.users]
    return Tested(rankings, asked.users, past, len(asked.users) * K)
