"""The commands `evaluate` and `compare`: settings and arguments to a report."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from api.contract.buckets import DAY_S
from batch.data.columns import TOPIC
from batch.data.facts import Facts
from batch.data.load import find_source, read_facts
from batch.evaluate import time_ranges, worlds
from batch.evaluate.ages import evaluate_ages
from batch.evaluate.by_kind import read_acts
from batch.evaluate.compare import compare_shown
from batch.evaluate.contest import check_names
from batch.evaluate.cutoffs import compare_unseen, cut_offs
from batch.evaluate.full import evaluate_in_full
from batch.evaluate.published import PUBLISHED
from batch.evaluate.results import Report
from batch.evaluate.sessions import Line
from batch.evaluate.tune import Tuned, find_knobs, find_tests, tune
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from batch.progress import Progress
from batch.score.caps import Caps
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.posts import TOPIC_NAMES
from batch.simulate.truth import Truth

WORLD_ROWS = 300_000  # impressions that train the trees of a made world; more took time and moved nothing
Span = (
    tuple[int, int] | None
)  # begin and end of the test, epoch seconds; None finds the last week of histories


Note = Callable[[Facts], None]  # hears of facts as they were read


def pass_by(_facts: Facts) -> None:
    """Take no note of facts."""


def evaluate(
    settings: Settings,
    location: str,
    span: Span,
    weeks: int,
    held: float,
    progress: Progress,
    note: Note = pass_by,
) -> Report:
    """Evaluate on facts in full; where they are the world that was made last, also by its truth.

    Args:
        settings: How ours is trained, and who makes a segment.
        location: Folder or URL of the facts.
        span: The test.
        weeks: More than 1: so many tests of a week each, the first at the span's begin.
        held: Share of users, and of posts, that is held out entirely; 0 for none.
        progress: Where the steps are shown.
        note: Told of the facts once they are read.

    Raises:
        ValueError: There is nothing to test on, or what lies before a test cannot train.
    """
    facts = _read(settings, location, progress, note)
    split, how = _split(facts, location, span, weeks), Recipe.of(settings)
    acts = read_acts(*find_source(settings, location), facts, settings.database_stall_s)
    facts, statics = _describe(facts, settings, split, progress)
    by, line = tuple(name for name in settings.segment_by.split(",") if name), find_truth(settings, facts)
    caps = Caps.of(settings.max_per_topic, facts.posts[TOPIC])
    with progress.step("evaluate", weeks * (3 if held else 1)) as advance:
        return evaluate_in_full(
            facts,
            statics,
            split,
            how,
            weeks=weeks,
            segment_by=by,
            line=line,
            held=held,
            caps=caps,
            acts=acts,
            advance=advance,
        )


def evaluate_by_age(
    settings: Settings, location: str, span: Span, progress: Progress, note: Note = pass_by
) -> Report:
    """Measure lists of several ages on facts; arguments and errors as `evaluate`."""
    facts = _read(settings, location, progress, note)
    split = _split(facts, location, span)
    facts, statics = _describe(facts, settings, split, progress)
    with progress.step("by age") as advance:
        return evaluate_ages(facts, statics, split, Recipe.of(settings), advance=advance)


def compare(
    settings: Settings,
    location: str,
    span: Span,
    weeks: int,
    names: tuple[str, ...],
    progress: Progress,
    note: Note = pass_by,
    *,
    likes_only: bool = False,
) -> Report:
    """Compare baselines with ours on what facts showed; arguments as `evaluate` and `compare_shown`.

    Raises:
        ValueError: A name is no baseline's, or the facts hold nothing to test on.
    """
    check_names(names)
    facts = _read(settings, location, progress, note)
    split = _split(facts, location, span, weeks)
    facts, statics = _describe(facts, settings, split, progress)
    with progress.step("compare"):
        return compare_shown(facts, statics, split, Recipe.of(settings), names, weeks, likes_only=likes_only)


def compare_at_cuts(
    settings: Settings,
    location: str,
    n_cuts: int,
    names: tuple[str, ...],
    progress: Progress,
    note: Note = pass_by,
) -> Report:
    """Compare lists of unseen posts at rolling cut-offs; arguments and errors as `compare_unseen`."""
    check_names(names)
    facts = _read(settings, location, progress, note)
    facts, statics = _describe(facts, settings, cut_offs(facts, n_cuts)[0], progress)
    with progress.step("compare"):
        return compare_unseen(facts, statics, Recipe.of(settings), n_cuts, names)


def compare_by_protocol(
    settings: Settings,
    location: str,
    protocol: str,
    n_folds: int,
    names: tuple[str, ...],
    progress: Progress,
    note: Note = pass_by,
) -> Report:
    """Compare lists of the last weeks' warm users by RecTools' splits, beside what was published of the data.

    Args:
        settings: How ours is trained; the mapping's name says which data they are.
        location: Folder or URL of the facts.
        protocol: `rectools-7d`, or another number of days.
        n_folds: Tests that follow one another up to the last event.
        names: Baselines that take part; empty for all.
        progress: Where the steps are shown.
        note: Told of the facts once they are read.

    Raises:
        ValueError: There is no such protocol, a name is no baseline's, or in some fold nobody can be asked.
    """
    days = time_ranges.read_days(protocol)
    check_names(names)
    facts = time_ranges.as_interactions(_read(settings, location, progress, note))
    splits = time_ranges.time_ranges(facts.as_of_s, days, n_folds)
    facts, statics = _describe(facts, settings, splits[0], progress)
    published = PUBLISHED.get(settings.mapping)
    with progress.step("compare"):
        return time_ranges.compare_in_time_ranges(
            facts, statics, Recipe.of(settings), splits, names, published
        )


def tune_model(
    settings: Settings,
    location: str,
    name: str,
    n_trials: int,
    timeout_s: float,
    storage: str,
    progress: Progress,
    note: Note = pass_by,
) -> Tuned:
    """Tune a model on the facts; arguments and errors as `tune`."""
    recipe = Recipe.of(settings)
    find_knobs(name, recipe)  # before facts are read
    facts = _read(settings, location, progress, note)
    facts, statics = _describe(facts, settings, find_tests(facts)[0], progress)
    with progress.step("tune", n_trials) as advance:
        return tune(name, facts, statics, recipe, n_trials, timeout_s, storage, advance)


def compare_in_worlds(
    settings: Settings,
    configs: list[WorldConfig],
    names: tuple[str, ...],
    workers: int,
    progress: Progress,
) -> Report:
    """Compare in made worlds, `workers` at a time, each on one core where there are several.

    Raises:
        ValueError: A name is no baseline's.
    """
    check_names(names)
    rows, threads = min(settings.train_rows, WORLD_ROWS), 1 if workers > 1 else settings.threads
    how, played = replace(Recipe.of(settings), train_rows=rows, threads=threads), []
    with progress.step("compare") as advance:
        for world in worlds.play_all(configs, how, names, workers):
            played.append(world)
            advance(1)
    return worlds.summarize_worlds(played, settings.seed, names)


def find_truth(settings: Settings, facts: Facts) -> Line | None:
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


def _read(settings: Settings, location: str, progress: Progress, note: Note) -> Facts:
    with progress.step("read") as advance:
        facts = read_facts(settings, location, advance)
    note(facts)
    return facts


def _describe(
    facts: Facts, settings: Settings, first: Split, progress: Progress
) -> tuple[Facts, asof.Statics]:
    """Return the facts with posts as they were described before the first test, and their statics."""
    with progress.step("describe"):
        facts = facts.described_at(first.test_from_s - 1)
        return facts, asof.describe(facts, settings.seed)


def _split(facts: Facts, location: str, span: Span, weeks: int = 1) -> Split:
    """Return the span, or the first of the last weeks of histories.

    Raises:
        ValueError: There is no such week.
    """
    if span:
        return Split(*span)
    last = last_week(facts)
    if last is None:
        raise ValueError(f"no user in {location} comes back on a later day, so nothing can be tested")
    return Split(last.test_from_s - (weeks - 1) * 7 * DAY_S, last.test_to_s)
