"""Evaluation in full, on one split or rolling origins: shown posts, all posts, truth, the cold."""

from typing import Any

import numpy as np

from api.contract.buckets import moment
from batch.data.facts import Facts
from batch.evaluate import by_kind, next_like, results, sessions, truth, unseen
from batch.evaluate.cold import POPULAR, evaluate_cold
from batch.evaluate.metrics import CUTS
from batch.evaluate.own import CAPPED, OURS, OwnModel
from batch.evaluate.sessions import RANDOM, Line, Sessions, weekly_splits
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.features.profile import segments
from batch.learn.baselines import counts, neighbours
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import Recommender, ScoreRecommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.progress import Advance
from batch.score.caps import Caps

FEED_S = 14 * 3600  # of a split's first day, for which lists of all posts are made
BASELINES = (
    (POPULAR, counts.popular),
    ("popular_recent", counts.popular_recent),
    ("popular_by_segment", counts.popular_by_segment),
    ("item_knn_cosine", neighbours.item_knn(neighbours.cosine)),
)
FEW = {
    "shown": sessions.FEW,
    "all_posts": unseen.FEW,
    "truth": truth.FEW,
    "next_like": next_like.FEW,
}


def evaluate_in_full(
    facts: Facts,
    statics: asof.Statics,
    split: Split,
    recipe: Recipe,
    *,
    weeks: int = 1,
    segment_by: tuple[str, ...] = (),
    line: Line | None = None,
    held: float = 0.0,
    caps: Caps | None = None,
    acts: by_kind.Acts | None = None,
    advance: Advance = lambda _n: None,
) -> results.Report:
    """Measure ours beside random, popular, popular of late and kNN on what lies after each split.

    Nobody sees a fact of a split, not even of its earlier days; ours is trained as it would be published.

    Args:
        facts: All events.
        statics: What does not change with time.
        split: The (first) split.
        recipe: How ours is trained.
        weeks: More than 1: so many splits of a week each from the first one's begin on, all train for each.
        segment_by: Profile columns that name a user's segment; those that are not there are left out.
        line: The chance of a like, of a made world.
        caps: How many posts of a topic may stand close together: ours is measured with and without.
        acts: What users did by kind, where there are several kinds of likes.
        held: Share of the users, and apart from them of the posts, that is held out entirely; 0: none.
        advance: Called with 1 after each split, and each split's cold part.

    Returns:
        `data`: what the facts hold; `origins`: the splits, oldest first, whose lists are pooled; `cold`:
        shares of what was held out; `kinds`: each kind of like to how many lists it tells of, None where
        there is one kind. Each protocol that has lists is in the results.

    Raises:
        ValueError: What lies before a split cannot train ours, or nothing in any split can be ranked.
    """
    splits, tests = weekly_splits(split, weeks), []
    for one in splits:
        tests.append(_measure(facts, statics, one, recipe, line, caps, acts))
        advance(1)
    origins = [_origin(*pair, facts.as_of_s) for pair in zip(splits, tests, strict=True)]
    if not any(tests):
        raise ValueError(
            f"no session of ten impressions and no like of an unseen post lies in the test days from "
            f"{origins[0]['test_from']} on: nothing can be ranked"
        )
    by, rng = segments(facts.users, segment_by), np.random.default_rng(recipe.seed)
    figures, cold, kinds = list[results.Figure](), dict[str, float](), dict[str, int]()
    for protocol, few in FEW.items():
        measured = [kinds[protocol] for kinds in tests if protocol in kinds]
        if measured:
            lists = results.pool(measured)
            if acts is not None and protocol == "all_posts":
                lists, kinds = by_kind.drop_undone(lists, acts.kinds)
            pairs = [*results.against(POPULAR, lists.models), (CAPPED, OURS)]
            if next_like.SIMILAR in lists.models:
                parts = [name for name in lists.models if name not in (POPULAR, next_like.SIMILAR)]
                pairs += [(next_like.SIMILAR, name) for name in parts]
            figures += results.summarize(protocol, lists, rng, pairs, results.group_lists(lists, *by), few)
    if held:
        more, cold = evaluate_cold(facts, statics, splits, recipe, held, advance)
        figures += more
    about = {
        "data": _describe(facts, statics),
        "origins": origins,
        "cold": cold or None,
        "kinds": kinds or None,
    }
    return results.Report(about, results.result_frame(figures))


def _measure(
    facts: Facts,
    statics: asof.Statics,
    split: Split,
    recipe: Recipe,
    line: Line | None,
    caps: Caps | None,
    acts: by_kind.Acts | None,
) -> dict[str, results.MeasuredLists]:
    """Train everybody before a split; rank what it shows, and all posts that are new to its users."""
    what = Sessions.of(facts, split, recipe.seed)
    at_s = split.test_from_s + FEED_S
    bucket_s, rng = at_s - at_s % recipe.width_s, np.random.default_rng(recipe.seed)
    asked = AskedUsers.of(facts, split, rng, at_s=bucket_s)
    found = dict[str, results.MeasuredLists]()
    if not len(what.event) and not len(asked.users):
        return found
    before = Interactions(facts.until(split.test_from_s - 1), statics, recipe.seed, recipe.threads)
    own = OwnModel.train(facts, statics, split.test_from_s - 1, recipe)
    n_posts = len(facts.posts)
    baselines: dict[str, Recommender] = {
        name: ScoreRecommender(fit(before), n_posts) for name, fit in BASELINES
    }
    ours = own.recommender(at_s)
    if len(what.event):
        lines = {truth.ORACLE: line} if line else {}
        found["shown"] = sessions.measure_shown(own, {OURS: ours, **baselines}, split, what, lines)
    if len(asked.users):
        drawn = ScoreRecommender(counts.random(before), n_posts)
        everybody: dict[str, Recommender] = {OURS: ours, **baselines, RANDOM: drawn}
        lists = {name: asked.rank(model, max(CUTS)) for name, model in everybody.items()}
        if caps is not None:
            lists[CAPPED] = ours.capped(asked.users, asked.seen_posts, max(CUTS), caps, asked.opened)
        found["all_posts"] = unseen.measure_unseen(asked, lists, statics.texts)
        for name, columns in ({} if acts is None else by_kind.measure_by_kind(asked, lists, acts)).items():
            found["all_posts"].models[name].update(columns)
        if line:
            del lists[RANDOM]
            found["truth"] = truth.measure_by_truth(asked, lists, line, at_s)
    following = next_like.measure_next_like(facts, statics.texts, split, recipe.seed)
    return found if following is None else {**found, "next_like": following}


def _origin(split: Split, found: dict[str, results.MeasuredLists], last_s: int) -> dict[str, Any]:
    """Describe a split: everybody learns from what lies before it; it ends with the facts at the latest."""
    end_s = min(split.test_to_s, max(last_s + 1, split.test_from_s))
    return {
        "test_from": moment(split.test_from_s).isoformat(),
        "test_to": moment(end_s).isoformat(),
        "sessions": len(found["shown"].user) if "shown" in found else 0,
        "users_asked": len(found["all_posts"].user) if "all_posts" in found else 0,
    }


def _describe(facts: Facts, statics: asof.Statics) -> dict[str, Any]:
    """Describe the facts; `texts` names what posts are compared by, `views` what a view says."""
    texts = "embeddings" if facts.embeddings is not None else "texts"
    return {
        "users": len(facts.users),
        "users_without_profile": facts.report.users_without_profile,
        "posts": len(facts.posts),
        "texts": texts if np.isfinite(statics.texts.space).any() else "topics",
        "impressions": int(facts.views.sum()),
        "likes": int((facts.target == 1).sum()),
        "views": facts.shown,
    }
