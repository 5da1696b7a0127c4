"""Protocols `cold.…`: users and posts are taken out of all that trains, and ranked as on their first day."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from batch.arrays import AnyInts, Bools, Floats
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.own import OURS, ModelRecommender, fit_own
from batch.evaluate.sessions import AUC, RANDOM, Sessions
from batch.evaluate.unseen import AskedUsers
from batch.evaluate.variety import share_among
from batch.features import asof
from batch.features.profile import segments
from batch.features.signatures import find
from batch.learn.baselines import counts
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import Recommender, ScoreRecommender
from batch.learn.factors.cold_start import shared_factors
from batch.learn.recipe import Recipe
from batch.learn.sessions import pairs_won
from batch.learn.split import Split
from batch.progress import Advance

N_PROFILES = 2_000  # with lists for unknown users, as a run has unless a setting says otherwise
POPULAR = "popular"
K = 10  # first places whose share is told
EXPOSURE: results.Metric = ("share_of_top", K)


def evaluate_cold(
    facts: Facts,
    statics: asof.Statics,
    splits: list[Split],
    recipe: Recipe,
    share: float,
    advance: Advance = lambda _n: None,
) -> tuple[list[results.Figure], dict[str, float]]:
    """Hold out users, and apart from them posts, train ours and baselines without them, and rank with them.

    `cold.users`: sessions of users whose whole past was taken out; profile and hour are all that is known.
    `cold.posts`: pairs of a session in which a post stands whose whole past was taken out; text and topic are
    all that is known of it. `cold.exposure`: the share of the first ten places of lists of all unseen posts
    that such posts have.

    Args:
        facts: All events.
        statics: What does not change with time.
        splits: Each takes out others.
        recipe: How ours is trained.
        share: Of the users who come in a split, and of all posts.
        advance: Called with 1 after each training.

    Returns:
        Figures, and `share_of_posts` and `share_of_likes`: how many of all posts were held out, and of what
        was liked afterwards.

    Raises:
        ValueError: What is left before a split cannot train ours.
    """
    tests: dict[str, list[results.MeasuredLists]] = {"cold.users": [], "cold.posts": [], "cold.exposure": []}
    likes, n_posts = [], len(facts.posts)
    for number, split in enumerate(splits):
        rng = np.random.default_rng([recipe.seed, number])
        came = np.unique(facts.between(split.test_from_s, split.test_to_s).user)
        users = _draw(rng, came, len(facts.users), share)
        tests["cold.users"] += _measure_users(facts, statics, split, recipe, users)
        advance(1)
        held = _draw(rng, np.arange(n_posts), n_posts, share)
        kept = without(facts, split, held[facts.post])
        models = _fit_all(kept, statics, split, recipe)
        tests["cold.posts"] += _measure_pairs(kept, split, recipe.seed, held, models)
        asked = AskedUsers.of(kept, split, rng)
        likes.append(held[asked.post])
        tests["cold.exposure"] += _measure_exposure(asked, held, models)
        advance(1)
    rng, segment, figures = (
        np.random.default_rng(recipe.seed),
        segments(facts.users, ()),
        list[results.Figure](),
    )
    for protocol, some in tests.items():
        if some:
            lists = results.pool(some)
            pairs, groups = results.against(POPULAR, lists.models), results.group_lists(lists, *segment)
            figures += results.summarize(protocol, lists, rng, pairs, groups, (AUC, EXPOSURE))
    liked = np.concatenate(likes)
    share_of_likes = float(liked.mean()) if len(liked) else float("nan")
    return figures, {"share_of_posts": float(held.mean()), "share_of_likes": share_of_likes}


def without(facts: Facts, split: Split, held: Bools) -> Facts:
    """Return the facts without the events before a split that are held out, bool (events,)."""
    return facts.select(~held | (facts.time >= split.test_from_s))


def _draw(rng: np.random.Generator, among: AnyInts, n: int, share: float) -> Bools:
    """Return bool (n,): a share of some rows, at least one of them if there is any."""
    held = np.zeros(n, np.bool_)
    held[rng.choice(among, min(len(among), max(1, round(share * len(among)))), replace=False)] = True
    return held


def _fit_all(kept: Facts, statics: asof.Statics, split: Split, recipe: Recipe) -> dict[str, Recommender]:
    """Fit ours, and beside it what needs no history of the user, on what lies before the split."""
    before = Interactions(kept.until(split.test_from_s - 1), statics, recipe.seed, recipe.threads)
    n_posts = len(kept.posts)
    return {
        OURS: fit_own(before, recipe, split.test_from_s - 1, split.test_from_s),
        POPULAR: ScoreRecommender(counts.popular(before), n_posts),
        "popular_by_segment": ScoreRecommender(counts.popular_by_segment(before), n_posts),
        RANDOM: ScoreRecommender(counts.random(before), n_posts),
    }


def _measure_users(
    facts: Facts, statics: asof.Statics, split: Split, recipe: Recipe, held: Bools
) -> Iterator[results.MeasuredLists]:
    """Rank what held-out users' sessions showed."""
    kept = without(facts, split, held[facts.user])
    what = Sessions.of(kept, split, recipe.seed, held)
    if not len(what.event):
        return
    models = _fit_all(kept, statics, split, recipe)
    own = models[OURS]
    assert isinstance(own, ModelRecommender)
    models[OURS] = introduce(own, facts.users, held)
    columns = {
        name: what.measure_random() if name == RANDOM else what.rank(model) for name, model in models.items()
    }
    yield results.MeasuredLists(columns, what.owner, np.zeros(len(what.owner), np.int64))


def introduce(own: ModelRecommender, users: pd.DataFrame, held: Bools) -> ModelRecommender:
    """Return ours as unknown users with a profile are served: by the mean factors of the profile's users.

    Args:
        own: Trained without the users held out.
        users: Profiles of all.
        held: bool (users,).
    """
    signatures, factors = find(users, N_PROFILES), own.model.factors
    others = np.where(held, -1, signatures.of_user)
    shared = shared_factors(factors.x, factors.y, others, len(signatures.names))
    described = held & (signatures.of_user >= 0)
    x = factors.x.copy()
    x[described] = shared[signatures.of_user[described]]
    return replace(own, model=replace(own.model, factors=replace(factors, x=x)))


def _measure_pairs(
    kept: Facts, split: Split, seed: int, held: Bools, models: dict[str, Recommender]
) -> Iterator[results.MeasuredLists]:
    """Rank the split's sessions; only pairs that hold a held-out post count."""
    what = Sessions.of(kept, split, seed)
    if not len(what.event):
        return
    columns: dict[str, results.Columns] = {
        name: {AUC: pairs_with(what, what.score(model), held[what.post])}
        for name, model in models.items()
        if name != RANDOM
    }
    pairs = columns[POPULAR][AUC].wholes
    columns[RANDOM] = {AUC: results.Column(pairs / 2, pairs)}
    yield results.MeasuredLists(
        columns, what.owner, results.past_impressions(kept, split.test_from_s)[what.owner]
    )


def pairs_with(what: Sessions, scores: Floats, held: Bools) -> results.Column:
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
    return results.Column(won, pairs)


def _measure_exposure(
    asked: AskedUsers, held: Bools, models: dict[str, Recommender]
) -> Iterator[results.MeasuredLists]:
    """Return which share of the first places of lists of unseen posts the held-out ones have."""
    if len(asked.users):
        shares = {name: share_among(asked.rank(model, K), held) for name, model in models.items()}
        columns: dict[str, results.Columns] = {
            name: {EXPOSURE: results.mean_column(share)} for name, share in shares.items()
        }
        yield results.MeasuredLists(columns, asked.users, asked.past)
