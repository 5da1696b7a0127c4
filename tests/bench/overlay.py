"""What the overlay gains: a session so far re-orders its rest, in later sessions of rows and of made worlds.

The rest of a session was shown whatever the overlay says, so both orders are of the same posts and paired.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from api.session import HALF_LIFE_S, Session, reorder
from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.data.load import read_facts
from batch.evaluate import results
from batch.evaluate.metrics import Hits
from batch.evaluate.own import fit_own
from batch.evaluate.sessions import AUC, Sessions
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.recipe import Recipe
from batch.learn.sessions import pairs_won
from batch.learn.split import TEST_DAYS, Split, last_week
from batch.settings import Settings
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts as make_facts

SO_FAR = (5, 10, 15)  # posts shown when the rest is ordered
LEAST = 10  # posts of a rest: five are a hit or none
WITH, WITHOUT = "overlay", "list"
MEASURED: tuple[results.Metric, ...] = (AUC, ("hitrate", 5))
REGIMES: tuple[Regime, ...] = ("gaussian", "typed")


def run(location: str, n_users: int, n_posts: int, n_seeds: int, n_places: int) -> dict[str, object]:
    """Measure, and return the figures of each set of sessions by its name.

    Args:
        location: Folder or URL of rows; empty: worlds only.
        n_users: Users of each world.
        n_posts: Its posts.
        n_seeds: Worlds of each regime; 0: none.
        n_places: How many places a post may move.
    """
    settings, found = Settings(), dict[str, object]()
    recipe = Recipe.of(settings)
    for name, splits, facts in _list_tests(settings, location, n_users, n_posts, n_seeds):
        tests = [replay(facts, split, recipe, n_places) for split in splits]
        lists = results.pool(tests)
        figures = results.summarize("rest", lists, np.random.default_rng(settings.seed), [(WITH, WITHOUT)])
        found[name] = {**lists.sizes(), "results": results.result_frame(figures).to_dict("records")}
    return {"n_places": n_places, **found}


def _list_tests(
    settings: Settings, location: str, n_users: int, n_posts: int, n_seeds: int
) -> Iterator[tuple[str, list[Split], Facts]]:
    """Yield what is tested: its name, the splits, and the facts."""
    if location:
        facts = read_facts(settings, location, lambda _n: None)
        last = last_week(facts)
        assert last is not None, "no user comes back on a later day"
        week_s = TEST_DAYS * 86_400
        late = [Split(last.test_from_s - k * week_s, last.test_to_s - k * week_s) for k in (1, 0)]
        early = [Split(last.test_from_s - k * week_s, last.test_to_s - k * week_s) for k in (3, 2)]
        yield "early_rows", early, facts
        yield "rows", late, facts
        if facts.as_of_s >= last.test_to_s:
            yield "rows_after", [Split(last.test_to_s, facts.as_of_s + 1)], facts
    for regime in REGIMES if n_seeds else ():
        for seed in range(1, n_seeds + 1):
            facts = make_facts(WorldConfig(n_users, n_posts, seed, regime))
            split = last_week(facts)
            assert split is not None, "a world's users come back"
            yield f"{regime}_{seed}", [split], facts


def replay(facts: Facts, split: Split, recipe: Recipe, n_places: int) -> results.MeasuredLists:
    """Train before a split; order the rest of each session inside it with the overlay and without."""
    statics = asof.describe(facts, recipe.seed)
    before = Interactions(facts.until(split.test_from_s - 1), statics, recipe.seed, recipe.threads)
    what = Sessions.of(facts, split, recipe.seed)
    scores = what.score(fit_own(before, recipe, split.test_from_s - 1, split.test_from_s))
    topics = facts.posts["topic"].fillna("").astype(str).to_numpy()
    return measure(what, scores, topics[what.post].tolist(), n_places)


def measure(what: Sessions, scores: Floats, topics: Sequence[str], n_places: int) -> results.MeasuredLists:
    """Order the rests of sessions by scores and by what was done before them.

    Args:
        what: Sessions.
        scores: float64 (n,). Of their impressions.
        topics: Of their impressions' posts.
        n_places: How many places a post may move.
    """
    rest, number, place, owner = list[Ints](), list[Ints](), list[Ints](), list[int]()
    order = np.lexsort((what.position, what.session))
    for rows in np.split(order, np.flatnonzero(np.diff(what.session[order])) + 1):
        for n in SO_FAR:
            if len(rows) < n + LEAST:
                break
            ranked = rows[n:][np.argsort(-scores[rows[n:]], kind="stable")]
            last_s = int(what.at_s[rows[n - 1]])
            session = Session.of(count(what, topics, rows[:n], last_s), n_places)
            share = 0.5 ** ((int(what.at_s[rows[n]]) - last_s) / HALF_LIFE_S)
            session = session._replace(way=session.way * share)
            moved = reorder([topics[row] for row in ranked], session)
            rest.append(ranked)
            number.append(np.full(len(ranked), len(owner)))
            place.append(np.argsort(moved))
            owner.append(int(what.user[rows[0]]))
    row, of = np.concatenate(rest), np.concatenate(number)
    plain = np.concatenate([np.arange(len(part)) for part in rest])
    models = {
        name: _columns(of, -places.astype(np.float64), what.liked[row])
        for name, places in ((WITHOUT, plain), (WITH, np.concatenate(place)))
    }
    return results.MeasuredLists(models, np.array(owner)).only(MEASURED)


def count(what: Sessions, topics: Sequence[str], rows: Ints, at_s: int) -> Mapping[str, tuple[float, float]]:
    """Count likes and posts shown by topic, as `accept.lua` does."""
    counts: dict[str, tuple[float, float]] = {}
    for row in rows:
        share = 0.5 ** ((at_s - int(what.at_s[row])) / HALF_LIFE_S)
        likes, shown = counts.get(topics[row], (0.0, 0.0))
        counts[topics[row]] = likes + share * bool(what.liked[row]), shown + share
    return counts


def _columns(number: Ints, scores: Floats, liked: np.ndarray) -> results.Columns:
    return {
        AUC: results.Column(*pairs_won(number, scores, liked)),
        **results.order_columns(Hits.of_sessions(number, scores, liked, 15)),
    }
