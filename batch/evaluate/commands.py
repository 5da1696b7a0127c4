"""`almanac evaluate`: settings and arguments to an evaluation in full, with the truth of a made world."""

import numpy as np

from api.contract.buckets import DAY_S
from batch.data.columns import TOPIC
from batch.data.facts import Facts
from batch.data.load import read_facts
from batch.evaluate.ages import AGES_H, Curve
from batch.evaluate.ages import by_age as curve_by_age
from batch.evaluate.full import Evaluation, Scope, evaluate_in_full
from batch.evaluate.nightly import Line, Plan
from batch.features import asof
from batch.learn.recipe import recipe
from batch.learn.split import Split, last_week
from batch.progress import Progress
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.posts import TOPIC_NAMES
from batch.simulate.truth import Truth


def on_facts(
    settings: Settings,
    location: str,
    span: tuple[int, int] | None,
    weeks: int,
    held: float,
    progress: Progress,
) -> Evaluation:
    """Evaluate on facts.

    Where they are the world that `almanac simulate` made last, lists are also judged by its truth.

    Args:
        settings: How ours is trained, and who makes a segment.
        location: Folder or URL of the facts.
        span: Begin and end of the test, epoch seconds; None finds the last week, or weeks, of histories.
        weeks: More than 1: so many tests of a week each, the first at the span's begin.
        held: Share of users, and of posts, that is held out entirely; 0 for none.
        progress: Where the steps are shown.

    Raises:
        ValueError: There is nothing to test on, or what lies before a test cannot train.
    """
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
    with progress.step("describe"):
        known = asof.statics(facts, settings.seed)
    split = Split(*span) if span else _last(facts, weeks)
    if split is None:
        raise ValueError(f"no user in {location} comes back on a later day, so nothing can be tested")
    by = tuple(name for name in settings.segment_by.split(",") if name)
    scope = Scope(weeks, by, truth_of(settings, facts), held)
    with progress.step("evaluate", weeks * (3 if held else 1)) as advance:
        return evaluate_in_full(facts, known, Plan(split, recipe(settings)), scope, advance)


def by_age(settings: Settings, location: str, span: tuple[int, int] | None, progress: Progress) -> Curve:
    """Measure lists of several ages on facts; arguments and errors as `on_facts`."""
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
    with progress.step("describe"):
        known = asof.statics(facts, settings.seed)
    split = Split(*span) if span else last_week(facts)
    if split is None:
        raise ValueError(f"no user in {location} comes back on a later day, so nothing can be tested")
    with progress.step("by age") as advance:
        return curve_by_age(facts, known, Plan(split, recipe(settings)), AGES_H, advance)


def _last(facts: Facts, weeks: int) -> Split | None:
    """Return the first of the last weeks of histories."""
    last = last_week(facts)
    return last and Split(last.test_from_s - (weeks - 1) * 7 * DAY_S, last.test_to_s)


def truth_of(settings: Settings, facts: Facts) -> Line | None:
    """Return the chance of a like in the world made last, None where these facts are not that world's.

    They are where users, posts and every post's topic are the same: two seeds differ in their topics.
    """
    path = settings.state_dir / "world.json"
    if not path.exists():
        return None
    truth = Truth.from_config(WorldConfig.from_json(path.read_text()))
    if not (
        np.array_equal(truth.user_ids, facts.user_ids) and np.array_equal(truth.post_ids, facts.post_ids)
    ):
        return None
    topics = np.array(TOPIC_NAMES, object)[truth.posts.topic]
    return truth.likely if np.array_equal(topics, facts.posts[TOPIC].to_numpy(object)) else None
