"""`almanac compare`: settings and arguments to a comparison's values."""

from dataclasses import replace
from typing import Any

from batch.data.load import read_facts
from batch.evaluate import worlds
from batch.evaluate.compare import compare
from batch.evaluate.contest import OURS
from batch.evaluate.cutoffs import compare_unseen
from batch.evaluate.nightly import Plan
from batch.features import asof
from batch.learn.baselines.recommender import PEERS
from batch.learn.recipe import recipe
from batch.learn.split import Split, last_week
from batch.progress import Advance
from batch.settings import Settings


def on_facts(
    settings: Settings,
    location: str,
    span: tuple[int, int] | None,
    weeks: int,
    names: tuple[str, ...],
    *,
    likes_only: bool = False,
) -> dict[str, Any]:
    """Compare on facts.

    Args:
        settings: How ours is trained.
        location: Folder or URL of the facts.
        span: Begin and end of the test, epoch seconds; None finds the last week of histories.
        weeks: More than 1: so many tests of a week each, the first at the span's begin.
        names: Peers that take part; empty for all.
        likes_only: Ours learns nothing from the order of what was shown.

    Raises:
        ValueError: A name is no peer's, or the facts hold nothing to test on.
    """
    _check(names)
    facts = read_facts(settings, location, lambda _n: None)
    split = Split(*span) if span else last_week(facts)
    if split is None:
        raise ValueError(f"no user in {location} comes back on a later day, so nothing can be tested")
    plan = Plan(split, recipe(settings))
    known = asof.statics(facts, settings.seed)
    return compare(facts, known, plan, names, weeks, likes_only=likes_only).values()


def on_unseen(settings: Settings, location: str, n_cuts: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Compare on facts whose users chose the posts: warm users' lists of unseen posts at rolling cut-offs.

    Args:
        settings: How ours is trained.
        location: Folder or URL of the facts.
        n_cuts: Cut-offs over the second half of the events.
        names: Peers that take part; empty for all.

    Raises:
        ValueError: A name is no peer's, or the facts hold too little for so many cut-offs.
    """
    _check(names)
    facts = read_facts(settings, location, lambda _n: None)
    return compare_unseen(facts, asof.statics(facts, settings.seed), recipe(settings), n_cuts, names).values()


def on_worlds(
    settings: Settings,
    n_users: int,
    n_posts: int,
    n_seeds: int,
    regime: str,
    names: tuple[str, ...],
    workers: int,
    advance: Advance,
) -> dict[str, Any]:
    """Compare in made worlds of full and of halved taste, one of each regime a seed.

    Args:
        settings: How ours is trained.
        n_users: Of each world.
        n_posts: Of each world.
        n_seeds: Worlds of each regime.
        regime: The only one; empty for both.
        names: Peers that take part; empty for all.
        workers: Worlds played at a time, each on one core.
        advance: Called with 1 after each world.

    Raises:
        ValueError: A name is no peer's, or the regime is none.
    """
    _check(names)
    made_by = replace(
        recipe(settings),
        train_rows=min(settings.train_rows, WORLD_ROWS),
        threads=1 if workers > 1 else settings.threads,
    )
    plan = worlds.Plan(made_by, n_users, n_posts, tuple(range(1, n_seeds + 1)), names=names)
    if regime:
        plan = worlds.of_regime(plan, regime)
    played = []
    for world in worlds.worlds(plan, workers):
        played.append(world)
        advance(1)
    return worlds.verdict(played, settings.seed)


WORLD_ROWS = 300_000  # impressions that train the trees of a made world; more took time and moved nothing


def _check(names: tuple[str, ...]) -> None:
    known = [peer.name for peer in PEERS]
    strange = [name for name in names if name not in known]
    if strange:
        raise ValueError(f"{', '.join(strange)}: no peer; {OURS} competes with {', '.join(known)}")
